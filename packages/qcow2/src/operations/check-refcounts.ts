import { MAX_HOST_OFFSET } from "../format/constants.js";
import type { ImageCore } from "../image/core.js";
import type { CheckReport, RepairMode } from "./check-report.js";
import { countRange } from "./check-tables.js";
import type { ClusterCounts } from "./cluster-counts.js";

const ENTRY_RESERVED = 0x1ff;

/** The refcount blocks as the table in the file names them, damage included. */
export interface RefcountBlocks {
  /** Bytes in the file; 0 where there is no block, negative where there cannot be one. */
  readonly offsets: Float64Array;
}

/** Reads the refcount table and counts the references to it and to the blocks. */
export async function countRefcountBlocks(
  core: ImageCore,
  report: CheckReport,
  counts: ClusterCounts,
  mode: RepairMode,
): Promise<RefcountBlocks> {
  const { refcounts, geometry, host } = core;
  const { clusterSize } = geometry;
  const table = new Uint8Array(refcounts.table.length * 8);
  await host.read(table, refcounts.tableOffset);
  countRange(core, report, counts, refcounts.tableOffset, table.length);
  const offsets = new Float64Array(refcounts.table.length);
  const view = new DataView(table.buffer);
  const clusters = Math.max(Math.ceil(host.end / clusterSize), counts.end);
  for (let index = 0; index < offsets.length; index++) {
    const high = view.getUint32(8 * index);
    const low = view.getUint32(8 * index + 4);
    const offset = high * 0x1_0000_0000 + low - (low & ENTRY_RESERVED);
    // The low half tells the alignment also where a number is not exact.
    const aligned = low % clusterSize <= ENTRY_RESERVED;
    offsets[index] = aligned && high < 0x8000_0000 ? offset : -1;
    if ((low & ENTRY_RESERVED) !== 0) {
      report.corruption(`refcount table entry ${index} has reserved bits set`);
      report.rebuild = true;
    } else if (!aligned) {
      report.corruption(`refcount block ${index} is not cluster aligned; refcount table entry corrupted`);
      report.rebuild = true;
    } else if (offset / clusterSize >= clusters) {
      if (mode === "all") {
        // A block that is not in the file holds nothing: rather than making room for it, do without.
        report.say("corruption", `Repairing refcount block ${index} is outside image`);
        report.corruptions++;
        report.rebuild = true;
      } else {
        report.corruption(`refcount block ${index} is outside image`);
      }
    } else if (offset !== 0) {
      countRange(core, report, counts, offset, clusterSize);
      const count = counts.get(offset / clusterSize);
      if (count !== 1) {
        report.corruption(`refcount block ${index} refcount=${count}`);
        report.rebuild = true;
      }
    }
  }
  return { offsets };
}

/**
 * The refcount of a cluster as the file has it; undefined when it cannot be read. A block that is not in the file holds
 * nothing.
 */
export async function storedRefcount(
  core: ImageCore,
  blocks: RefcountBlocks,
  cluster: number,
): Promise<number | undefined> {
  const offset = blocks.offsets[Math.floor(cluster / core.geometry.refcountsPerBlock)] ?? 0;
  if (offset < 0) return undefined;
  if (offset === 0 || offset > MAX_HOST_OFFSET) return 0;
  return core.refcounts.get(cluster).catch(() => undefined);
}

/** Compares stored with counted refcounts, cluster by cluster to the end of the file, and mends what `mode` says. */
export async function compareRefcounts(
  core: ImageCore,
  blocks: RefcountBlocks,
  counts: ClusterCounts,
  report: CheckReport,
  mode: RepairMode,
): Promise<void> {
  const { refcounts, geometry, host } = core;
  const { refcountsPerBlock: perBlock, clusterSize } = geometry;
  const clusters = Math.max(Math.ceil(host.end / clusterSize), counts.end);
  const block = new Uint8Array(clusterSize);
  let highest = 0;
  for (let first = 0; first < clusters; first += perBlock) {
    const index = first / perBlock;
    const offset = index < blocks.offsets.length ? blocks.offsets[index] : 0;
    if (offset > 0 && offset <= MAX_HOST_OFFSET) await host.read(block, offset);
    else block.fill(0);
    for (let i = 0; i < perBlock && first + i < clusters; i++) {
      const cluster = first + i;
      if (offset < 0) {
        report.error(`Can't get refcount for cluster ${cluster}: Input/output error`);
        continue;
      }
      const stored = refcounts.codec.get(block, i);
      const counted = counts.get(cluster);
      if (stored > 0 || counted > 0) highest = cluster;
      if (stored === counted) continue;
      const text = `cluster ${cluster} refcount=${stored} reference=${counted}`;
      // Without any count there may be no block to put it into, and what else the structures say is not to be trusted.
      if (stored === 0) report.rebuild = true;
      const fix = stored > 0 && (stored > counted ? mode !== "none" : mode === "all");
      if (fix && stored > counted) refcounts.lower(cluster, counted);
      else if (fix) await refcounts.force(cluster, counted);
      if (stored > counted) {
        report.leaks++;
        if (fix) report.leaksFixed++;
        report.say(fix ? "repaired" : "leak", `${fix ? "Repairing" : "Leaked"} ${text}`);
      } else if (fix) {
        report.repaired(text);
      } else {
        report.corruption(text);
      }
    }
    report.options.progress?.(Math.min(host.end, (first + perBlock) * clusterSize), host.end);
    report.options.signal?.throwIfAborted();
    if (mode !== "none" && core.needsFlush()) await core.flush();
  }
  report.imageEndOffset = (highest + 1) * clusterSize;
}
