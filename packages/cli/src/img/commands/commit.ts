import { Arguments, cacheMode, IMAGE_OPTS, OBJECT } from "../support/common.js";
import { CommandError, type Context, messageOf, UsageError } from "../support/context.js";
import { resolveBacking } from "../support/filename.js";
import { flag } from "../support/getopt.js";
import { imageInfo } from "../support/image-info.js";
import { lookOf } from "../support/look.js";
import { type OpenImage, openImage } from "../support/open.js";
import { ProgressLine } from "../support/progress.js";
import { sizeArgument } from "../support/sizes.js";

/** `commit`: writes what an overlay holds into its backing file, or one further down. */
export async function run(context: Context, args: readonly string[]): Promise<number> {
  const options = await Arguments.parse(context, args, {
    short: "f:ht:b:dpqr:",
    long: { help: flag("h"), ...OBJECT, ...IMAGE_OPTS },
  });
  if (options.operands.length !== 1) throw new UsageError("Expecting one image file name");
  const [filename] = options.operands;
  const cache = cacheMode(options.value("t"));
  const quiet = options.has("q");
  const rate = options.value("r");
  if (rate !== undefined) sizeArgument(context, "rate limit", rate);
  const imageOpts = options.has("image-opts");
  const base = options.value("b");
  // The whole chain has to be readable before any of it is opened for writing.
  await (await openImage(context, { filename, imageOpts, format: options.value("f") })).close();
  const target = await findBase(context, { filename, imageOpts, format: options.value("f") }, base);
  const top = await openImage(context, {
    filename,
    imageOpts,
    format: options.value("f"),
    write: true,
    cache,
    openBase: target.depth,
  });
  const progress = new ProgressLine(context, options.has("p") && !quiet);
  try {
    const { commit } = await import("@softmetal/qcow2");
    await commit(top.qcow2!, top.base!, {
      // A base further down leaves the layers between in need of the overlay's content.
      keepTop: options.has("d") || base !== undefined,
      depth: target.depth,
      progress: progress.update,
    });
  } catch (error) {
    throw error instanceof CommandError ? error : new CommandError(messageOf(error));
  } finally {
    await top.close();
  }
  progress.end();
  if (!quiet) context.out("Image committed.\n");
  return 0;
}

/** How many layers down the base is. */
async function findBase(
  context: Context,
  start: { filename: string; imageOpts: boolean; format: string | undefined },
  base: string | undefined,
): Promise<{ depth: number }> {
  let { filename, imageOpts, format } = start;
  for (let depth = 1; depth < 256; depth++) {
    const image: OpenImage = await openImage(context, {
      filename,
      imageOpts,
      format,
      noBacking: true,
      metadataOnly: true,
      withoutKey: true,
    });
    let backing: string | undefined;
    try {
      const info = await imageInfo(lookOf(image));
      backing = info.fullBackingFilename;
      format = info.qcow2?.backingFormat;
      if (backing !== undefined && (base === undefined || base === backing || base === info.qcow2?.backingFile))
        return { depth };
      if (backing !== undefined && resolveBacking(base!, start.filename) === backing) return { depth };
    } finally {
      await image.close();
    }
    if (backing === undefined) break;
    filename = backing;
    imageOpts = false;
  }
  throw new CommandError(
    base === undefined
      ? "Image does not have a backing file"
      : `Did not find '${base}' in the backing chain of '${start.filename}'`,
  );
}
