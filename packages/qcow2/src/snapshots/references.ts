import { COMPRESSED_HIGH, decodeCompressed, entryOffset } from "../format/entries.js";
import type { ImageCore } from "../image/core.js";

/** One use of host clusters by an L1 table or one of its L2 tables. */
export interface Reference {
  readonly kind: "l2" | "data" | "compressed";
  readonly offset: number;
  readonly length: number;
  readonly l1Index: number;
  /** Index in the L2 table; -1 for the table itself. */
  readonly l2Index: number;
}

/**
 * Collects what an L1 entry refers to: its L2 table and everything that table names. Empty without a table.
 * @throws Qcow2Error "corrupt" for offsets that are not aligned.
 */
export async function referencesOf(core: ImageCore, l1: DataView, l1Index: number): Promise<Reference[]> {
  const { clusterSize, clusterBits, l2Entries, l2EntrySize } = core.geometry;
  const offset = entryOffset(l1.getUint32(8 * l1Index), l1.getUint32(8 * l1Index + 4));
  if (offset === 0) return [];
  if (offset % clusterSize !== 0) core.fail("corrupt", "L2 table is not aligned to a cluster", "L1 table", offset);
  const references: Reference[] = [{ kind: "l2", offset, length: clusterSize, l1Index, l2Index: -1 }];
  const { view } = core.mapping.cache.peek(offset) ?? (await core.mapping.cache.load(offset));
  for (let l2Index = 0; l2Index < l2Entries; l2Index++) {
    const high = view.getUint32(l2Index * l2EntrySize);
    const low = view.getUint32(l2Index * l2EntrySize + 4);
    if (high === 0 && low === 0) continue;
    if ((high & COMPRESSED_HIGH) !== 0) {
      references.push({ kind: "compressed", ...decodeCompressed(high, low, clusterBits), l1Index, l2Index });
      continue;
    }
    const host = entryOffset(high, low);
    if (host === 0) continue;
    if (host % clusterSize !== 0) core.fail("corrupt", "data cluster is not aligned", "L2 table", offset);
    references.push({ kind: "data", offset: host, length: clusterSize, l1Index, l2Index });
  }
  return references;
}

/** Adds one to the refcount of everything an L1 table refers to; takes it back when that fails. */
export async function addReferences(core: ImageCore, l1: DataView): Promise<void> {
  const entries = l1.byteLength / 8;
  const taken: { index: number; count: number } = { index: 0, count: 0 };
  try {
    for (let index = 0; index < entries; index++) {
      taken.index = index;
      taken.count = 0;
      const references = await referencesOf(core, l1, index);
      if (references.length === 0) continue;
      await core.metadata.run(async () => {
        for (const { offset, length } of references) {
          await core.refcounts.increment(offset, length);
          taken.count++;
        }
      });
      if (core.needsFlush()) await core.flush();
    }
  } catch (error) {
    for (let index = 0; index <= taken.index; index++) {
      const references = await referencesOf(core, l1, index).catch(() => []);
      const count = index === taken.index ? taken.count : references.length;
      for (const { offset, length } of references.slice(0, count)) core.refcounts.free(offset, length);
    }
    throw error;
  }
}

/** Takes one from the refcount of everything an L1 table refers to, which nothing names any more. */
export async function dropReferences(core: ImageCore, l1: DataView): Promise<void> {
  for (let index = 0; index < l1.byteLength / 8; index++) {
    for (const { kind, offset, length } of await referencesOf(core, l1, index)) {
      core.refcounts.free(offset, length);
      if (kind === "compressed") {
        core.onCompressedChange();
        core.onCompressedFree();
      }
    }
    if (core.needsFlush()) await core.flush();
  }
}
