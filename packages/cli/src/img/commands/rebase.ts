import { Arguments, cacheMode, FORCE_SHARE, IMAGE_OPTS, OBJECT } from "../support/common.js";
import { CommandError, type Context, ioErrorText, messageOf, UsageError } from "../support/context.js";
import { isFormat } from "../support/create-options.js";
import { resolveBacking } from "../support/filename.js";
import { flag } from "../support/getopt.js";
import { type OpenImage, openImage } from "../support/open.js";
import { ProgressLine } from "../support/progress.js";

/** `rebase`: gives an image another backing file. */
export async function run(context: Context, args: readonly string[]): Promise<number> {
  const options = await Arguments.parse(context, args, {
    short: "hf:F:b:upt:T:qU",
    long: { help: flag("h"), ...OBJECT, ...IMAGE_OPTS, ...FORCE_SHARE },
  });
  const unsafe = options.has("u");
  const backing = options.value("b");
  if (options.operands.length !== 1) throw new UsageError("Expecting one image file name");
  if (!unsafe && backing === undefined) throw new UsageError("Must specify backing file (-b) or use unsafe mode (-u)");
  const cache = cacheMode(options.value("t"));
  const sourceCache = cacheMode(options.value("T"), "source cache");
  const progress = new ProgressLine(context, options.has("p") && !options.has("q"));
  const image = await openImage(context, {
    filename: options.operands[0],
    imageOpts: options.has("image-opts"),
    format: options.value("f"),
    write: true,
    cache,
    noBacking: unsafe,
  });
  let next: OpenImage | undefined;
  try {
    const format = options.value("F");
    if (format !== undefined && !isFormat(format)) throw new CommandError(`Invalid format name: '${format}'`);
    if (!unsafe && backing) next = await openNext(context, image, backing, format, sourceCache);
    await rebase(image, backing, format, unsafe, next, progress);
  } catch (error) {
    throw error instanceof CommandError ? error : new CommandError(copyFailure(error, image, next) ?? messageOf(error));
  } finally {
    await next?.close();
    await image.close();
  }
  progress.end();
  return 0;
}

/** A read or write of data that failed, in QEMU's words. */
function copyFailure(error: unknown, image: OpenImage, next: OpenImage | undefined): string | undefined {
  const { name, code, reason, file } = error as { name?: string; code?: string; reason?: string; file?: string };
  if (name !== "Qcow2Error" || code !== "io") return undefined;
  if (file === image.file.name) return `Error while writing to COW image: ${ioErrorText(error)}`;
  if (reason?.startsWith("could not read") !== true) return undefined;
  return `error while reading from ${file === next?.file.name ? "new" : "old"} backing file`;
}

async function openNext(
  context: Context,
  image: OpenImage,
  backing: string,
  format: string | undefined,
  cache: string | undefined,
): Promise<OpenImage> {
  try {
    return await openImage(context, { filename: resolveBacking(backing, image.filename), format, cache });
  } catch (error) {
    const reason = messageOf(error).replace(/^Could not open '[^']*': /, "");
    throw new CommandError(`Could not open new backing file '${backing}': ${reason}`);
  }
}

async function rebase(
  image: OpenImage,
  backing: string | undefined,
  format: string | undefined,
  unsafe: boolean,
  next: OpenImage | undefined,
  progress: ProgressLine,
): Promise<void> {
  const failed = (reason: string): CommandError =>
    new CommandError(`Could not change the backing file to '${backing ?? ""}': ${reason}`);
  const removing = backing === undefined || backing === "";
  if (!removing && format === undefined) throw failed("backing format must be specified");
  if (image.qcow2 === undefined) throw failed("Operation not supported");
  const { rebase: change } = await import("@softmetal/qcow2");
  const target = removing ? undefined : { name: backing, format, disk: next?.disk };
  await change(image.qcow2, target, { unsafe, progress: progress.update });
}
