import { roundUp } from "../format/binary.js";
import { MAX_L1_BYTES } from "../format/constants.js";
import { COMPRESSED_HIGH, COPIED_HIGH, entryOffset } from "../format/entries.js";
import type { SnapshotEntry } from "../format/snapshot-table.js";
import type { ImageCore } from "../image/core.js";
import { l1EntriesFor } from "../image/geometry.js";
import { addReferences, dropReferences, referencesOf } from "./references.js";
import { snapshotL1, writeSnapshots } from "./table.js";

/**
 * Makes the state of a snapshot the active one. A new L1 table is written aside and the header switches to it, so
 * that power loss leaves either state whole.
 */
export async function applySnapshot(core: ImageCore, snapshot: SnapshotEntry): Promise<void> {
  const { mapping, header, geometry, host } = core;
  await core.start(true);
  await core.flush();
  const source = await snapshotL1(core, snapshot);
  const size = snapshot.diskSize ?? header.size;
  const entries = Math.max(l1EntriesFor(size, geometry), source.byteLength / 8);
  if (entries * 8 > MAX_L1_BYTES) {
    core.fail("too-large", `snapshot ${snapshot.id} is too large`, "snapshot table", header.snapshotsOffset);
  }
  core.observer?.changed(0, Math.max(size, header.size));
  await addReferences(core, source);
  await core.flush();
  await clearCopiedIn(core, source);
  const clusters = Math.max(1, Math.ceil((entries * 8) / geometry.clusterSize));
  const offset = await core.metadata.run(() => core.refcounts.allocateExact(clusters));
  const padded = new Uint8Array(clusters * geometry.clusterSize);
  const l1 = new Uint8Array(entries * 8);
  const view = new DataView(l1.buffer);
  for (let i = 0; i < source.byteLength; i += 8) {
    view.setUint32(i, (source.getUint32(i) & ~COPIED_HIGH) >>> 0);
    view.setUint32(i + 4, source.getUint32(i + 4));
  }
  padded.set(l1);
  await host.write(padded, offset);
  await core.flush();
  const old = { offset: mapping.l1Offset, view: mapping.l1 };
  header.l1TableOffset = offset;
  header.l1Size = entries;
  header.size = size;
  await core.writeHeader();
  await host.flush();
  mapping.l1 = view;
  mapping.l1Offset = offset;
  await dropReferences(core, old.view);
  if (old.view.byteLength > 0) core.refcounts.free(old.offset, old.view.byteLength);
  await core.flush();
}

/** COPIED flags in inactive tables may be stale; after this they are off. */
async function clearCopiedIn(core: ImageCore, l1: DataView): Promise<void> {
  const { mapping, geometry } = core;
  for (let index = 0; index < l1.byteLength / 8; index++) {
    const offset = entryOffset(l1.getUint32(8 * index), l1.getUint32(8 * index + 4));
    if (offset === 0) continue;
    const table = mapping.cache.peek(offset) ?? (await mapping.cache.load(offset));
    for (let at = 0; at < geometry.clusterSize; at += geometry.l2EntrySize) {
      const high = table.view.getUint32(at);
      if ((high & COPIED_HIGH) === 0 || (high & COMPRESSED_HIGH) !== 0) continue;
      table.view.setUint32(at, (high & ~COPIED_HIGH) >>> 0);
      mapping.cache.markDirty(table, at, at + 8);
    }
    if (core.needsFlush()) await core.flush();
  }
  await core.flush();
}

/** Removes a snapshot and gives up what only it used. */
export async function deleteSnapshot(core: ImageCore, snapshot: SnapshotEntry): Promise<void> {
  await core.start(false);
  await core.flush();
  const l1 = await snapshotL1(core, snapshot);
  await writeSnapshots(
    core,
    core.snapshots.filter((entry) => entry !== snapshot),
  );
  await core.flush();
  // A flag set too early is a leak at worst; one set too late would be an error. So: flags, then refcounts.
  await restoreCopied(core, l1);
  await core.flush();
  await dropReferences(core, l1);
  core.refcounts.free(snapshot.l1TableOffset, roundUp(Math.max(1, snapshot.l1Size * 8), core.geometry.clusterSize));
  await core.flush();
}

/** Sets the COPIED flag of what the active state alone will use once the references of `l1` are gone. */
async function restoreCopied(core: ImageCore, l1: DataView): Promise<void> {
  const { mapping, geometry, refcounts } = core;
  const { clusterSize, l2EntrySize } = geometry;
  for (let index = 0; index < Math.min(l1.byteLength / 8, mapping.l1Size); index++) {
    const active = mapping.l2Offset(index);
    if (active === 0) continue;
    const references = await referencesOf(core, l1, index);
    if (references.length === 0) continue;
    if (references[0].offset === active && (await refcounts.get(active / clusterSize)) === 2) {
      mapping.setL1(index, active, true);
    }
    if ((mapping.l1.getUint32(8 * index) & COPIED_HIGH) === 0) continue;
    const lone = new Map<number, number>();
    for (const { kind, offset, l2Index } of references) {
      if (kind === "data" && (await refcounts.get(offset / clusterSize)) === 2) lone.set(l2Index, offset);
    }
    await mapping.withTable(index, (table) => {
      for (const [l2Index, offset] of lone) {
        const at = l2Index * l2EntrySize;
        const high = table.view.getUint32(at);
        if ((high & COMPRESSED_HIGH) !== 0 || entryOffset(high, table.view.getUint32(at + 4)) !== offset) continue;
        table.view.setUint32(at, (high | COPIED_HIGH) >>> 0);
        mapping.cache.markDirty(table, at, at + 8);
      }
    });
    if (core.needsFlush()) await core.flush();
  }
}
