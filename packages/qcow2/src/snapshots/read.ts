import { MAX_SNAPSHOT_TABLE_BYTES } from "../format/constants.js";
import type { Header } from "../format/header.js";
import { decodeSnapshotTable, type SnapshotEntry, type SnapshotTableRepair } from "../format/snapshot-table.js";
import type { HostFile } from "../image/host.js";
import type { SnapshotInfo } from "../image/types.js";

/** Greatest size of one entry: head, extra data, two strings of 64 KiB. */
const MAX_ENTRY_BYTES = 40 + 1024 + 2 * 65535 + 8;

/**
 * Reads the snapshot table, of which `size` is in bytes.
 * @param repair keep of a damaged table what can be kept, and tell of what cannot
 * @throws Qcow2Error "corrupt", "too-large"
 */
export async function readSnapshotTable(
  host: HostFile,
  header: Header,
  repair?: SnapshotTableRepair,
): Promise<{ entries: SnapshotEntry[]; size: number }> {
  if (header.nbSnapshots === 0) return { entries: [], size: 0 };
  const length = Math.min(
    host.end - header.snapshotsOffset,
    header.nbSnapshots * MAX_ENTRY_BYTES,
    MAX_SNAPSHOT_TABLE_BYTES,
  );
  const data = new Uint8Array(Math.max(0, length));
  await host.read(data, header.snapshotsOffset);
  return decodeSnapshotTable(data, header.nbSnapshots, host.name, header.snapshotsOffset, repair);
}

/** @param diskSize bytes, of entries that do not say it themselves */
export function describeSnapshot(entry: SnapshotEntry, diskSize: number): SnapshotInfo {
  return {
    id: entry.id,
    name: entry.name,
    dateSeconds: entry.dateSeconds,
    dateNanoseconds: entry.dateNanoseconds,
    vmClock: entry.vmClock,
    icount: entry.icount,
    vmStateSize: entry.vmStateSize,
    diskSize: entry.diskSize ?? diskSize,
  };
}
