import type { BitmapStore } from "../bitmaps/store.js";
import { INCOMPATIBLE, MAX_SNAPSHOT_EXTRA_BYTES } from "../format/constants.js";
import type { ImageCore } from "../image/core.js";
import type { CheckOptions, CheckResult } from "../image/types.js";
import { loadSnapshots, writeSnapshots } from "../snapshots/table.js";
import { checkCopied } from "./check-copied.js";
import { compareRefcounts, countRefcountBlocks, type RefcountBlocks } from "./check-refcounts.js";
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
  const damagedSnapshots = await checkSnapshotTable(core, report, mode);
  const { blocks, counts } = await checkRefcounts(core, bitmaps, report, mode);
  await checkCopied(core, blocks, counts, report, mode);
  if (mode !== "none") await core.flush();
  report.corruptions += damagedSnapshots;
  if (damagedSnapshots > 0 && mode === "all") {
    await rewriteSnapshots(core);
    await mendFlags(core, bitmaps);
    report.corruptionsFixed += damagedSnapshots;
  }
  if (mode !== "none" && report.remaining === 0 && report.checkErrors === 0) await clearBits(core);
  return report.result();
}

/**
 * Looks at the entries of the snapshot table. Returns how many are damaged and stay until the table is written anew,
 * which needs sound refcounts.
 * @throws Qcow2Error when the table cannot be read
 */
async function checkSnapshotTable(core: ImageCore, report: CheckReport, mode: RepairMode): Promise<number> {
  let damaged = 0;
  if (core.snapshotDamage !== undefined) {
    if (mode !== "all") throw core.snapshotDamage;
    let dropped = 0;
    await loadSnapshots(core, {
      extraData: (index, size) => {
        damaged++;
        report.say(
          "repaired",
          `Discarding too much extra metadata in snapshot table entry ${index} (${size} > ${MAX_SNAPSHOT_EXTRA_BYTES})`,
        );
      },
      entries: (count) => {
        dropped = count;
        report.say("repaired", `Discarding ${count} overhanging snapshots (snapshot table is too big)`);
      },
    });
    if (dropped > 0) {
      // Without these entries the table is sound; what only they used is a leak now.
      core.header.nbSnapshots -= dropped;
      await core.writeHeader();
      await core.host.flush();
      report.corruptions += dropped;
      report.corruptionsFixed += dropped;
    }
    core.snapshotDamage = undefined;
  }
  if (core.header.version < 3) return damaged;
  // Version 3 wants the disk's size in every entry.
  core.snapshots.forEach(({ diskSize }, index) => {
    if (diskSize !== undefined) return;
    damaged++;
    report.say("corruption", `${mode === "all" ? "Repairing" : "ERROR"} snapshot table entry ${index} is incomplete`);
  });
  return damaged;
}

async function rewriteSnapshots(core: ImageCore): Promise<void> {
  await writeSnapshots(
    core,
    core.snapshots.map((entry) => ({ ...entry, diskSize: entry.diskSize ?? core.header.size })),
  );
  await core.flush();
}

/**
 * The damaged snapshot table may have lain over other clusters, which have one reference less since it was given up:
 * what was counted twice is owned now.
 */
async function mendFlags(core: ImageCore, bitmaps: BitmapStore): Promise<void> {
  const quiet = new CheckReport({ maxMessages: 0 });
  const counts = await countReferences(core, bitmaps, quiet);
  const blocks = await countRefcountBlocks(core, quiet, counts, "none");
  await checkCopied(core, blocks, counts, quiet, "all");
  await core.flush();
}

/** The refcount blocks there are, and the references that were counted. */
interface Examined {
  readonly blocks: RefcountBlocks;
  readonly counts: ClusterCounts;
}

/** Counts references, compares them with the refcounts and mends these. */
async function checkRefcounts(
  core: ImageCore,
  bitmaps: BitmapStore,
  report: CheckReport,
  mode: RepairMode,
): Promise<Examined> {
  const others = await countReferences(core, bitmaps, report, mode);
  const counts = others.clone();
  const blocks = await countRefcountBlocks(core, report, counts, mode);
  const before = { corruptions: report.corruptions, leaks: report.leaks, checkErrors: report.checkErrors };
  await compareRefcounts(core, blocks, counts, report, "none");
  if (mode === "none") return { blocks, counts };
  if (!report.rebuild) {
    if (report.corruptions > before.corruptions || report.leaks > before.leaks) {
      Object.assign(report, before);
      await compareRefcounts(core, blocks, counts, report, mode);
    }
    return { blocks, counts };
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
async function recount(core: ImageCore, bitmaps: BitmapStore, report: CheckReport): Promise<Examined> {
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
  return { blocks, counts };
}

async function clearBits(core: ImageCore): Promise<void> {
  const bits = INCOMPATIBLE.dirty | INCOMPATIBLE.corrupt;
  if ((core.header.incompatibleFeatures & bits) === 0n) return;
  core.header.incompatibleFeatures &= ~bits;
  await core.writeHeader();
  await core.host.flush();
}
