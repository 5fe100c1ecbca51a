import { COMPRESSED_HIGH, COPIED_HIGH, entryOffset, ZERO_LOW } from "../format/entries.js";
import type { ImageCore } from "../image/core.js";
import { type RefcountBlocks, storedRefcount } from "./check-refcounts.js";
import type { CheckReport, RepairMode } from "./check-report.js";
import type { ClusterCounts } from "./cluster-counts.js";

/**
 * Compares the COPIED flags of the active tables with the refcounts. Where a refcount is merely too great (a leak),
 * the flag of a cluster with a single reference is no damage, because writing in place is right.
 * @throws Qcow2Error "corrupt" when a flag cannot be mended because its table lies over other metadata
 */
export async function checkCopied(
  core: ImageCore,
  blocks: RefcountBlocks,
  counts: ClusterCounts,
  report: CheckReport,
  mode: RepairMode,
): Promise<void> {
  const { mapping, geometry, header, host } = core;
  if (mapping.l1Offset !== header.l1TableOffset) return;
  const { clusterSize } = geometry;
  // Without "all", flags are mended only when nothing else is wrong, so that the refcounts can be believed.
  const sound = report.remaining === 0 && report.leaks === report.leaksFixed && report.checkErrors === 0;
  const repair = mode === "all" || (mode === "leaks" && sound);
  const seen = new Map<number, number>();
  for (let index = 0; index < mapping.l1Size; index++) {
    const high = mapping.l1.getUint32(8 * index);
    const offset = entryOffset(high, mapping.l1.getUint32(8 * index + 4));
    if (offset === 0) continue;
    const stored = await storedRefcount(core, blocks, Math.floor(offset / clusterSize));
    if (stored === undefined) continue;
    const flag = (high & COPIED_HIGH) !== 0;
    if (flag !== (stored === 1)) {
      const entry = mapping.l1.getBigUint64(8 * index).toString(16);
      const text = `OFLAG_COPIED L2 cluster: l1_index=${index} l1_entry=${entry} refcount=${stored}`;
      if (flag && stored > 1 && counts.get(Math.floor(offset / clusterSize)) === 1) {
        report.flagOverLeak(text);
      } else if (repair) {
        const at = mapping.l1Offset + 8 * index;
        report.repaired(text);
        core.checkOverlap(at, 8, "active L1 table");
        mapping.l1.setUint32(8 * index, (high ^ COPIED_HIGH) >>> 0);
        await host.write(new Uint8Array(mapping.l1.buffer, mapping.l1.byteOffset + 8 * index, 8), at);
      } else {
        report.corruption(text);
      }
    }
    if (offset >= host.end) continue;
    // What a table has wrong is wrong as often as the table is named; once mended it is right everywhere.
    const before = seen.get(offset);
    if (before !== undefined) {
      report.corruptions += before;
      continue;
    }
    const found = report.remaining;
    await checkTable(core, offset, blocks, counts, report, repair);
    seen.set(offset, report.remaining - found);
    report.options.signal?.throwIfAborted();
  }
}

async function checkTable(
  core: ImageCore,
  offset: number,
  blocks: RefcountBlocks,
  counts: ClusterCounts,
  report: CheckReport,
  repair: boolean,
): Promise<void> {
  const { geometry, hasDataFile, host } = core;
  const { clusterSize, l2EntrySize, extendedL2 } = geometry;
  const data = new Uint8Array(clusterSize);
  await host.read(data, offset);
  const view = new DataView(data.buffer);
  let changed = false;
  for (let at = 0; at < clusterSize; at += l2EntrySize) {
    const high = view.getUint32(at);
    const low = view.getUint32(at + 4);
    if ((high & COMPRESSED_HIGH) !== 0) continue;
    const flag = (high & COPIED_HIGH) !== 0;
    const target = entryOffset(high, low);
    if (target === 0 && !(hasDataFile && flag && (extendedL2 || (low & ZERO_LOW) === 0))) continue;
    const cluster = Math.floor(target / clusterSize);
    const stored = hasDataFile ? 1 : await storedRefcount(core, blocks, cluster);
    if (stored === undefined || flag === (stored === 1)) continue;
    const text = `OFLAG_COPIED data cluster: l2_entry=${view.getBigUint64(at).toString(16)} refcount=${stored}`;
    if (flag && stored > 1 && counts.get(cluster) === 1) {
      report.flagOverLeak(text);
    } else if (repair) {
      view.setUint32(at, (high ^ COPIED_HIGH) >>> 0);
      changed = true;
      report.repaired(text);
    } else {
      report.corruption(text);
    }
  }
  if (!changed) return;
  core.checkOverlap(offset, clusterSize, "active L2 table");
  await host.write(data, offset);
  core.mapping.cache.forget(offset);
}
