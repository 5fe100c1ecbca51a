import { statSync } from "node:fs";
import type { Disk } from "@softmetal/qcow2";
import { Arguments, cacheMode, FORCE_SHARE, IMAGE_OPTS, OBJECT } from "../support/common.js";
import { CommandError, type Context, ioErrorText } from "../support/context.js";
import { requestStart } from "../support/copy-requests.js";
import { copyCreateFailure, createImage } from "../support/create.js";
import {
  CreateOptions,
  type Format,
  isFormat,
  optionLists,
  optionRows,
  printOptionHelp,
  wantsHelp,
} from "../support/create-options.js";
import { fileOptions } from "../support/filename.js";
import { flag } from "../support/getopt.js";
import { nestOptions, type OptionTree } from "../support/keyval.js";
import { type OpenImage, openImage } from "../support/open.js";
import { ProgressLine } from "../support/progress.js";
import { sizeArgument } from "../support/sizes.js";
import { checkSnapshotParameter, openSnapshotSource } from "../support/snapshot-source.js";
import { copySource, explained } from "../support/sources.js";

const SPARSE_LIMIT = 16 << 20;
const MAX_COROUTINES = 16;
const NEEDS_FORMAT = "Use of backing file requires explicit backing format";

/** `convert`: copies one or several images into a new one. */
export async function run(context: Context, args: readonly string[]): Promise<number> {
  const options = await Arguments.parse(context, args, {
    short: "hf:O:B:CcF:o:l:S:pt:T:qnm:WUr:",
    long: {
      help: flag("h"),
      "target-image-opts": flag("target-image-opts"),
      "target-is-zero": flag("target-is-zero"),
      salvage: flag("salvage"),
      bitmaps: flag("bitmaps"),
      "skip-broken-bitmaps": flag("skip-broken-bitmaps"),
      ...OBJECT,
      ...IMAGE_OPTS,
      ...FORCE_SHARE,
    },
  });
  checkSnapshotParameter(context, options.value("l"));
  const settings = readSettings(context, options);
  const sources = options.operands.slice(0, -1);
  const output = options.operands.at(-1);
  if (optionLists(options.all("o")).some(wantsHelp)) {
    if (!isFormat(settings.format)) throw new CommandError(`Unknown file format '${settings.format}'`);
    printOptionHelp(context, "Supported options:", optionRows(settings.format, "create", true));
    return 0;
  }
  if (sources.length < 1 || output === undefined) throw new CommandError("Must specify image file name");
  if (sources.length > 1 && options.has("l")) throw new CommandError("No support for concatenating multiple snapshot");
  const progress = new ProgressLine(context, options.has("p") && !options.has("q"));
  const opened: OpenImage[] = [];
  try {
    for (const filename of sources) opened.push(await openSource(context, options, filename, settings.sourceCache));
    cacheMode(options.value("t"));
    await convert(context, options, settings, opened, output, progress);
  } finally {
    for (const image of opened) await image.close();
  }
  progress.end();
  return 0;
}

interface Settings {
  readonly format: string;
  readonly sparse: number;
  readonly rateLimit: number | undefined;
  readonly sourceCache: string | undefined;
}

function readSettings(context: Context, options: Arguments): Settings {
  const sparseText = options.value("S");
  let sparse = 4096;
  if (sparseText !== undefined) {
    sparse = sizeArgument(context, "buffer size for sparse output", sparseText);
    if (sparse % 512 !== 0 || sparse > SPARSE_LIMIT) {
      throw new CommandError(
        `Invalid buffer size for sparse output specified. Valid sizes are multiples of 512 up to ${SPARSE_LIMIT}. ` +
          "Select 0 to disable sparse detection (fully allocates output).",
      );
    }
  }
  const coroutines = options.value("m");
  if (coroutines !== undefined && !(Number(coroutines) >= 1 && Number(coroutines) <= MAX_COROUTINES)) {
    throw new CommandError(
      `Invalid number of coroutines. Allowed number of coroutines is between 1 and ${MAX_COROUTINES}`,
    );
  }
  const sourceCache = cacheMode(options.value("T"), "source cache");
  const rate = options.value("r");
  if (options.has("C")) {
    const clash = options.has("c") ? "-c is used" : sparseText !== undefined ? "-S is used" : undefined;
    if (clash !== undefined) throw new CommandError(`Cannot enable copy offloading when ${clash}`);
    if (options.has("salvage")) throw new CommandError("Cannot use copy offloading in salvaging mode");
  }
  if (options.has("target-image-opts") && !options.has("n")) {
    throw new CommandError("--target-image-opts requires use of -n flag");
  }
  if (options.has("n") && options.has("o")) throw new CommandError("-o has no effect when skipping image creation");
  if (options.has("target-is-zero") && !options.has("n"))
    throw new CommandError("--target-is-zero requires use of -n flag");
  if (options.has("skip-broken-bitmaps") && !options.has("bitmaps")) {
    throw new CommandError("Use of --skip-broken-bitmaps requires --bitmaps");
  }
  return {
    format: options.value("O") ?? "raw",
    sparse,
    rateLimit: rate === undefined ? undefined : Math.max(1, sizeArgument(context, "rate limit", rate)),
    sourceCache,
  };
}

