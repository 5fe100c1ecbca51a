import { Arguments, FORCE_SHARE, IMAGE_OPTS, OBJECT, OUTPUT } from "../support/common.js";
import { CommandError, type Context, HelpWanted, messageOf, UsageError } from "../support/context.js";
import { luksOptions, qcow2Options } from "../support/create.js";
import { CreateOptions, isFormat, optionLists, optionRows } from "../support/create-options.js";
import { flag, valued } from "../support/getopt.js";
import type { OpenImage } from "../support/open.js";
import { toJson } from "../support/qdict.js";
import { sizeArgument } from "../support/sizes.js";
import { checkSnapshotParameter, openSnapshotSource } from "../support/snapshot-source.js";

/** `measure`: how large an image would be. */
export async function run(context: Context, args: readonly string[]): Promise<number> {
  const options = await parse(context, args);
  const { json } = options;
  checkSnapshotParameter(context, options.value("l"));
  const sizeText = options.value("size");
  const size = sizeText === undefined ? undefined : sizeArgument(context, "image size", sizeText);
  const [filename, ...extra] = options.operands;
  if (extra.length > 0) throw new CommandError("At most one filename argument is allowed.");
  if (filename === undefined && (options.has("image-opts") || options.has("f") || options.has("l"))) {
    throw new CommandError("--image-opts, -f, and -l require a filename argument.");
  }
  if (filename === undefined && size === undefined)
    throw new CommandError("Either --size N or one filename must be specified.");
  if (filename !== undefined && size !== undefined)
    throw new CommandError("--size N cannot be used together with a filename.");
  const source = filename === undefined ? undefined : await openSource(context, options, filename);
  try {
    const result = await measure(context, options, source, size ?? 0);
    if (json) {
      context.out(
        `${toJson({ required: result.required, "fully-allocated": result.fullyAllocated, bitmaps: result.bitmaps })}\n`,
      );
    } else {
      const bitmaps = result.bitmaps === undefined ? "" : `bitmaps size: ${result.bitmaps}\n`;
      context.out(`required size: ${result.required}\nfully allocated size: ${result.fullyAllocated}\n${bitmaps}`);
    }
  } finally {
    await source?.close();
  }
  return 0;
}

/** This command alone leaves it to getopt_long(3) to complain, and explains itself then. */
async function parse(context: Context, args: readonly string[]): Promise<Arguments> {
  try {
    return await Arguments.parse(context, args, {
      short: "hf:l:o:O:U",
      long: { help: flag("h"), ...IMAGE_OPTS, ...OBJECT, ...OUTPUT, size: valued("size"), ...FORCE_SHARE },
    });
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    context.terminal.err(`measure: ${error.standard}\n`);
    throw new HelpWanted();
  }
}

function openSource(context: Context, options: Arguments, filename: string): Promise<OpenImage> {
  const request = {
    filename,
    imageOpts: options.has("image-opts"),
    format: options.value("f"),
    forceShare: options.has("U"),
  };
  return openSnapshotSource(context, request, options.value("l"));
}

async function measure(context: Context, options: Arguments, source: OpenImage | undefined, size: number) {
  const format = options.value("O") ?? "raw";
  if (!isFormat(format)) throw new CommandError(`Unknown file format '${format}'`);
  if (format === "file") throw new CommandError(`Block driver '${format}' does not support size measurement`);
  const creation = new CreateOptions(optionRows(format, "create", true), (message) => context.warn(message));
  for (const text of optionLists(options.all("o"))) {
    try {
      creation.add(text);
    } catch (error) {
      context.error(messageOf(error));
      throw new CommandError(`Invalid options for file format '${format}'`);
    }
  }
  const bytes = Math.ceil((source?.disk.size ?? size) / 512) * 512;
  if (format === "raw") {
    const exact = BigInt(bytes);
    return { required: exact, fullyAllocated: exact, bitmaps: undefined };
  }
  const { measureLuks, measureQcow2 } = await import("@softmetal/qcow2");
  try {
    if (format === "luks") {
      const required = measureLuks(bytes, luksOptions(context, creation, ""));
      return { required, fullyAllocated: required, bitmaps: undefined };
    }
    const preallocation = creation.get("preallocation");
    if (preallocation !== undefined && !["off", "metadata", "falloc", "full"].includes(preallocation))
      throw new CommandError(`invalid parameter value: ${preallocation}`);
    if (!Number.isSafeInteger(bytes))
      throw new CommandError("The image size is too large (try using a larger cluster size)");
    const result = await measureQcow2(source?.disk ?? { size: bytes }, qcow2Options(context, creation, bytes));
    // What the backing file has is not known here: everything may have to be copied.
    return creation.has("backing_file") && source !== undefined
      ? { ...result, required: result.fullyAllocated }
      : result;
  } catch (error) {
    throw new CommandError(messageOf(error).replace("(use version=v3 or greater)", "(use compat=1.1 or greater)"));
  }
}
