import { Arguments, IMAGE_OPTS, OBJECT } from "../support/common.js";
import { CommandError, type Context, messageOf } from "../support/context.js";
import { flag, valued } from "../support/getopt.js";
import { type OpenImage, openImage } from "../support/open.js";
import { sizeArgument } from "../support/sizes.js";

const ACTIONS = ["add", "remove", "clear", "enable", "disable", "merge"] as const;
type Action = (typeof ACTIONS)[number];

/** `bitmap`: changes the persistent dirty bitmaps of an image, one action after the other. */
export async function run(context: Context, args: readonly string[]): Promise<number> {
  const options = await Arguments.parse(context, args, {
    short: "b:f:F:g:h",
    long: {
      help: flag("h"),
      add: flag("add"),
      remove: flag("remove"),
      clear: flag("clear"),
      enable: flag("enable"),
      disable: flag("disable"),
      merge: valued("merge"),
      "source-file": valued("b"),
      "source-format": valued("F"),
      granularity: valued("g"),
      ...OBJECT,
      ...IMAGE_OPTS,
    },
  });
  const actions = options.options.filter((option): option is { key: Action; value: string } =>
    (ACTIONS as readonly string[]).includes(option.key),
  );
  const granularity = options.value("g");
  const bytes = granularity === undefined ? undefined : sizeArgument(context, "granularity", granularity) || undefined;
  if (actions.length === 0) {
    throw new CommandError("Need at least one of --add, --remove, --clear, --enable, --disable, or --merge");
  }
  if (bytes !== undefined && !options.has("add")) throw new CommandError("granularity only supported with --add");
  if (options.has("F") && !options.has("b")) throw new CommandError("-F only supported with -b");
  if (options.has("b") && !options.has("merge"))
    throw new CommandError("Merge bitmap source file only supported with --merge");
  if (options.operands.length !== 2) throw new CommandError("Expecting filename and bitmap name");
  const [filename, bitmap] = options.operands;
  const image = await openImage(context, {
    filename,
    imageOpts: options.has("image-opts"),
    format: options.value("f"),
    write: true,
    noBacking: true,
    metadataOnly: true,
  });
  let source: OpenImage | undefined;
  try {
    const sourceName = options.value("b");
    if (sourceName !== undefined) {
      source = await openImage(context, {
        filename: sourceName,
        format: options.value("F"),
        noBacking: true,
        metadataOnly: true,
      });
    }
    for (const { key, value } of actions) {
      await perform(image, source, key, bitmap, { source: value, granularity: bytes }).catch((error: unknown) => {
        throw new CommandError(`Operation ${key} on bitmap ${bitmap} failed: ${messageOf(error)}`);
      });
    }
  } finally {
    await source?.close();
    await image.close();
  }
  return 0;
}

interface Details {
  readonly source: string;
  readonly granularity: number | undefined;
}

async function perform(
  image: OpenImage,
  source: OpenImage | undefined,
  action: Action,
  bitmap: string,
  details: Details,
): Promise<void> {
  const { qcow2 } = image;
  const known = qcow2?.listBitmaps().some(({ name }) => name === bitmap) ?? false;
  if (action === "add") {
    if (bitmap === "") throw new CommandError("Bitmap name cannot be empty");
    if (Buffer.byteLength(bitmap) > 1023) throw new CommandError("Bitmap name is too long");
    if (known) throw new CommandError(`Bitmap already exists: ${bitmap}`);
    const { granularity } = details;
    if (granularity !== undefined && (granularity < 512 || !Number.isInteger(Math.log2(granularity)))) {
      throw new CommandError("Granularity must be power of 2 and at least 512");
    }
    if (qcow2 === undefined)
      throw new CommandError(`Can't store persistent bitmaps to ${image.filename}: Operation not supported`);
    if (qcow2.info().version === 2) {
      throw new CommandError(
        `Can't make bitmap '${bitmap}' persistent in '${image.filename}': Cannot store dirty bitmaps in qcow2 v2 files`,
      );
    }
    await qcow2.createBitmap(bitmap, { granularity });
    return;
  }
  if (qcow2 === undefined || !known) throw new CommandError(`Dirty bitmap '${bitmap}' not found`);
  if (action === "remove") return qcow2.removeBitmap(bitmap);
  if (action === "clear") return qcow2.clearBitmap(bitmap);
  if (action === "enable") return qcow2.setBitmapEnabled(bitmap, true);
  if (action === "disable") return qcow2.setBitmapEnabled(bitmap, false);
  const from = source === undefined ? qcow2 : source.qcow2;
  if (!from?.listBitmaps().some(({ name }) => name === details.source)) {
    throw new CommandError(`Dirty bitmap '${details.source}' not found`);
  }
  if (source !== undefined && source.disk.size !== image.disk.size) {
    throw new CommandError(
      `Bitmaps are of different sizes (destination size is ${image.disk.size}, source size is ${source.disk.size}) ` +
        "and can't be merged",
    );
  }
  await qcow2.mergeBitmap(bitmap, details.source, from);
}
