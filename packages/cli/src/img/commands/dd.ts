import { Arguments, FORCE_SHARE, IMAGE_OPTS, OBJECT } from "../support/common.js";
import { CommandError, type Context, ioErrorText } from "../support/context.js";
import { copyCreateFailure, createImage } from "../support/create.js";
import { CreateOptions, isFormat, optionRows } from "../support/create-options.js";
import { fileOptions } from "../support/filename.js";
import { flag } from "../support/getopt.js";
import { openImage } from "../support/open.js";
import { sizeArgument } from "../support/sizes.js";

/** Bytes copied at a time, however small the blocks are. */
const STEP = 2 << 20;
const MAX_BLOCK = 2147483647n;

/** `dd`: copies blocks of one image into a new one. */
export async function run(context: Context, args: readonly string[]): Promise<number> {
  const options = await Arguments.parse(context, args, {
    short: "hf:O:U",
    long: { help: flag("h"), ...OBJECT, ...IMAGE_OPTS, ...FORCE_SHARE },
  });
  const { input, output, block, count, skip } = readOperands(context, options.operands);
  if (input === undefined || output === undefined) throw new CommandError("Must specify both input and output files");
  const imageOpts = options.has("image-opts");
  const outputFormat = options.value("O") ?? "raw";
  const source = await openImage(context, {
    filename: input,
    imageOpts,
    format: options.value("f"),
    forceShare: options.has("U"),
  });
  try {
    fileOptions(output);
    if (!isFormat(outputFormat)) throw new CommandError("Unknown file format");
    // As in QEMU: "count" counts from the start of the input, before "skip".
    const end = count === undefined ? source.disk.size : Math.min(source.disk.size, count * block);
    const start = skip * block;
    const size = Math.max(0, end - start);
    if (start > end) context.error(`${input}: cannot skip to specified offset`);
    const creation = new CreateOptions(optionRows(outputFormat, "create", true));
    await createImage(context, output, outputFormat, creation, size).catch((error: unknown) => {
      throw new CommandError(`${output}: error while creating output image: ${copyCreateFailure(error)}`);
    });
    const target = await openImage(context, { filename: output, format: outputFormat, write: true });
    let copied = false;
    try {
      const buffer = new Uint8Array(Math.min(STEP, size));
      for (let done = 0; done < size; done += STEP) {
        const part = buffer.subarray(0, Math.min(STEP, size - done));
        await source.disk.read(part, start + done).catch((error: unknown) => {
          throw new CommandError(`error while reading from input image file: ${ioErrorText(error)}`);
        });
        await target.disk.write(part, done).catch((error: unknown) => {
          throw new CommandError(`error while writing to output image file: ${ioErrorText(error)}`);
        });
      }
      copied = true;
    } finally {
      // After a failed write closing fails, too, and that is no news.
      await (copied ? target.close() : target.close().catch(() => {}));
    }
    return 0;
  } finally {
    await source.close();
  }
}

function readOperands(context: Context, operands: readonly string[]) {
  let input: string | undefined;
  let output: string | undefined;
  let block = 512;
  let count: number | undefined;
  let skip = 0;
  for (const operand of operands) {
    const equals = operand.indexOf("=");
    const key = equals < 0 ? operand : operand.slice(0, equals);
    const value = operand.slice(equals + 1);
    if (equals < 0) throw new CommandError(`unrecognized operand ${operand}`);
    if (key === "if") input = value;
    else if (key === "of") output = value;
    else if (key === "bs") block = sizeArgument(context, "bs", value, 1n, MAX_BLOCK);
    else if (key === "count") count = sizeArgument(context, "count", value);
    else if (key === "skip") skip = sizeArgument(context, "skip", value);
    else throw new CommandError(`unrecognized operand ${key}`);
  }
  return { input, output, block, count, skip };
}
