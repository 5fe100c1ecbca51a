import type { Qcow2Image } from "@softmetal/qcow2";
import { Arguments, cacheMode, IMAGE_OPTS, OBJECT } from "../support/common.js";
import { CommandError, type Context, messageOf, UsageError } from "../support/context.js";
import { compatVersion } from "../support/create.js";
import { CreateOptions, isFormat, optionRows, printOptionHelp, wantsHelp } from "../support/create-options.js";
import { flag } from "../support/getopt.js";
import { openImage } from "../support/open.js";
import { ProgressLine } from "../support/progress.js";

/** `amend -o`: changes format options of an existing image. */
export async function run(context: Context, args: readonly string[]): Promise<number> {
  const options = new Arguments(context, args, {
    short: "ho:f:t:pq",
    long: { help: flag("h"), force: flag("force"), ...OBJECT, ...IMAGE_OPTS },
  });
  const given = options.all("o");
  if (given.length === 0) throw new UsageError("Must specify options (-o)");
  const format = options.value("f");
  if (given.some(wantsHelp) && format !== undefined) return help(context, format);
  if (options.operands.length !== 1) throw new UsageError("Expecting one image file name");
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
    if (image.qcow2 === undefined)
      throw new CommandError(`Format driver '${image.format}' does not support option amendment`);
    const amendments = new CreateOptions(optionRows("qcow2", "amend", false));
    for (const text of given) addAmendments(amendments, text);
    progress.update(0, 1);
    await amend(context, image.qcow2, amendments, progress);
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
  if (format !== "qcow2") throw new CommandError(`Format driver '${format}' does not support option amendment`);
  printOptionHelp(context, `Amend options for '${format}':`, optionRows(format, "amend", false));
  return 0;
}

function addAmendments(amendments: CreateOptions, text: string): void {
  try {
    amendments.add(text);
  } catch (error) {
    const name = /^Invalid parameter '(.*)'$/.exec((error as Error).message)?.[1];
    if (name === undefined || !optionRows("qcow2", "create", false).some((row) => row.name === name)) throw error;
    throw new CommandError(`Invalid parameter '${name}'\nThis option is only supported for image creation`);
  }
}

async function amend(
  context: Context,
  image: Qcow2Image,
  options: CreateOptions,
  progress: ProgressLine,
): Promise<void> {
  const compat = options.get("compat");
  if (compat !== undefined && !["0.10", "v2", "1.1", "v3"].includes(compat)) {
    throw new CommandError(`Unknown compatibility level ${compat}`);
  }
  const refcountBits = options.number("refcount_bits");
  if (refcountBits !== undefined && (refcountBits > 64 || !Number.isInteger(Math.log2(refcountBits)))) {
    throw new CommandError("Refcount width must be a power of two and may not exceed 64 bits");
  }
  const encryption = [
    "encrypt.state",
    "encrypt.new-secret",
    "encrypt.old-secret",
    "encrypt.keyslot",
    "encrypt.iter-time",
  ];
  if (encryption.some((name) => options.has(name))) await amendKeys(context, image, options);
  await image.amend(
    {
      version: compat === undefined ? undefined : compatVersion(compat),
      lazyRefcounts: options.switch("lazy_refcounts"),
      refcountBits,
    },
    { progress: progress.update },
  );
  const backing = options.get("backing_file");
  const format = options.get("backing_fmt");
  const { backingFile, backingFormat } = image.info();
  if (
    (backing !== undefined && backing !== (backingFile ?? "")) ||
    (format !== undefined && format !== backingFormat)
  ) {
    throw new CommandError(`Cannot amend the backing file\nYou can use '${context.program} rebase' instead.`);
  }
  if (options.has("data_file")) throw new CommandError("Changing the data file is not supported");
  const raw = options.switch("data_file_raw");
  if (raw !== undefined && raw !== image.info().dataFileRaw) {
    throw new CommandError("data-file-raw cannot be set on existing images");
  }
  const size = options.size("size");
  if (size !== undefined) await image.resize(size, { shrink: true });
}

/** Adds or erases a passphrase of a LUKS image. */
async function amendKeys(context: Context, image: Qcow2Image, options: CreateOptions): Promise<void> {
  const secret = (name: string): string | undefined => {
    const id = options.get(name);
    if (id === undefined) return undefined;
    const value = context.secrets.get(id);
    if (value === undefined) throw new CommandError(`No secret with id '${id}'`);
    return value;
  };
  const state = options.get("encrypt.state");
  const slot = options.number("encrypt.keyslot");
  if (state === "active") {
    const passphrase = secret("encrypt.new-secret");
    if (passphrase === undefined) throw new CommandError("'new-secret' is required to activate a keyslot");
    await image.addPassphrase({ passphrase, slot, iterTime: options.number("encrypt.iter-time") });
    return;
  }
  if (state !== "inactive") throw new CommandError(`Invalid parameter '${state ?? ""}'`);
  const passphrase = secret("encrypt.old-secret");
  if (passphrase !== undefined) await image.removePassphrase({ passphrase });
  else if (slot !== undefined) await image.removePassphrase({ slot });
  else throw new CommandError("Erasing needs 'old-secret' or 'keyslot'");
}
