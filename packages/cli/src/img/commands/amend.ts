import type { Qcow2Image } from "@softmetal/qcow2";
import { Arguments, cacheMode, IMAGE_OPTS, OBJECT } from "../support/common.js";
import { CommandError, type Context, messageOf, UsageError } from "../support/context.js";
import { compatVersion } from "../support/create.js";
import {
  CreateOptions,
  type Format,
  isFormat,
  optionLists,
  optionRows,
  printOptionHelp,
  wantsHelp,
} from "../support/create-options.js";
import { flag } from "../support/getopt.js";
import { amendKeys, amendsKeys } from "../support/key-slots.js";
import { openImage } from "../support/open.js";
import { ProgressLine } from "../support/progress.js";

/** `amend -o`: changes format options of an existing image. */
export async function run(context: Context, args: readonly string[]): Promise<number> {
  const options = await Arguments.parse(context, args, {
    short: "ho:f:t:pq",
    long: { help: flag("h"), force: flag("force"), ...OBJECT, ...IMAGE_OPTS },
  });
  const given = optionLists(options.all("o"));
  if (given.length === 0) throw new UsageError("Must specify options (-o)");
  const format = options.value("f");
  if (given.some(wantsHelp) && format !== undefined) return help(context, format);
  if (options.operands.length !== 1) throw new CommandError("Expecting one image file name");
  const cache = cacheMode(options.value("t"));
  const progress = new ProgressLine(context, options.has("p") && !options.has("q"), 1);
  const image = await openImage(context, {
    filename: options.operands[0],
    imageOpts: options.has("image-opts"),
    format,
    write: true,
    cache,
  });
  try {
    if (given.some(wantsHelp)) return help(context, image.format);
    const { format, qcow2, luks } = image;
    if (format === "raw" || format === "file")
      throw new CommandError(`Format driver '${format}' does not support option amendment`);
    const amendments = new CreateOptions(optionRows(format, "amend", false));
    for (const text of given) addAmendments(amendments, text, format);
    progress.update(0, 1);
    const force = options.has("force");
    if (luks !== undefined) await amendKeys(context, luks, luks.info(), amendments, "", force);
    else if (qcow2 !== undefined) await amendImage(context, qcow2, amendments, progress, force);
  } catch (error) {
    throw error instanceof CommandError ? error : new CommandError(messageOf(error));
  } finally {
    await image.close();
  }
  progress.end();
  return 0;
}

function help(context: Context, format: string): number {
  if (!isFormat(format)) throw new CommandError(`Unknown file format '${format}'`);
  if (format === "raw" || format === "file")
    throw new CommandError(`Format driver '${format}' does not support option amendment`);
  printOptionHelp(context, `Amend options for '${format}':`, optionRows(format, "amend", false));
  return 0;
}

function addAmendments(amendments: CreateOptions, text: string, format: Format): void {
  try {
    amendments.add(text);
  } catch (error) {
    const name = /^Invalid parameter '(.*)'$/.exec((error as Error).message)?.[1];
    if (name === undefined || !optionRows(format, "create", false).some((row) => row.name === name)) throw error;
    throw new CommandError(`Invalid parameter '${name}'\nThis option is only supported for image creation`);
  }
}

async function amendImage(
  context: Context,
  image: Qcow2Image,
  options: CreateOptions,
  progress: ProgressLine,
  force: boolean,
): Promise<void> {
  const compat = options.get("compat");
  if (compat !== undefined && !["0.10", "v2", "1.1", "v3"].includes(compat)) {
    throw new CommandError(`Unknown compatibility level ${compat}`);
  }
  const refcountBits = options.number("refcount_bits");
  if (refcountBits !== undefined && (refcountBits > 64 || !Number.isInteger(Math.log2(refcountBits)))) {
    throw new CommandError("Refcount width must be a power of two and may not exceed 64 bits");
  }
  const info = image.info();
  const keys = amendsKeys(options, "encrypt.");
  if (keys && info.encryption === "none")
    throw new CommandError("Can't amend encryption options - encryption not present");
  if (keys && info.luks === undefined) throw new CommandError("Only LUKS encryption options can be amended");
  const dataFile = options.get("data_file");
  const dataFileRaw = options.switch("data_file_raw");
  if (dataFile !== undefined && !info.hasDataFile)
    throw new CommandError("data-file can only be set for images that use an external data file");
  if (dataFileRaw === true && !info.dataFileRaw)
    throw new CommandError("data-file-raw cannot be set on existing images");
  const version = compat === undefined ? info.version : compatVersion(compat);
  const tooOld = "compatibility level 1.1 or above (use compat=1.1 or greater)";
  if (version < 3 && refcountBits !== undefined && refcountBits !== info.refcountBits)
    throw new CommandError(`Refcount widths other than 16 bits require ${tooOld}`);
  if (version < 3 && options.switch("lazy_refcounts") === true && !info.lazyRefcounts)
    throw new CommandError(`Lazy refcounts only supported with ${tooOld.replace("or", "and")}`);
  if (keys) await amendKeys(context, image, info.luks!, options, "encrypt.", force);
  const size = options.size("size");
  // A version 2 image with snapshots cannot be resized: before going there, and after coming from there.
  if (size !== undefined && version === 2) await image.resize(size, { shrink: true });
  await image.amend(
    {
      version,
      lazyRefcounts: options.switch("lazy_refcounts"),
      refcountBits,
      dataFile,
      dataFileRaw,
    },
    { progress: progress.update },
  );
  const backing = options.get("backing_file");
  const format = options.get("backing_fmt");
  const { backingFile, backingFormat } = info;
  if (
    (backing !== undefined && backing !== (backingFile ?? "")) ||
    (format !== undefined && format !== backingFormat)
  ) {
    throw new CommandError(`Cannot amend the backing file\nYou can use '${context.program} rebase' instead.`);
  }
  if (size !== undefined && version !== 2) await image.resize(size, { shrink: true });
}
