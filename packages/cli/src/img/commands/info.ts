import { Arguments, FORCE_SHARE, IMAGE_OPTS, OBJECT, OUTPUT } from "../support/common.js";
import { CommandError, type Context, UsageError } from "../support/context.js";
import { flag, valued } from "../support/getopt.js";
import { type ImageInfo, imageInfo, infoJson, printInfo } from "../support/image-info.js";
import { lookAtImage } from "../support/look.js";
import { toJson } from "../support/qdict.js";

/** `info`: what an image is. */
export async function run(context: Context, args: readonly string[]): Promise<number> {
  const options = await Arguments.parse(context, args, {
    short: "hf:U",
    long: {
      help: flag("h"),
      format: valued("f"),
      "backing-chain": flag("chain"),
      ...OBJECT,
      ...IMAGE_OPTS,
      ...FORCE_SHARE,
      ...OUTPUT,
    },
  });
  if (options.operands.length !== 1) throw new UsageError("Expecting one image file name");
  const { json } = options;
  const chain = await collect(context, options);
  if (json) context.out(`${toJson(options.has("chain") ? chain.map(infoJson) : infoJson(chain[0]))}\n`);
  else {
    for (const [index, info] of chain.entries()) {
      if (index > 0) context.out("\n");
      printInfo(context, info);
    }
  }
  return 0;
}

async function collect(context: Context, options: Arguments): Promise<ImageInfo[]> {
  const list: ImageInfo[] = [];
  const seen = new Set<string>();
  let filename: string | undefined = options.operands[0];
  let imageOpts = options.has("image-opts");
  let format = options.value("f");
  if (imageOpts && format !== undefined) throw new CommandError("--image-opts and --format are mutually exclusive");
  while (filename !== undefined) {
    if (seen.has(filename)) throw new CommandError(`Backing file '${filename}' creates an infinite loop.`);
    seen.add(filename);
    const request = { filename, imageOpts, format, forceShare: options.has("U") };
    const info: ImageInfo = await lookAtImage(context, request, imageInfo);
    list.push(info);
    imageOpts = false;
    filename = options.has("chain") ? info.fullBackingFilename : undefined;
    format = info.qcow2?.backingFormat;
  }
  return list;
}
