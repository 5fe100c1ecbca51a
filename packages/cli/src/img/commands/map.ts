import type { Extent } from "@softmetal/qcow2";
import { Arguments, FORCE_SHARE, IMAGE_OPTS, OBJECT, OUTPUT } from "../support/common.js";
import { type Context, Exit, UsageError } from "../support/context.js";
import { flag, valued } from "../support/getopt.js";
import { holesBelow, isSparseBelow } from "../support/holes-below.js";
import { openImage } from "../support/open.js";
import { sizeArgument } from "../support/sizes.js";

/** `map`: where each part of a disk is stored. */
export async function run(context: Context, args: readonly string[]): Promise<number> {
  const options = await Arguments.parse(context, args, {
    short: "f:s:l:hU",
    long: {
      help: flag("h"),
      format: valued("f"),
      "start-offset": valued("s"),
      "max-length": valued("l"),
      ...OUTPUT,
      ...OBJECT,
      ...IMAGE_OPTS,
      ...FORCE_SHARE,
    },
  });
  const start = optionalSize(context, options.value("s"), "start offset") ?? 0;
  const maximum = optionalSize(context, options.value("l"), "max length");
  if (options.operands.length !== 1) throw new UsageError("Expecting one image file name");
  const { json } = options;
  const image = await openImage(context, {
    filename: options.operands[0],
    imageOpts: options.has("image-opts"),
    format: options.value("f"),
    forceShare: options.has("U"),
    metadataOnly: false,
  });
  try {
    const { disk } = image;
    const end = Math.min(disk.size, maximum === undefined ? disk.size : start + maximum);
    if (!json) context.out(`${["Offset", "Length", "Mapped to"].map((title) => title.padEnd(16)).join("")}File\n`);
    const print = json ? jsonPrinter(context) : humanPrinter(context);
    const { map } = await import("@softmetal/qcow2");
    let count = 0;
    const sparse = await isSparseBelow(image);
    for await (const found of map(disk, start, Math.max(0, end - start))) {
      // In QEMU's eyes zeros behind a short backing file belong to the layer above, and are not there.
      const extent = found.beyondBacking ? { ...found, depth: found.depth - 1, allocated: false } : found;
      for await (const part of sparse ? holesBelow(image, extent) : [extent]) {
        print(part);
        count++;
      }
    }
    // QEMU's answer for nothing at all.
    if (count === 0) print({ ...NOTHING, offset: start });
    if (json) context.out("]\n");
  } finally {
    await image.close();
  }
  return 0;
}

const NOTHING = { length: 0, depth: 0, allocated: false, zero: false, data: false, compressed: false };

function optionalSize(context: Context, text: string | undefined, what: string): number | undefined {
  return text === undefined ? undefined : sizeArgument(context, what, text);
}

function jsonPrinter(context: Context) {
  let first = true;
  return ({ offset, length, depth, allocated, zero, data, hostOffset }: Extent): void => {
    const fields = [
      `"start": ${offset}`,
      `"length": ${length}`,
      `"depth": ${depth}`,
      `"present": ${allocated}`,
      `"zero": ${zero}`,
      `"data": ${data}`,
    ];
    if (hostOffset !== undefined) fields.push(`"offset": ${hostOffset}`);
    context.out(`${first ? "[" : ",\n"}{ ${fields.join(", ")}}`);
    first = false;
  };
}

const hex = (value: number): string => (value === 0 ? "0" : `0x${value.toString(16)}`).padEnd(16);

function humanPrinter(context: Context) {
  return ({ offset, length, zero, data, hostOffset, file }: Extent): void => {
    if (data && hostOffset === undefined) {
      context.error("File contains external, encrypted or compressed clusters.");
      throw new Exit(1);
    }
    if (data && !zero) context.out(`${hex(offset)}${hex(length)}${hex(hostOffset!)}${file ?? ""}\n`);
  };
}
