import type { CompareResult } from "@softmetal/qcow2";
import { Arguments, cacheMode, FORCE_SHARE, IMAGE_OPTS, OBJECT } from "../support/common.js";
import { CommandError, type Context, messageOf, UsageError } from "../support/context.js";
import { flag } from "../support/getopt.js";
import { type OpenImage, openImage } from "../support/open.js";
import { ProgressLine } from "../support/progress.js";
import { explained } from "../support/sources.js";

/** Exit status: the images differ (1), or the comparison failed. */
const DIFFERENT = 1;
const OPEN_FAILED = 2;
const READ_FAILED = 4;

/** `compare`: whether two images hold the same bytes. */
export async function run(context: Context, args: readonly string[]): Promise<number> {
  const options = await Arguments.parse(context, args, {
    short: "hf:F:T:pqsU",
    long: { help: flag("h"), ...OBJECT, ...IMAGE_OPTS, ...FORCE_SHARE },
  });
  const quiet = options.has("q");
  if (options.operands.length !== 2) throw new UsageError("Expecting two image file names");
  const progress = new ProgressLine(context, options.has("p") && !quiet);
  const first = await openOne(context, options, 0);
  let second: OpenImage | undefined;
  let status: number;
  try {
    second = await openOne(context, options, 1);
    const { compare } = await import("@softmetal/qcow2");
    const watched = [first, second].map(({ disk, filename }) =>
      explained(disk, (offset, reason) => {
        return new CommandError(`Error while reading offset ${offset} of ${filename}: ${reason}`, READ_FAILED);
      }),
    );
    const say = (text: string): void => (quiet ? undefined : context.out(text));
    const common = Math.min(first.disk.size, second.disk.size);
    let warned = first.disk.size === second.disk.size;
    /** Comes before anything is said of the part that only one image has. */
    const warnOfSize = (): void => {
      if (!warned) say("Warning: Image size mismatch!\n");
      warned = true;
    };
    const result = await compare(watched[0], watched[1], {
      strict: options.has("s"),
      progress: (done, total) => {
        if (done > common) warnOfSize();
        progress.update(done, total);
      },
    });
    status = explain(result, common, warnOfSize, say);
  } finally {
    await first.close();
    await second?.close();
  }
  progress.endLine();
  return status;
}

async function openOne(context: Context, options: Arguments, index: 0 | 1): Promise<OpenImage> {
  try {
    const cache = cacheMode(options.value("T"), "source cache");
    return await openImage(context, {
      filename: options.operands[index],
      format: options.value(index === 0 ? "f" : "F"),
      imageOpts: options.has("image-opts"),
      forceShare: options.has("U"),
      cache,
    });
  } catch (error) {
    throw new CommandError(messageOf(error), OPEN_FAILED);
  }
}

/** Prints the outcome and returns the exit status. */
function explain(result: CompareResult, common: number, warnOfSize: () => void, say: (text: string) => void): number {
  if (!result.equal && result.reason === "size") {
    say("Strict mode: Image size mismatch!\n");
    return DIFFERENT;
  }
  if (!result.equal && result.reason === "allocation") {
    say(`Strict mode: Offset ${result.offset} block status mismatch!\n`);
    return DIFFERENT;
  }
  // The common part is equal: what is left is the tail of the longer one.
  if (result.equal || result.offset >= common) warnOfSize();
  say(result.equal ? "Images are identical.\n" : `Content mismatch at offset ${result.offset}!\n`);
  return result.equal ? 0 : DIFFERENT;
}
