import { located, Qcow2Error } from "../errors.js";
import { decodeUtf8, encodeUtf8, roundUp, struct, u8, u16, u32, u64 } from "./binary.js";
import { MAX_BITMAP_NAME } from "./constants.js";

const entryHead = struct({
  tableOffset: u64,
  tableSize: u32,
  flags: u32,
  type: u8,
  granularityBits: u8,
  nameSize: u16,
  extraDataSize: u32,
});

export const BITMAP_FLAG = { inUse: 1, auto: 2, extraDataCompatible: 4 } as const;
export const BITMAP_TYPE_DIRTY = 1;

export interface BitmapEntry {
  tableOffset: number;
  /** Entries of the bitmap table. */
  tableSize: number;
  flags: number;
  type: number;
  granularityBits: number;
  name: string;
  extraData: Uint8Array;
}

export function decodeBitmapDirectory(data: Uint8Array, count: number, file: string, offset: number): BitmapEntry[] {
  const entries: BitmapEntry[] = [];
  const names = new Set<string>();
  let at = 0;
  const bad = (reason: string): Qcow2Error =>
    new Qcow2Error("corrupt", reason, { file, structure: "bitmap directory", offset: offset + at });
  while (at < data.length) {
    if (at + entryHead.size > data.length) throw bad("bitmap directory is cut short");
    const start = at;
    const where = { file, structure: "bitmap directory", offset: offset + start };
    const head = located(where, () => entryHead.decode(data, start));
    const extraAt = at + entryHead.size;
    const nameAt = extraAt + head.extraDataSize;
    const end = nameAt + head.nameSize;
    if (end > data.length) throw bad("bitmap directory is cut short");
    if (head.nameSize === 0 || head.nameSize > MAX_BITMAP_NAME) throw bad("bitmap name has an impossible length");
    if (head.type !== BITMAP_TYPE_DIRTY) throw bad(`unknown bitmap type ${head.type}`);
    if (head.granularityBits < 9 || head.granularityBits > 31) throw bad("bitmap granularity is not supported");
    const name = decodeUtf8(data.subarray(nameAt, end));
    if (names.has(name)) throw bad(`two bitmaps are named ${name}`);
    names.add(name);
    const { tableOffset, tableSize, flags, type, granularityBits } = head;
    entries.push({
      tableOffset,
      tableSize,
      flags,
      type,
      granularityBits,
      name,
      extraData: data.slice(extraAt, nameAt),
    });
    at = roundUp(end, 8);
  }
  if (entries.length !== count) throw bad(`bitmap directory has ${entries.length} entries instead of ${count}`);
  return entries;
}

export function encodeBitmapDirectory(entries: readonly BitmapEntry[]): Uint8Array {
  const names = entries.map((entry) => encodeUtf8(entry.name));
  const sizes = entries.map((entry, i) => roundUp(entryHead.size + entry.extraData.length + names[i].length, 8));
  const data = new Uint8Array(sizes.reduce((sum, size) => sum + size, 0));
  let at = 0;
  entries.forEach((entry, i) => {
    entryHead.encode({ ...entry, nameSize: names[i].length, extraDataSize: entry.extraData.length }, data, at);
    data.set(entry.extraData, at + entryHead.size);
    data.set(names[i], at + entryHead.size + entry.extraData.length);
    at += sizes[i];
  });
  return data;
}
