import type { CheckResult, Qcow2Image } from "@softmetal/qcow2";
import { Arguments, cacheMode, FORCE_SHARE, IMAGE_OPTS, OBJECT, OUTPUT } from "../support/common.js";
import { CommandError, type Context, messageOf, UsageError } from "../support/context.js";
import { flag, valued } from "../support/getopt.js";
import { openImage } from "../support/open.js";
import { toJson } from "../support/qdict.js";

/** Exit status. */
const CORRUPTIONS = 2;
const LEAKS = 3;
const UNSUPPORTED = 63;

/** `check`: examines an image's metadata, and repairs it with `-r`. */
export async function run(context: Context, args: readonly string[]): Promise<number> {
  const options = await Arguments.parse(context, args, {
    short: "hf:r:T:qU",
    long: {
      help: flag("h"),
      format: valued("f"),
      repair: valued("r"),
      ...OUTPUT,
      ...OBJECT,
      ...IMAGE_OPTS,
      ...FORCE_SHARE,
    },
  });
  const repair = options.value("r");
  if (repair !== undefined && repair !== "leaks" && repair !== "all") {
    throw new UsageError(`Unknown option value for -r (expecting 'leaks' or 'all'): ${repair}`);
  }
  if (options.operands.length !== 1) throw new UsageError("Expecting one image file name");
  const { json } = options;
  const quiet = options.has("q");
  const image = await openImage(context, {
    filename: options.operands[0],
    imageOpts: options.has("image-opts"),
    format: options.value("f"),
    write: repair !== undefined,
    cache: cacheMode(options.value("T"), "source cache"),
    forceShare: options.has("U"),
    metadataOnly: true,
    repair: true,
  });
  let result: CheckResult;
  let fixed = { corruptions: 0, leaks: 0 };
  try {
    if (image.qcow2 === undefined) throw new CommandError("This image format does not support checks", UNSUPPORTED);
    result = await check(context, image.qcow2, repair);
    if (repair !== undefined && (result.leaksFixed > 0 || result.corruptionsFixed > 0)) {
      fixed = { corruptions: result.corruptionsFixed, leaks: result.leaksFixed };
      if (!json && !quiet) {
        context.out(
          "The following inconsistencies were found and repaired:\n\n" +
            `    ${fixed.leaks} leaked clusters\n    ${fixed.corruptions} corruptions\n\n` +
            "Double checking the fixed image now...\n",
        );
      }
      result = await check(context, image.qcow2, undefined);
    }
  } finally {
    await image.close();
  }
  if (json) context.out(`${toJson(checkJson(options.operands[0], image.format, result, fixed))}\n`);
  else if (!quiet) printCheck(context, result);
  if (result.checkErrors > 0) throw new CommandError("Check failed");
  if (result.corruptions > 0) return CORRUPTIONS;
  return result.leaks > 0 ? LEAKS : 0;
}

async function check(context: Context, image: Qcow2Image, repair: "leaks" | "all" | undefined): Promise<CheckResult> {
  try {
    const result = await image.check({
      repair: repair ?? "none",
      onMessage: ({ text }) => context.terminal.err(`${text}\n`),
    });
    // qemu-img does not tell a flag that a leak makes look wrong from one that is.
    return { ...result, corruptions: result.corruptions + result.flagsOverLeaks };
  } catch (error) {
    throw new CommandError(`Check failed: ${messageOf(error)}`);
  }
}

const orNothing = (value: number): number | undefined => (value === 0 ? undefined : value);

function checkJson(
  filename: string,
  format: string,
  result: CheckResult,
  fixed: { corruptions: number; leaks: number },
) {
  return {
    filename,
    format,
    "check-errors": result.checkErrors,
    "image-end-offset": orNothing(result.imageEndOffset),
    corruptions: orNothing(result.corruptions),
    leaks: orNothing(result.leaks),
    "corruptions-fixed": orNothing(fixed.corruptions),
    "leaks-fixed": orNothing(fixed.leaks),
    "total-clusters": orNothing(result.totalClusters),
    "allocated-clusters": orNothing(result.allocatedClusters),
    "fragmented-clusters": orNothing(result.fragmentedClusters),
    "compressed-clusters": orNothing(result.compressedClusters),
  };
}

function printCheck(context: Context, result: CheckResult): void {
  const { corruptions, leaks, checkErrors, totalClusters, allocatedClusters } = result;
  if (corruptions === 0 && leaks === 0 && checkErrors === 0) context.out("No errors were found on the image.\n");
  if (corruptions > 0) {
    context.out(
      `\n${corruptions} errors were found on the image.\n` +
        "Data may be corrupted, or further writes to the image may corrupt it.\n",
    );
  }
  if (leaks > 0) {
    context.out(
      `\n${leaks} leaked clusters were found on the image.\nThis means waste of disk space, but no harm to data.\n`,
    );
  }
  if (checkErrors > 0) context.out(`\n${checkErrors} internal errors have occurred during the check.\n`);
  if (totalClusters > 0 && allocatedClusters > 0) {
    const percent = (part: number, whole: number): string => ((part * 100) / whole).toFixed(2);
    context.out(
      `${allocatedClusters}/${totalClusters} = ${percent(allocatedClusters, totalClusters)}% allocated, ` +
        `${percent(result.fragmentedClusters, allocatedClusters)}% fragmented, ` +
        `${percent(result.compressedClusters, allocatedClusters)}% compressed clusters\n`,
    );
  }
  if (result.imageEndOffset > 0) context.out(`Image end offset: ${result.imageEndOffset}\n`);
}
