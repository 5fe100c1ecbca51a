import type { Disk } from "@softmetal/qcow2";
import { Arguments, cacheMode, FORCE_SHARE, IMAGE_OPTS } from "../support/common.js";
import { CommandError, type Context, ioErrorText, UsageError } from "../support/context.js";
import { flag, valued } from "../support/getopt.js";
import { openImage } from "../support/open.js";
import { parseWhole, sizeArgument } from "../support/sizes.js";

interface Plan {
  readonly count: number;
  readonly depth: number;
  readonly bytes: number;
  readonly step: number;
  readonly offset: number;
  readonly write: boolean;
  readonly flushInterval: number;
  readonly drainOnFlush: boolean;
  readonly pattern: number;
}

/** `bench`: times many requests of the same kind. */
export async function run(context: Context, args: readonly string[]): Promise<number> {
  const options = await Arguments.parse(context, args, {
    short: "hc:d:f:ni:o:qs:S:t:wU",
    long: {
      help: flag("h"),
      "flush-interval": valued("flush-interval"),
      pattern: valued("pattern"),
      "no-drain": flag("no-drain"),
      ...IMAGE_OPTS,
      ...FORCE_SHARE,
    },
  });
  const cache = benchCache(options.value("t"));
  const aio = options.value("i");
  if (aio !== undefined && !["threads", "native", "io_uring"].includes(aio))
    throw new CommandError(`Invalid aio option: ${aio}`);
  const plan = readPlan(context, options);
  if (options.operands.length !== 1) throw new UsageError("Expecting one image file name");
  const { write, depth, flushInterval } = plan;
  if (!write && flushInterval > 0) throw new CommandError("--flush-interval is only available in write tests");
  if (flushInterval > 0 && flushInterval < depth) throw new CommandError("Flush interval can't be smaller than depth");
  const image = await openImage(context, {
    filename: options.operands[0],
    imageOpts: options.has("image-opts"),
    format: options.value("f"),
    write,
    cache,
    forceShare: options.has("U"),
  });
  try {
    const { disk } = image;
    const cached = cache === undefined || !["none", "off", "directsync"].includes(cache);
    if ((aio === "native" || options.has("n")) && cached) {
      throw new CommandError(
        `Could not open '${options.operands[0]}': aio=native was specified, but it requires cache.direct=on, which was not ` +
          "specified.",
      );
    }
    // As with qemu-img, -q makes no difference.
    context.out(
      `Sending ${plan.count} ${write ? "write" : "read"} requests, ${plan.bytes} bytes each, ${depth} in parallel ` +
        `(starting at offset ${plan.offset}, step size ${plan.step})\n`,
    );
    if (flushInterval > 0) context.out(`Sending flush every ${flushInterval} requests\n`);
    if (plan.bytes > disk.size) throw new CommandError("Failed request: Input/output error");
    const begun = performance.now();
    await send(disk, plan);
    context.out(`Run completed in ${((performance.now() - begun) / 1000).toFixed(3)} seconds.\n`);
  } finally {
    await image.close();
  }
  return 0;
}

function benchCache(mode: string | undefined): string | undefined {
  try {
    return cacheMode(mode);
  } catch {
    throw new CommandError("Invalid cache mode");
  }
}

function readPlan(context: Context, options: Arguments): Plan {
  const number = (key: string, what: string, fallback: number, max: number, min = 0): number => {
    const text = options.value(key);
    if (text === undefined) return fallback;
    const value = /^\s*-/.test(text) ? undefined : parseWhole(text);
    if (value === undefined || value < min || value > max) throw new CommandError(`Invalid ${what} specified`);
    return Number(value);
  };
  const size = (key: string, what: string, fallback: number): number => {
    const text = options.value(key);
    return text === undefined ? fallback : sizeArgument(context, what, text, 0n, 2147483647n);
  };
  const offsetText = options.value("o");
  const bytes = size("s", "buffer size", 4096);
  const patternText = options.value("pattern");
  return {
    count: number("c", "request count", 75_000, 2147483647),
    // Without any request under way qemu-img would wait for ever.
    depth: number("d", "queue depth", 64, 2147483647, 1),
    bytes,
    step: size("S", "step_size", bytes) || bytes,
    offset: offsetText === undefined ? 0 : sizeArgument(context, "offset", offsetText),
    write: options.has("w"),
    flushInterval: number("flush-interval", "flush interval", 0, 2147483647),
    drainOnFlush: !options.has("no-drain"),
    pattern: patternText === undefined ? 0 : number("pattern", "pattern byte", 0, 255),
  };
}

/** Keeps `depth` requests under way; with a draining flush the next batch waits for it. */
async function send(disk: Disk, plan: Plan): Promise<void> {
  const { count, depth, bytes, step, write, flushInterval } = plan;
  let started = 0;
  let offset = plan.offset;
  let batchEnd = flushInterval > 0 && plan.drainOnFlush ? Math.min(count, flushInterval) : count;
  const worker = async (): Promise<void> => {
    const buffer = new Uint8Array(bytes).fill(plan.pattern);
    while (started < batchEnd) {
      started++;
      const at = offset;
      offset = nextOffset(offset + step, bytes, disk.size);
      if (bytes === 0) continue;
      if (write) await disk.write(buffer, at);
      else await disk.read(buffer, at);
      if (flushInterval > 0 && !plan.drainOnFlush && started % flushInterval === 0) await disk.flush();
    }
  };
  while (started < count) {
    try {
      await Promise.all(Array.from({ length: Math.min(depth, count) }, worker));
      if (flushInterval > 0 && plan.drainOnFlush) await disk.flush();
    } catch (error) {
      throw new CommandError(`Failed request: ${ioErrorText(error)}`);
    }
    batchEnd = Math.min(count, batchEnd + (flushInterval || count));
  }
}

/** Requests wrap around at the end of the image. */
function nextOffset(offset: number, bytes: number, size: number): number {
  if (size <= bytes) return 0;
  return offset % (size - bytes);
}
