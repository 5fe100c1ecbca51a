import { Arguments, OBJECT } from "../support/common.js";
import { CommandError, type Context, messageOf, UsageError } from "../support/context.js";
import { createImage } from "../support/create.js";
import {
  CreateOptions,
  type Format,
  isFormat,
  optionLists,
  optionRows,
  printOptionHelp,
  wantsHelp,
} from "../support/create-options.js";
import { fileOptions, resolveBacking } from "../support/filename.js";
import { flag } from "../support/getopt.js";
import { openImage } from "../support/open.js";
import { exactSizeArgument } from "../support/sizes.js";

/** `create`: makes an empty image. */
export async function run(context: Context, args: readonly string[]): Promise<number> {
  const parsed = await Arguments.parse(context, args, { short: "F:b:f:ho:qu", long: { help: flag("h"), ...OBJECT } });
  const [filename, sizeText, ...extra] = parsed.operands;
  const format = parsed.value("f") ?? "raw";
  const given = optionLists(parsed.all("o"));
  if (given.some(wantsHelp)) {
    if (!isFormat(format)) throw new CommandError(`Unknown file format '${format}'`);
    const rows = optionRows(format, "create", filename !== undefined && isHostFile(filename));
    printOptionHelp(context, filename === undefined ? `Supported ${format} options:` : "Supported options:", rows);
    if (filename === undefined) {
      context.out(
        "\nThe protocol level may support further options.\nSpecify the target filename to include those options.\n",
      );
    }
    return 0;
  }
  if (filename === undefined) throw new UsageError("Expecting image file name");
  const sizeOperand = sizeText === undefined ? undefined : exactSizeArgument(context, "image size", sizeText);
  if (extra.length > 0) throw new UsageError(`Unexpected argument: ${extra[0]}`);
  try {
    await create(context, parsed, filename, format, sizeOperand);
  } catch (error) {
    throw error instanceof CommandError ? new CommandError(`${filename}: ${error.message}`) : error;
  }
  return 0;
}

async function create(
  context: Context,
  parsed: Arguments,
  filename: string,
  format: string,
  operand: bigint | undefined,
): Promise<void> {
  if (!isFormat(format)) throw new CommandError(`Unknown file format '${format}'`);
  const options = new CreateOptions(optionRows(format, "create", isHostFile(filename)), (text) => context.warn(text));
  for (const text of parsed.all("o")) options.add(text);
  if (operand !== undefined) {
    if (options.has("size")) throw new CommandError("The image size must be specified only once");
    options.set("size", String(operand));
  }
  const base = parsed.value("b");
  const baseFormat = parsed.value("F");
  if (base !== undefined) setBacking(options, "backing_file", base, format);
  if (baseFormat !== undefined) setBacking(options, "backing_fmt", baseFormat, format);
  const backing = options.get("backing_file");
  if (backing === "") throw new CommandError("Expected backing file name, got empty string");
  if (backing !== undefined && resolveBacking(backing, filename) === filename) {
    throw new CommandError("Error: Trying to create an image with the same filename as the backing file");
  }
  if (backing !== undefined && parsed.has("u") && !options.has("backing_fmt"))
    throw new CommandError("Backing file specified without backing format");
  if (backing !== undefined && !parsed.has("u")) await inspectBacking(context, options, backing, filename);
  const size = options.size("size");
  if (size === undefined) throw new CommandError("Image creation needs a size parameter");
  if (!parsed.has("q")) context.out(`Formatting '${filename}', fmt=${format} ${options}\n`);
  await createImage(context, filename, format, options, size);
}

/** Whether the new image will lie in a file of the host. Protocols that cannot create are refused. */
function isHostFile(filename: string): boolean {
  if (filename.startsWith("json:")) throw new CommandError("Unknown protocol 'json'");
  const { driver } = fileOptions(filename);
  if (driver === "http" || driver === "https")
    throw new CommandError(`Protocol driver '${driver}' does not support image creation`);
  return driver === "file";
}

function setBacking(options: CreateOptions, name: string, value: string, format: Format): void {
  if (format !== "qcow2") {
    throw new CommandError(
      `Backing file${name === "backing_file" ? "" : " format"} not supported for file format '${format}'`,
    );
  }
  options.set(name, value);
}

/** The backing file must open; it lends its size. */
async function inspectBacking(
  context: Context,
  options: CreateOptions,
  backing: string,
  filename: string,
): Promise<void> {
  const name = resolveBacking(backing, filename);
  const format = options.get("backing_fmt");
  if (format !== undefined && !isFormat(format))
    throw new CommandError(`Unknown driver '${format}'\nCould not open backing image.`);
  let size: number;
  let probed: string;
  try {
    const image = await openImage(context, { filename: name, format, metadataOnly: true, withoutKey: true });
    size = image.disk.size;
    probed = image.format;
    await image.close();
  } catch (error) {
    // The failure of opening by itself, without the frame that the other commands put around it.
    const reason = messageOf(error).replace(`Could not open '${name}': `, "");
    throw new CommandError(`${reason}\nCould not open backing image.`);
  }
  if (format === undefined) {
    throw new CommandError(`Backing file specified without backing format\nDetected format of ${probed}.`);
  }
  if (!options.has("size")) options.set("size", String(size));
}
