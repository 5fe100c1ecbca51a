import { Qcow2Error } from "../errors.js";
import { roundUp } from "../format/binary.js";
import { MAX_L1_BYTES, MAX_SNAPSHOT_TABLE_BYTES } from "../format/constants.js";
import { encodeSnapshotTable, type SnapshotEntry, type SnapshotTableRepair } from "../format/snapshot-table.js";
import type { ImageCore } from "../image/core.js";
import { readSnapshotTable } from "./read.js";

/**
 * Reads the snapshot table.
 * @param repair keep of a damaged table what can be kept, and tell of what cannot
 * @throws Qcow2Error "corrupt", "too-large"
 */
export async function loadSnapshots(core: ImageCore, repair?: SnapshotTableRepair): Promise<void> {
  core.snapshots = [];
  core.snapshotTableSize = 0;
  const { entries, size } = await readSnapshotTable(core.host, core.header, repair);
  core.snapshots = entries;
  core.snapshotTableSize = size;
}

/** By id first, then by name, as QEMU looks them up. */
export function findSnapshot(core: ImageCore, idOrName: string): SnapshotEntry {
  const found =
    core.snapshots.find((entry) => entry.id === idOrName) ?? core.snapshots.find((entry) => entry.name === idOrName);
  if (found === undefined) throw new Qcow2Error("not-found", `no snapshot named ${idOrName}`, { file: core.name });
  return found;
}

/** The L1 table of a snapshot. @throws Qcow2Error "corrupt", "too-large" */
export async function snapshotL1(core: ImageCore, snapshot: SnapshotEntry): Promise<DataView> {
  const where = { file: core.name, structure: "snapshot table", offset: core.header.snapshotsOffset };
  if (snapshot.l1Size * 8 > MAX_L1_BYTES) {
    throw new Qcow2Error("too-large", `L1 table of snapshot ${snapshot.id} is too large`, where);
  }
  if (snapshot.l1TableOffset % core.geometry.clusterSize !== 0) {
    throw new Qcow2Error("corrupt", `L1 table of snapshot ${snapshot.id} is not aligned to a cluster`, where);
  }
  if (snapshot.l1TableOffset + snapshot.l1Size * 8 > roundUp(core.host.end, core.geometry.clusterSize)) {
    throw new Qcow2Error("corrupt", `L1 table of snapshot ${snapshot.id} reaches beyond the end of the file`, where);
  }
  const data = new Uint8Array(snapshot.l1Size * 8);
  await core.host.read(data, snapshot.l1TableOffset);
  return new DataView(data.buffer);
}

/** Replaces the snapshot table: the new one is durable before the header names it. */
export async function writeSnapshots(core: ImageCore, entries: SnapshotEntry[]): Promise<void> {
  const { header, host, geometry } = core;
  const data = encodeSnapshotTable(entries);
  if (data.length > MAX_SNAPSHOT_TABLE_BYTES) core.fail("too-large", "the snapshot table would be too large");
  let offset = 0;
  if (entries.length > 0) {
    const clusters = roundUp(data.length, geometry.clusterSize) / geometry.clusterSize;
    offset = await core.metadata.run(() => core.refcounts.allocateExact(clusters));
    await host.write(data, offset);
  }
  await core.flush();
  const old = { offset: header.snapshotsOffset, size: core.snapshotTableSize };
  header.nbSnapshots = entries.length;
  header.snapshotsOffset = offset;
  await core.writeHeader();
  await host.flush();
  core.snapshots = entries;
  core.snapshotTableSize = data.length;
  if (old.size > 0) core.refcounts.free(old.offset, old.size);
}
