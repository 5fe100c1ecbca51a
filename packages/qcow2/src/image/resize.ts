import { roundUp } from "../format/binary.js";
import { MAX_L1_BYTES, SECTOR } from "../format/constants.js";
import type { ImageCore } from "./core.js";
import { l1EntriesFor } from "./geometry.js";
import { preallocate } from "./preallocate.js";
import type { Preallocation } from "./types.js";
import type { Zeroer } from "./zero.js";

/** Makes room for `entries` L1 entries. The caller holds the exclusive lock. */
export async function growL1(core: ImageCore, entries: number): Promise<void> {
  const { mapping, header, host, geometry } = core;
  if (entries <= mapping.l1Size) return;
  if (entries * 8 > MAX_L1_BYTES) core.fail("too-large", "the L1 table would be too large", "L1 table");
  // The new table names L2 tables; they have to be in the file before.
  await core.flush();
  const clusters = Math.ceil((entries * 8) / geometry.clusterSize);
  const offset = await core.metadata.run(() => core.refcounts.allocateExact(clusters));
  const l1 = new Uint8Array(entries * 8);
  l1.set(new Uint8Array(mapping.l1.buffer, mapping.l1.byteOffset, mapping.l1.byteLength));
  const padded = new Uint8Array(clusters * geometry.clusterSize);
  padded.set(l1);
  await host.write(padded, offset);
  await core.flush();
  const old = { offset: mapping.l1Offset, length: mapping.l1Size * 8 };
  header.l1Size = entries;
  header.l1TableOffset = offset;
  await core.writeHeader();
  await host.flush();
  mapping.l1 = new DataView(l1.buffer);
  mapping.l1Offset = offset;
  if (old.length > 0) core.refcounts.free(old.offset, old.length);
}

export interface ResizeOptions {
  /** Allow the disk to become smaller, which loses data (default false). */
  readonly shrink?: boolean;
  /** What to do with the new part (default off). */
  readonly preallocation?: Preallocation;
}

/** Changes the virtual size. The caller holds the exclusive lock. */
export async function resize(core: ImageCore, zeroer: Zeroer, size: number, options: ResizeOptions): Promise<void> {
  const { header } = core;
  if (!Number.isSafeInteger(size) || size < 0 || size % SECTOR !== 0) {
    core.fail("invalid-argument", `size ${size} is not a multiple of ${SECTOR}`);
  }
  if (core.snapshots.length > 0 && header.version < 3) {
    core.fail("conflict", "a version 2 image with snapshots cannot be resized");
  }
  if (size < header.size) {
    if (options.shrink !== true) core.fail("conflict", "shrinking loses data and has to be asked for");
    await shrink(core, zeroer, size);
  } else if (size > header.size) {
    await grow(core, zeroer, size, options.preallocation ?? "off");
  }
}

async function grow(core: ImageCore, zeroer: Zeroer, size: number, preallocation: Preallocation): Promise<void> {
  const { header, geometry, backing } = core;
  const old = header.size;
  // Machine state that an applied snapshot left behind the disk must not become its content.
  await zeroer.forget(roundUp(old, geometry.clusterSize), core.mapping.l1Size * geometry.l2Coverage);
  await growL1(core, l1EntriesFor(size, geometry));
  header.size = size;
  try {
    // What lies behind the old end, in its last cluster or in the backing file, must not become visible.
    await zeroer.overwrite(old, Math.min(size, roundUp(old, geometry.clusterSize)));
    if (backing !== undefined && backing.size > old) await zeroer.zeroUnlocked(old, Math.min(size, backing.size));
    if (core.hasDataFile) {
      // A raw data file shows what lies behind the old end of the disk.
      if (core.dataFileRaw) await core.data.clear(old, size);
      await core.data.extend(size);
    }
    await preallocate(core, old, size, preallocation);
    await core.flush();
  } catch (error) {
    header.size = old;
    throw error;
  }
  await core.writeHeader();
  await core.host.flush();
}

async function shrink(core: ImageCore, zeroer: Zeroer, size: number): Promise<void> {
  const { header, geometry, mapping, host } = core;
  const old = header.size;
  await core.flush();
  header.size = size;
  await core.writeHeader();
  await host.flush();
  const from = roundUp(size, geometry.clusterSize);
  await zeroer.forget(from, roundUp(old, geometry.clusterSize));
  for (let index = l1EntriesFor(from, geometry); index < mapping.l1Size; index++) {
    const offset = mapping.l2Offset(index);
    if (offset === 0) continue;
    mapping.setL1(index, 0, false);
    mapping.cache.forget(offset);
    core.refcounts.free(offset, geometry.clusterSize);
  }
  await core.flush();
  if (core.hasDataFile) await core.data.truncate(size);
  const end = await core.refcounts.usedEnd();
  if (end < host.end && end > 0) {
    await core.flush();
    await host.truncate(end);
  }
}