async function openSource(
  context: Context,
  options: Arguments,
  filename: string,
  cache: string | undefined,
): Promise<OpenImage> {
  const request = {
    filename,
    format: options.value("f"),
    imageOpts: options.has("image-opts"),
    forceShare: options.has("U"),
    cache,
  };
  return openSnapshotSource(context, request, options.value("l"));
}

async function convert(
  context: Context,
  options: Arguments,
  settings: Settings,
  sources: readonly OpenImage[],
  output: string,
  progress: ProgressLine,
): Promise<void> {
  const disks = sources.map(({ disk }) => disk);
  const source = copySource(disks, settings.rateLimit);
  const skipCreate = options.has("n");
  let backing: string | undefined;
  let keys: OptionTree | undefined;
  let targetIsZero = options.has("target-is-zero");
  if (targetIsZero && options.has("B"))
    throw new CommandError("Cannot use --target-is-zero when the destination image has a backing file");
  if (options.has("bitmaps")) checkSourceBitmaps(sources);
  if (!skipCreate) {
    const { format } = settings;
    if (!isFormat(format)) throw new CommandError(`Unknown file format '${format}'`);
    refuseProtocol(output);
    const creation = creationOptions(context, options, format, source.size, sources.length);
    backing = creation.get("backing_file");
    keys = keyOptions(creation);
    if (options.has("c")) checkCompressible(format, creation);
    await createImage(context, output, format, creation, creation.size("size")!).catch((error: unknown) => {
      throw new CommandError(`${output}: error while converting ${format}: ${copyCreateFailure(error)}`);
    });
    targetIsZero = startsAsZeros(output, format, creation);
  }
  const imageOpts = options.has("target-image-opts");
  const target = await openImage(context, {
    filename: output,
    imageOpts,
    format: imageOpts ? options.value("O") : settings.format,
    extra: keys,
    write: true,
    cache: options.value("t") ?? "unsafe",
    discard: true,
  });
  try {
    await copyInto(context, options, settings, { source, sources, target, targetIsZero, backing, progress });
  } catch (error) {
    await target.close().catch(() => {});
    throw error;
  }
  await target.close();
}

interface Copy {
  readonly source: Disk;
  readonly sources: readonly OpenImage[];
  readonly target: OpenImage;
  readonly targetIsZero: boolean;
  readonly backing: string | undefined;
  readonly progress: ProgressLine;
}

async function copyInto(context: Context, options: Arguments, settings: Settings, copy: Copy): Promise<void> {
  const { source, sources, target, targetIsZero, backing, progress } = copy;
  if (target.disk.size < source.size) {
    // A raw target of the last, incomplete sector is as good.
    if (target.disk.size < Math.floor(source.size / 512) * 512)
      throw new CommandError("output file is smaller than input file");
  }
  if (options.has("bitmaps")) checkTargetBitmaps(target);
  if (options.has("c") && target.qcow2 === undefined)
    throw new CommandError("Compression not supported for this file format");
  const { convert } = await import("@softmetal/qcow2");
  const request = {
    source,
    cluster: options.has("c") ? target.qcow2?.clusterSize : undefined,
    depth: backing === undefined ? undefined : 0,
  };
  const report = (offset: number, error: unknown): void => {
    if (!options.has("q")) context.warn(`error while reading offset ${offset}: ${ioErrorText(error)}`);
  };
  const salvage = options.has("salvage");
  const readable = salvage
    ? source
    : explained(source, async (offset, reason, length) => {
        const at = await requestStart(request, offset, length);
        return new CommandError(`error while reading at byte ${at}: ${reason}`);
      });
  await convert(readable, target.disk, {
    compress: options.has("c"),
    targetIsZero,
    ownLayerOnly: backing !== undefined,
    zeroFrom: backing === undefined ? undefined : target.qcow2?.backing?.size,
    sparseSize: settings.sparse,
    onUnreadable: salvage ? (offset, _length, error) => report(offset, error) : undefined,
    progress: progress.update,
  }).catch(async (error: unknown) => {
    const { structure, offset } = error as { structure?: string; offset?: number };
    if (structure !== "target disk" || offset === undefined) throw error;
    const at = await requestStart(request, offset, 0);
    throw new CommandError(`error while writing at byte ${at}: ${ioErrorText(error)}`);
  });
  if (options.has("bitmaps")) await copyBitmaps(context, sources[0], target, options.has("skip-broken-bitmaps"));
}

