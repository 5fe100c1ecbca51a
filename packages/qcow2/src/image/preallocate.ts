import { roundDown, roundUp } from "../format/binary.js";
import { SECTOR } from "../format/constants.js";
import { COMPRESSED_HIGH, COPIED_HIGH, entryOffset, highOf, lowOf, ZERO_LOW } from "../format/entries.js";
import type { ImageCore } from "./core.js";
import type { Table } from "./table-cache.js";
import type { Preallocation } from "./types.js";

/**
 * Gives host clusters to all guest clusters of [from, to) that have none; they read as zeros as before. The caller holds
 * the exclusive lock.
 */
export async function preallocate(core: ImageCore, from: number, to: number, mode: Preallocation): Promise<void> {
  if (mode === "off" || to <= from) return;
  const { clusterSize, l2Coverage } = core.geometry;
  const end = roundUp(to, clusterSize);
  for (let at = roundDown(from, clusterSize); at < end; ) {
    const l1Index = Math.floor(at / l2Coverage);
    const stop = Math.min(end, (l1Index + 1) * l2Coverage);
    if (core.needsFlush()) await core.flush();
    const start = at;
    const missing = await core.mapping.withTable(l1Index, (table) => nextMissing(core, table, start, stop));
    at = missing.end;
    const wanted = (missing.end - missing.start) / clusterSize;
    if (wanted === 0) continue;
    const run = core.hasDataFile
      ? { offset: missing.start, count: wanted }
      : await core.metadata.run(() => core.refcounts.allocate(wanted));
    at = missing.start + run.count * clusterSize;
    await store(core, run.offset, run.count * clusterSize, mode);
    if (core.encrypted && core.header.version < 3) {
      await encryptZeros(core, missing.start, run.offset, run.count * clusterSize);
    }
    await core.mapping.withTable(l1Index, (table) => link(core, table, missing.start, run.offset, run.count));
  }
}

/** The first run of clusters in [from, stop) without host clusters. */
function nextMissing(core: ImageCore, table: Table, from: number, stop: number): { start: number; end: number } {
  const { clusterSize } = core.geometry;
  let start = from;
  while (start < stop && hasHost(core, table, start)) start += clusterSize;
  let end = start;
  while (end < stop && !hasHost(core, table, end)) end += clusterSize;
  return { start, end };
}

function entryAt(core: ImageCore, guest: number): number {
  const { clusterSize, l2Coverage, l2EntrySize } = core.geometry;
  return Math.floor((guest % l2Coverage) / clusterSize) * l2EntrySize;
}

function hasHost(core: ImageCore, { view }: Table, guest: number): boolean {
  const high = view.getUint32(entryAt(core, guest));
  const low = view.getUint32(entryAt(core, guest) + 4);
  if ((high & COMPRESSED_HIGH) !== 0) return true;
  return entryOffset(high, low) !== 0 || (core.hasDataFile && (high & COPIED_HIGH) !== 0);
}

/** Puts host clusters into the entries. What the entries say of zeros and subclusters stays. */
function link(core: ImageCore, table: Table, guest: number, host: number, count: number): void {
  const { clusterSize, l2EntrySize, extendedL2 } = core.geometry;
  const { view } = table;
  const first = entryAt(core, guest);
  // Zeros in the file are noise once they are decrypted. Subclusters without data are none, and read as zeros anyway.
  const zero = core.encrypted && core.header.version >= 3 && !extendedL2 ? ZERO_LOW : 0;
  for (let i = 0; i < count; i++) {
    const at = first + i * l2EntrySize;
    const target = host + i * clusterSize;
    view.setUint32(at, (highOf(target) | COPIED_HIGH) >>> 0);
    view.setUint32(at + 4, (lowOf(target) | (view.getUint32(at + 4) & ZERO_LOW) | zero) >>> 0);
  }
  core.mapping.cache.markDirty(table, first, first + count * l2EntrySize);
}

async function store(core: ImageCore, offset: number, length: number, mode: Preallocation): Promise<void> {
  const { data } = core;
  const end = offset + length;
  if (mode === "full" || (mode === "falloc" && data.file.allocate === undefined)) return data.writeZeros(offset, end);
  // What the file has there is old: of clusters that were freed, or from before it became this image.
  await data.clear(offset, end);
  if (mode === "metadata") return data.extend(end);
  await data.file.allocate!(offset, length);
  data.end = Math.max(data.end, end);
}

/** Writes what decrypts to zeros. */
async function encryptZeros(core: ImageCore, guest: number, host: number, length: number): Promise<void> {
  core.checkUnlocked();
  const { data, geometry } = core;
  const { clusterSize } = geometry;
  const cipher = core.cipher!;
  for (let done = 0; done < length; done += clusterSize) {
    const cluster = new Uint8Array(clusterSize);
    cipher.encrypt(cluster, (cipher.physicalSectors ? host + done : guest + done) / SECTOR);
    await data.write(cluster, host + done);
  }
}
