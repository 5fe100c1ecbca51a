import type { BitmapStore } from "../bitmaps/store.js";
import { INCOMPATIBLE } from "../format/constants.js";
import type { ImageCore } from "../image/core.js";
import type { CheckOptions, CheckResult } from "../image/types.js";
import { writeSnapshots } from "../snapshots/table.js";
import { checkCopied } from "./check-copied.js";
import { countReferences, validBlock } from "./check-references.js";
import { CheckReport } from "./check-report.js";
import type { ClusterCounts } from "./cluster-counts.js";
import { rebuildRefcounts } from "./rebuild-refcounts.js";

/** Examines all metadata. The caller holds the exclusive lock. */
export async function check(core: ImageCore, bitmaps: BitmapStore, options: CheckOptions): Promise<CheckResult> {
  const report = new CheckReport(options);
  const mode = options.repair ?? "none";
  if (!core.options.readOnly) await core.flush();
  const counts = await countReferences(core, bitmaps, report);
  const missing = await compare(core, counts, report, mode);
  if (mode === "all" && (report.rebuild || missing)) {
    const fresh = await countReferences(core, bitmaps, new CheckReport({ maxMessages: 0 }), false);
    await rebuildRefcounts(core, fresh, core.header.refcountOrder);
    // What the walk itself complained about stays; everything about counts is right now.
    report.corruptionsFixed = report.mismatches;
    report.leaksFixed = report.leaks;
    report.say("repaired", "Rebuilt the refcount structures");
  }
  await checkSnapshotEntries(core, report, mode);
  await checkCopied(core, counts, report, mode);
  if (mode !== "none") await core.flush();
  if (mode === "all" && report.corruptions === report.corruptionsFixed && report.checkErrors === 0)
    await clearBits(core);
  report.imageEndOffset = await core.refcounts.usedEnd().catch(() => 0);
  return report.result();
}

/** Version 3 wants the disk's size in every snapshot table entry. */
async function checkSnapshotEntries(
  core: ImageCore,
  report: CheckReport,
  mode: "none" | "leaks" | "all",
): Promise<void> {
  if (core.header.version < 3) return;
  const incomplete = core.snapshots.filter(({ diskSize }) => diskSize === undefined);
  if (incomplete.length === 0) return;
  for (const entry of incomplete) {
    report.corruption(`snapshot table entry ${core.snapshots.indexOf(entry)} is incomplete`);
  }
  if (mode !== "all") return;
  await writeSnapshots(
    core,
    core.snapshots.map((entry) => ({ ...entry, diskSize: entry.diskSize ?? core.header.size })),
  );
  await core.flush();
  report.corruptionsFixed += incomplete.length;
}

async function clearBits(core: ImageCore): Promise<void> {
  const bits = INCOMPATIBLE.dirty | INCOMPATIBLE.corrupt;
  if ((core.header.incompatibleFeatures & bits) === 0n) return;
  core.header.incompatibleFeatures &= ~bits;
  await core.writeHeader();
  await core.host.flush();
}

/** Compares stored with counted refcounts. Returns whether entries are needed where there is no refcount block. */
async function compare(
  core: ImageCore,
  counts: ClusterCounts,
  report: CheckReport,
  mode: "none" | "leaks" | "all",
): Promise<boolean> {
  const { refcounts, geometry, host } = core;
  const { refcountsPerBlock: perBlock } = geometry;
  const covered = new Set<number>();
  const blocks = new Set<number>();
  for (let index = 0; index < refcounts.table.length; index++) {
    const offset = refcounts.table[index];
    if (!validBlock(core, offset) || blocks.has(offset)) continue;
    blocks.add(offset);
    covered.add(index);
    const block = (await refcounts.block(index))!;
    const { data } = block;
    for (let i = 0; i < perBlock; i++) {
      const stored = refcounts.codec.get(data, i);
      const cluster = index * perBlock + i;
      const counted = counts.get(cluster);
      if (stored === counted) continue;
      const fix = stored > counted ? mode !== "none" : mode === "all";
      const text = `cluster ${cluster} refcount=${stored} reference=${counted}`;
      if (stored > counted) {
        report.leaks++;
        report.say("leak", fix ? `Repairing ${text}` : `Leaked ${text}`);
      } else {
        report.corruptions++;
        report.mismatches++;
        report.say("corruption", fix ? `Repairing ${text}` : `ERROR ${text}`);
      }
      if (!fix || report.rebuild || counted > refcounts.codec.max) continue;
      await refcounts.force(cluster, counted);
      if (stored > counted) report.leaksFixed++;
      else report.corruptionsFixed++;
    }
    report.options.progress?.(Math.min(host.end, (index + 1) * perBlock * geometry.clusterSize), host.end);
    report.options.signal?.throwIfAborted();
    if (mode !== "none" && core.needsFlush()) await core.flush();
  }
  let missing = false;
  for (const cluster of counts.used()) {
    if (covered.has(Math.floor(cluster / perBlock))) continue;
    missing = true;
    report.corruptions++;
    report.mismatches++;
    report.say("corruption", `ERROR cluster ${cluster} refcount=0 reference=${counts.get(cluster)}`);
  }
  return missing;
}