/**
 * A file of the host was emptied; a device or an export holds what was there before. A new qcow2 image reads as zeros on
 * all of them, unless something shows through, or encryption makes noise of zeros in the file.
 */
function startsAsZeros(output: string, format: Format, creation: CreateOptions): boolean {
  if (creation.has("backing_file") || format === "luks") return false;
  if (format !== "qcow2") {
    const { filename } = fileOptions(output);
    return typeof filename === "string" && statSync(filename).isFile();
  }
  const encrypted = creation.has("encrypt.format") || creation.switch("encryption");
  return !encrypted || (creation.get("preallocation") ?? "off") === "off";
}

/** What opening the new image needs to know of how it was made. */
function keyOptions(creation: CreateOptions): OptionTree {
  const keys = creation.rows.filter(({ name }) => name.endsWith("key-secret") && creation.has(name));
  return nestOptions(keys.map(({ name }) => [name, creation.get(name)!]));
}

function creationOptions(
  context: Context,
  options: Arguments,
  format: Format,
  size: number,
  count: number,
): CreateOptions {
  const creation = new CreateOptions(optionRows(format, "create", true), (message) => context.warn(message));
  for (const text of options.all("o")) creation.add(text);
  const base = options.value("B");
  if (base !== undefined) {
    if (format !== "qcow2") throw new CommandError(`Backing file not supported for file format '${format}'`);
    creation.set("backing_file", base);
  }
  const baseFormat = options.value("F");
  if (baseFormat !== undefined && format !== "qcow2")
    throw new CommandError(`Backing file format not supported for file format '${format}'`);
  if (baseFormat !== undefined) creation.set("backing_fmt", baseFormat);
  // The source decides, whatever -o size= says.
  creation.set("size", String(size));
  if (creation.has("backing_file")) {
    if (count > 1) {
      throw new CommandError(
        "Having a backing file for the target makes no sense when concatenating multiple input images",
      );
    }
    if (!creation.has("backing_fmt")) throw new CommandError(NEEDS_FORMAT);
  }
  return creation;
}

function checkCompressible(format: Format, creation: CreateOptions): void {
  if (format !== "qcow2") throw new CommandError("Compression not supported for this file format");
  if (creation.switch("encryption") || creation.has("encrypt.format")) {
    throw new CommandError("Compression and encryption not supported at the same time");
  }
  const preallocation = creation.get("preallocation");
  if (preallocation !== undefined && preallocation !== "off") {
    throw new CommandError("Compression and preallocation not supported at the same time");
  }
}

/** What cannot be a target at all is said without the name of the target. */
function refuseProtocol(output: string): void {
  const { driver } = fileOptions(output);
  if (driver === "http" || driver === "https")
    throw new CommandError(`Protocol driver '${driver}' does not support image creation`);
}

function checkSourceBitmaps(sources: readonly OpenImage[]): void {
  if (sources.length > 1) throw new CommandError("Copying bitmaps only possible with single source");
  const { qcow2 } = sources[0];
  if (qcow2 === undefined || qcow2.info().version === 2) throw new CommandError("Source lacks bitmap support");
}

function checkTargetBitmaps({ format, qcow2 }: OpenImage): void {
  if (qcow2?.info().version === 3) return;
  throw new CommandError(`Format driver '${format}' does not support bitmaps`);
}

async function copyBitmaps(context: Context, source: OpenImage, target: OpenImage, skipBroken: boolean): Promise<void> {
  const bitmaps = source.qcow2!.listBitmaps();
  const known = target.qcow2!.listBitmaps().map(({ name }) => name);
  // QEMU begins with the last one, and stores them in this order all the same.
  for (const { name, inconsistent } of [...bitmaps].reverse()) {
    if (inconsistent && skipBroken) context.warn(`Skipping inconsistent bitmap '${name}'`);
    else if (inconsistent) {
      throw new CommandError(
        `Cannot copy inconsistent bitmap '${name}'\n` +
          `Try --skip-broken-bitmaps, or use '${context.program} bitmap --remove' to delete it`,
      );
    } else if (known.includes(name)) {
      throw new CommandError(`Failed to create bitmap ${name}: Bitmap already exists: ${name}`);
    }
  }
  for (const { name, granularity, enabled } of bitmaps.filter(({ inconsistent }) => !inconsistent)) {
    await target.qcow2!.createBitmap(name, { granularity, enabled: false });
    await target.qcow2!.mergeBitmap(name, name, source.qcow2);
    if (enabled) await target.qcow2!.setBitmapEnabled(name, true);
  }
}
