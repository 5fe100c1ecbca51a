import { COMPRESSED_HIGH, COPIED_HIGH, entryOffset } from "../format/entries.js";
import type { ImageCore } from "../image/core.js";
import type { CheckReport } from "./check-report.js";
import type { ClusterCounts } from "./cluster-counts.js";

/**
 * Compares the COPIED flags of the active tables with the refcounts. Where a refcount is merely too great (a leak),
 * the flag of a cluster with a single reference is no damage: writing in place is right.
 */
export async function checkCopied(
  core: ImageCore,
  counts: ClusterCounts,
  report: CheckReport,
  mode: "none" | "leaks" | "all",
): Promise<void> {
  const { mapping, geometry, hasDataFile } = core;
  const { clusterSize, l2EntrySize } = geometry;
  if (mapping.l1Offset !== core.header.l1TableOffset) return;
  const visited = new Set<number>();
  const stored = async (offset: number): Promise<number> => core.refcounts.get(offset / clusterSize).catch(() => -1);
  const judge = async (offset: number, flag: boolean, text: string): Promise<"right" | "fix" | "wrong"> => {
    const count = await stored(offset);
    if (count < 0 || flag === (count === 1)) return "right";
    const references = counts.get(offset / clusterSize);
    const leaked = count > references;
    if (leaked && flag && references === 1) return "right";
    if (mode === "all" || (mode === "leaks" && references === 1 && count === 1 && report.leaksFixed > 0)) {
      report.corruptions++;
      report.corruptionsFixed++;
      report.say("repaired", `Repairing OFLAG_COPIED ${text} refcount=${count}`);
      return "fix";
    }
    report.corruption(`OFLAG_COPIED ${text} refcount=${count}`);
    return "wrong";
  };
  for (let index = 0; index < mapping.l1Size; index++) {
    const high = mapping.l1.getUint32(8 * index);
    const offset = entryOffset(high, mapping.l1.getUint32(8 * index + 4));
    if (offset === 0 || offset % clusterSize !== 0 || offset >= core.host.end || visited.has(offset)) continue;
    visited.add(offset);
    const flag = (high & COPIED_HIGH) !== 0;
    const entry = mapping.l1.getBigUint64(8 * index).toString(16);
    if ((await judge(offset, flag, `L2 cluster: l1_index=${index} l1_entry=${entry}`)) === "fix") {
      mapping.setL1(index, offset, !flag);
    }
    const { view } = mapping.cache.peek(offset) ?? (await mapping.cache.load(offset));
    const fixes: number[] = [];
    for (let at = 0; at < clusterSize; at += l2EntrySize) {
      const entryHigh = view.getUint32(at);
      const host = entryOffset(entryHigh, view.getUint32(at + 4));
      if ((entryHigh & COMPRESSED_HIGH) !== 0 || host === 0 || host % clusterSize !== 0) continue;
      const copied = (entryHigh & COPIED_HIGH) !== 0;
      if (hasDataFile) {
        if (copied) continue;
        report.corruption(`OFLAG_COPIED data cluster: l2_entry=${view.getBigUint64(at).toString(16)} refcount=1`);
        if (mode !== "all") continue;
        report.corruptionsFixed++;
        fixes.push(at);
        continue;
      }
      if ((await judge(host, copied, `data cluster: l2_entry=${view.getBigUint64(at).toString(16)}`)) === "fix")
        fixes.push(at);
    }
    if (fixes.length === 0) continue;
    const table = mapping.cache.peek(offset) ?? (await mapping.cache.load(offset));
    for (const at of fixes) {
      table.view.setUint32(at, (table.view.getUint32(at) ^ COPIED_HIGH) >>> 0);
      mapping.cache.markDirty(table, at, at + 8);
    }
    if (core.needsFlush()) await core.flush();
  }
}
