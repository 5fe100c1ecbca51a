import { roundUp } from "../format/binary.js";
import type { BitmapEntry } from "../format/bitmap-directory.js";
import { MAX_BITMAP_TABLE_ENTRIES } from "../format/constants.js";
import type { ImageCore } from "../image/core.js";
import { decodeTable, encodeTable } from "../image/refcounts.js";
import type { Bitmap } from "./bitmap.js";

/** Table entries below this are no offsets: 0 is a page of zeros, 1 one of ones. */
const FIRST_OFFSET = 512;

/** Whether a table entry names a cluster. */
export const namesCluster = (entry: number): boolean => entry >= FIRST_OFFSET;

/** Reads the table of a bitmap. @throws Qcow2Error "corrupt", "too-large" */
export async function readTable(core: ImageCore, entry: BitmapEntry): Promise<Float64Array> {
  const table = await readTableUnchecked(core, entry);
  table.forEach((offset, index) => {
    if (!isTableEntry(offset, core.geometry.clusterSize)) {
      core.fail("corrupt", "bitmap data cluster is not aligned", "bitmap table", entry.tableOffset + 8 * index);
    }
  });
  return table;
}

/** The same without a look at the entries. */
export async function readTableUnchecked(core: ImageCore, entry: BitmapEntry): Promise<Float64Array> {
  checkTablePlace(core, entry);
  // A table cannot be longer than the file that holds it, whatever the directory says.
  if (entry.tableOffset + entry.tableSize * 8 > roundUp(core.host.end, core.geometry.clusterSize)) {
    core.fail("corrupt", "bitmap table reaches beyond the end of the file", "bitmap table", entry.tableOffset);
  }
  const data = new Uint8Array(entry.tableSize * 8);
  await core.host.read(data, entry.tableOffset);
  return decodeTable(data);
}

/** @throws Qcow2Error "corrupt", "too-large" when no table can be as the directory entry says */
export function checkTablePlace(core: ImageCore, entry: BitmapEntry): void {
  const where = ["bitmap table", entry.tableOffset] as const;
  if (entry.tableSize > MAX_BITMAP_TABLE_ENTRIES) core.fail("too-large", "bitmap table is too large", ...where);
  if (entry.tableOffset % core.geometry.clusterSize !== 0) {
    core.fail("corrupt", "bitmap table is not aligned to a cluster", ...where);
  }
}

/** Whether a table can hold this entry. */
export function isTableEntry(offset: number, clusterSize: number): boolean {
  return offset === 0 || offset === 1 || offset % clusterSize === 0;
}

/** Writes a table to a new place and returns its offset. */
export async function writeNewTable(core: ImageCore, table: Float64Array): Promise<number> {
  const { clusterSize } = core.geometry;
  const data = new Uint8Array(roundUp(table.length * 8, clusterSize));
  data.set(encodeTable(table));
  const offset = await core.metadata.run(() => core.refcounts.allocateExact(data.length / clusterSize));
  await core.host.write(data, offset);
  return offset;
}

/** Gives up the cluster that a table entry names, if it names one. */
export function freePage(core: ImageCore, entry: number): void {
  if (namesCluster(entry)) core.refcounts.free(entry, core.geometry.clusterSize);
}

/** The stored bits of one page with what was recorded since. */
export async function readPage(
  core: ImageCore,
  bitmap: Bitmap,
  table: Float64Array,
  index: number,
): Promise<Uint8Array | undefined> {
  const { clusterSize } = core.geometry;
  const recorded = bitmap.recorded?.page(index);
  const offset = index < table.length ? table[index] : 0;
  if (offset === 0) return recorded;
  const page = new Uint8Array(clusterSize);
  if (offset === 1) page.fill(0xff);
  else await core.host.read(page, offset);
  if (recorded !== undefined) for (let i = 0; i < clusterSize; i++) page[i] |= recorded[i];
  return page;
}

/** Makes the bits behind the last one zero, as they must be. */
export async function clearTail(core: ImageCore, table: Float64Array, bits: number): Promise<void> {
  const { clusterSize } = core.geometry;
  const index = Math.floor(bits / (clusterSize * 8));
  const offset = table[index] ?? 0;
  if (!namesCluster(offset)) return;
  const page = new Uint8Array(clusterSize);
  await core.host.read(page, offset);
  const first = bits % (clusterSize * 8);
  page[first >> 3] &= 2 ** (first & 7) - 1;
  page.fill(0, (first >> 3) + 1);
  await core.host.write(page, offset);
}
