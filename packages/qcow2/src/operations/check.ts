import type { BitmapStore } from "../bitmaps/store.js";
import { INCOMPATIBLE } from "../format/constants.js";
import type { ImageCore } from "../image/core.js";
import type { CheckOptions, CheckResult } from "../image/types.js";
import { writeSnapshots } from "../snapshots/table.js";
import { checkCopied } from "./check-copied.js";
import { compareRefcounts, countRefcountBlocks } from "./check-refcounts.js";
import { countReferences } from "./check-references.js";
import { CheckReport, type RepairMode } from "./check-report.js";
import type { ClusterCounts } from "./cluster-counts.js";
import { rebuildRefcounts } from "./rebuild-refcounts.js";

/**
 * Examines all metadata, in the order and with the words of qemu-img (what differs is in DIVERGENCES.md). The caller
 * holds the exclusive lock.
 * @throws Qcow2Error "corrupt" where damage keeps the check from going on
 */
export async function check(core: ImageCore, bitmaps: BitmapStore, options: CheckOptions): Promise<CheckResult> {
  const report = new CheckReport(options);
  const mode = options.repair ?? "none";
  if (!core.options.readOnly) {
    await core.flush();
    // The check reads the file, so lazy refcounts have to be there, too.
    await core.settle();
  }
  const incomplete = incompleteSnapshots(core, report, mode);
  const counts = await checkRefcounts(core, bitmaps, report, mode);
  await checkCopied(core, counts, report, mode);
  if (mode !== "none") await core.flush();
  if (incomplete > 0 && mode === "all") {
    await completeSnapshots(core);
    report.corruptionsFixed += incomplete;
  }
  if (mode !== "none" && report.remaining === 0 && report.checkErrors === 0) await clearBits(core);
  return report.result();
}

/** Version 3 wants the disk's size in every snapshot table entry. Returns how many lack it. */
function incompleteSnapshots(core: ImageCore, report: CheckReport, mode: RepairMode): number {
  if (core.header.version < 3) return 0;
  let incomplete = 0;
  core.snapshots.forEach(({ diskSize }, index) => {
    if (diskSize !== undefined) return;
    incomplete++;
    report.corruptions++;
    report.say("corruption", `${mode === "all" ? "Repairing" : "ERROR"} snapshot table entry ${index} is incomplete`);
  });
  return incomplete;
}

async function completeSnapshots(core: ImageCore): Promise<void> {
  await writeSnapshots(
    core,
    core.snapshots.map((entry) => ({ ...entry, diskSize: entry.diskSize ?? core.header.size })),
  );
  await core.flush();
}

/** Counts references, compares them with the refcounts and mends these. Returns what was counted. */
async function checkRefcounts(
  core: ImageCore,
  bitmaps: BitmapStore,
  report: CheckReport,
  mode: RepairMode,
): Promise<ClusterCounts> {
  const others = await countReferences(core, bitmaps, report, mode);
  const counts = others.clone();
  const blocks = await countRefcountBlocks(core, report, counts, mode);
  const before = { corruptions: report.corruptions, leaks: report.leaks, checkErrors: report.checkErrors };
  await compareRefcounts(core, blocks, counts, report, "none");
  if (mode === "none") return counts;
  if (!report.rebuild) {
    if (report.corruptions > before.corruptions || report.leaks > before.leaks) {
      Object.assign(report, before);
      await compareRefcounts(core, blocks, counts, report, mode);
    }
    return counts;
  }
  if (mode === "leaks") {
    report.say("corruption", "ERROR need to rebuild refcount structures");
    core.fail(
      "corrupt",
      "the refcount structures have to be rebuilt, which repairing leaks does not do",
      "refcount table",
      core.refcounts.tableOffset,
    );
  }
  report.say("info", "Rebuilding refcount structure");
  await rebuildRefcounts(core, others, core.header.refcountOrder);
  return recount(core, bitmaps, report);
}

/** Finds out what is still wrong after the refcount structures were rebuilt. */
async function recount(core: ImageCore, bitmaps: BitmapStore, report: CheckReport): Promise<ClusterCounts> {
  const again = new CheckReport({ ...report.options, progress: undefined });
  const counts = await countReferences(core, bitmaps, again);
  const blocks = await countRefcountBlocks(core, again, counts, "none");
  await compareRefcounts(core, blocks, counts, again, "none");
  report.corruptions = Math.max(report.corruptions, report.corruptionsFixed + again.corruptions);
  report.corruptionsFixed = report.corruptions - again.corruptions;
  report.leaks = Math.max(report.leaks, again.leaks);
  report.leaksFixed = report.leaks - again.leaks;
  // What could not be read were the old structures.
  report.checkErrors = again.checkErrors;
  report.rebuild = again.rebuild;
  report.imageEndOffset = again.imageEndOffset;
  return counts;
}

async function clearBits(core: ImageCore): Promise<void> {
  const bits = INCOMPATIBLE.dirty | INCOMPATIBLE.corrupt;
  if ((core.header.incompatibleFeatures & bits) === 0n) return;
  core.header.incompatibleFeatures &= ~bits;
  await core.writeHeader();
  await core.host.flush();
}
