import { Arguments, IMAGE_OPTS, OBJECT } from "../support/common.js";
import { CommandError, type Context, errnoText, messageOf, UsageError } from "../support/context.js";
import { preallocationFailure } from "../support/create.js";
import { flag, getopt, valued } from "../support/getopt.js";
import { openImage } from "../support/open.js";
import { sizeOption, sizeWarning } from "../support/sizes.js";

/** A file of the host that cannot be made so large. */
function resizeFailure(error: unknown, format: string): string {
  const system = errnoText(error);
  return system === undefined || format === "qcow2" ? messageOf(error) : `Could not resize file: ${system}`;
}

const PREALLOCATION = ["off", "metadata", "falloc", "full"] as const;

/** `resize FILE [+|-]SIZE`. */
export async function run(context: Context, args: readonly string[]): Promise<number> {
  // The size comes last and may look like an option ("-1G"): it is taken off first.
  if (args.length < 2) throw new UsageError("Not enough arguments");
  const size = args[args.length - 1];
  const spec = {
    short: "f:hq",
    long: { help: flag("h"), preallocation: valued("preallocation"), shrink: flag("shrink"), ...OBJECT, ...IMAGE_OPTS },
  };
  const options = await Arguments.parse(context, args.slice(0, -1), spec);
  const preallocation = options.value("preallocation") ?? "off";
  const mode = PREALLOCATION.find((candidate) => candidate === preallocation);
  if (mode === undefined) throw new CommandError(`Invalid preallocation mode '${preallocation}'`);
  if (options.operands.length !== 1) {
    // Without a file name the "size" was the file name, or an option.
    if (options.operands.length === 0) {
      getopt(args, spec);
      throw new UsageError("Expecting image file name and size");
    }
    throw new UsageError("Expecting image file name and size");
  }
  const sign = size[0] === "+" ? 1 : size[0] === "-" ? -1 : 0;
  const number = sign === 0 ? size : size.slice(1);
  const warning = sizeWarning(number);
  if (warning !== undefined) context.warn(warning);
  const amount = sizeOption("size", number);
  const image = await openImage(context, {
    filename: options.operands[0],
    imageOpts: options.has("image-opts"),
    format: options.value("f"),
    write: true,
    noBacking: false,
    metadataOnly: true,
  });
  try {
    // Disks are whole sectors, whatever the file has.
    const current = Math.ceil(image.disk.size / 512) * 512;
    const total = sign === 0 ? amount : current + sign * amount;
    if (total <= 0 || total >= 2 ** 63) throw new CommandError("New image size must be positive");
    if (total <= current && mode !== "off") throw new CommandError("Preallocation can only be used for growing images");
    if (total < current && !options.has("shrink")) {
      context.error("Use the --shrink option to perform a shrink operation.");
      context.warn(
        "Shrinking an image will delete all data beyond the shrunken image's end. " +
          "Before performing such an operation, make sure there is no important data there.",
      );
      return 1;
    }
    const info = image.qcow2?.info();
    if (info?.version === 2 && info.snapshots.length > 0)
      throw new CommandError("Can't resize a v2 image which has snapshots");
    if (mode === "metadata" && image.qcow2 === undefined)
      throw new CommandError(`Unsupported preallocation mode: ${mode}`);
    if (!Number.isSafeInteger(total)) {
      throw new CommandError(
        image.format === "qcow2"
          ? "Failed to grow the L1 table: File too large"
          : "Could not resize file: File too large",
      );
    }
    await image.disk.resize(total, { preallocation: mode, shrink: true });
  } catch (error) {
    throw error instanceof CommandError
      ? error
      : new CommandError(preallocationFailure(error, image.format, mode) ?? resizeFailure(error, image.format));
  } finally {
    await image.close();
  }
  if (!options.has("q")) context.out("Image resized.\n");
  return 0;
}
