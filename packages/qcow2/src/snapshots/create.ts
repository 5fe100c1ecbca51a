import { encodeUtf8, roundUp } from "../format/binary.js";
import { MAX_SNAPSHOTS } from "../format/constants.js";
import { COMPRESSED_HIGH, COPIED_HIGH } from "../format/entries.js";
import type { SnapshotEntry } from "../format/snapshot-table.js";
import type { ImageCore } from "../image/core.js";
import type { SnapshotCreateOptions, SnapshotInfo } from "../image/types.js";
import type { Zeroer } from "../image/zero.js";
import { describeSnapshot } from "./read.js";
import { addReferences } from "./references.js";
import { writeSnapshots } from "./table.js";

/**
 * Creates a snapshot. The order is safe against power loss: refcounts first, then the COPIED flags (from here on
 * every write copies), then the L1 copy and the table, then the header.
 */
export async function createSnapshot(
  core: ImageCore,
  zeroer: Zeroer,
  options: SnapshotCreateOptions,
): Promise<SnapshotInfo> {
  const { mapping, header, geometry, host } = core;
  if (core.hasDataFile) core.fail("unsupported", "internal snapshots do not go with an external data file");
  if (core.snapshots.length >= MAX_SNAPSHOTS) core.fail("conflict", "the image has as many snapshots as it can have");
  const id = options.id ?? nextId(core.snapshots);
  if (core.snapshots.some((snapshot) => snapshot.id === id)) core.fail("exists", `a snapshot with id ${id} exists`);
  if (encodeUtf8(options.name).length > 65535 || encodeUtf8(id).length > 65535) {
    core.fail("invalid-argument", "snapshot name or id is too long");
  }
  await core.start(false);
  await core.flush();
  await addReferences(core, mapping.l1);
  await core.flush();
  await clearCopied(core);
  const l1Clusters = Math.max(1, roundUp(mapping.l1Size * 8, geometry.clusterSize) / geometry.clusterSize);
  const l1Offset = await core.metadata.run(() => core.refcounts.allocateExact(l1Clusters));
  const l1 = new Uint8Array(l1Clusters * geometry.clusterSize);
  l1.set(new Uint8Array(mapping.l1.buffer, mapping.l1.byteOffset, mapping.l1.byteLength));
  await host.write(l1, l1Offset);
  const now = options.date ?? new Date();
  const entry: SnapshotEntry = {
    l1TableOffset: l1Offset,
    l1Size: mapping.l1Size,
    id,
    name: options.name,
    dateSeconds: Math.floor(now.getTime() / 1000),
    dateNanoseconds: (now.getTime() % 1000) * 1_000_000,
    vmClock: options.vmClock ?? 0n,
    vmStateSize: options.vmStateSize ?? 0,
    diskSize: header.size,
    icount: options.icount,
    unknownExtra: new Uint8Array(0),
  };
  await writeSnapshots(core, [...core.snapshots, entry]);
  // The machine state belongs to the snapshot now.
  const vmStart = roundUp(header.size, geometry.l2Coverage);
  const vmEnd = mapping.l1Size * geometry.l2Coverage;
  if (vmEnd > vmStart) await zeroer.forget(vmStart, vmEnd);
  await core.flush();
  return describeSnapshot(entry, header.size);
}

function nextId(snapshots: readonly SnapshotEntry[]): string {
  const greatest = snapshots.reduce((max, { id }) => (/^\d{1,15}$/.test(id) ? Math.max(max, Number(id)) : max), 0);
  return String(greatest + 1);
}

/** After this, no cluster of the active state is written in place. */
async function clearCopied(core: ImageCore): Promise<void> {
  const { mapping, geometry } = core;
  for (let index = 0; index < mapping.l1Size; index++) {
    if (mapping.l2Offset(index) === 0) continue;
    if ((mapping.l1.getUint32(8 * index) & COPIED_HIGH) !== 0) {
      await mapping.withTable(index, (table) => {
        const { view } = table;
        for (let at = 0; at < geometry.clusterSize; at += geometry.l2EntrySize) {
          const high = view.getUint32(at);
          if ((high & COPIED_HIGH) === 0 || (high & COMPRESSED_HIGH) !== 0) continue;
          view.setUint32(at, (high & ~COPIED_HIGH) >>> 0);
          mapping.cache.markDirty(table, at, at + 8);
        }
      });
      mapping.setL1(index, mapping.l2Offset(index), false);
    }
    if (core.needsFlush()) await core.flush();
  }
  await core.flush();
}
