import type { BitmapStore } from "../bitmaps/store.js";
import { MAX_L1_BYTES } from "../format/constants.js";
import type { ImageCore } from "../image/core.js";
import type { CheckReport, RepairMode } from "./check-report.js";
import { TableWalk } from "./check-tables.js";
import type { ClusterCounts } from "./cluster-counts.js";

/**
 * Counts the references to every cluster from all metadata, except those to the refcount structures themselves.
 * @param mode with "all", L2 entries that can be mended without loss are
 * @throws Qcow2Error "corrupt" when damage keeps the walk from going on
 */
export async function countReferences(
  core: ImageCore,
  bitmaps: BitmapStore,
  report: CheckReport,
  mode: RepairMode = "none",
): Promise<ClusterCounts> {
  const walk = new TableWalk(core, report, mode);
  const { header, geometry } = core;
  walk.count(0, geometry.clusterSize);
  report.totalClusters = Math.ceil(header.size / geometry.clusterSize);
  await walk.l1(header.l1TableOffset, header.l1Size, true);
  if (core.hasDataFile && core.snapshots.length > 0) {
    report.corruption(`${core.snapshots.length} snapshots in image with data file`);
  }
  for (const { id, name, l1TableOffset, l1Size } of core.snapshots) {
    if (l1TableOffset % geometry.clusterSize !== 0) {
      report.corruption(
        `snapshot ${id} (${name}) l1_offset=0x${l1TableOffset.toString(16)}: ` +
          "L1 table is not cluster aligned; snapshot table entry corrupted",
      );
    } else if (l1Size * 8 > MAX_L1_BYTES) {
      report.corruption(
        `snapshot ${id} (${name}) l1_size=0x${l1Size.toString(16)}: ` +
          "L1 table is too large; snapshot table entry corrupted",
      );
    } else {
      await walk.l1(l1TableOffset, l1Size, false);
    }
  }
  await walk.finish();
  walk.count(header.snapshotsOffset, core.snapshotTableSize);
  if (header.encryptionHeader !== undefined) walk.count(header.encryptionHeader.offset, header.encryptionHeader.length);
  await bitmaps.references(
    (offset, length) => walk.count(offset, length),
    (text) => report.corruption(text),
  );
  return walk.counts;
}
