import { readFileSync } from "node:fs";
import type { Disk } from "@softmetal/qcow2";
import { ioErrorText } from "../img/support/context.js";
import { parseSize } from "../img/support/sizes.js";
import { copyUp } from "./copy-on-read.js";
import { dump, report } from "./format.js";
import type { Session } from "./session.js";

/** The largest request, bytes. */
const MAX_REQUEST = 2147483136;
const DEFAULT_PATTERN = 0xcd;

/** Options of one verb: letters that were given, with the values of those that take one. */
export type Flags = ReadonlyMap<string, string>;

/** Says why a command line cannot be carried out; goes to standard output, as most of this program's complaints do. */
export class Complaint extends Error {
  constructor(
    message: string,
    readonly to: "out" | "err" = "out",
  ) {
    super(message);
  }
}

/** The options of a verb do not fit together: its one-line description is the answer. */
export class Misuse extends Error {}

/** A number of bytes from a verb's arguments. */
export function size(text: string): number {
  const value = parseSize(text);
  // Beyond 2^53 the nearest double does: no disk is that large, and the request fails for that.
  if (typeof value === "bigint" && value < 1n << 63n) return Number(value);
  throw new Complaint(
    value === "invalid"
      ? `Parsing error: non-numeric argument, or extraneous/unrecognized suffix -- ${text}`
      : `Parsing error: argument too large -- ${text}`,
  );
}

function length(text: string): number {
  const value = size(text);
  if (value > MAX_REQUEST) throw new Complaint(`length cannot exceed ${MAX_REQUEST}, given ${text}`);
  return value;
}

/** Requests that go around the disk's own granularity must keep to sectors. */
function wholeSectors(args: readonly string[]): void {
  for (const [index, what] of ["offset", "count"].entries()) {
    if (size(args[index]) % 512 !== 0) {
      throw new Complaint(`${args[index]} is not a sector-aligned value for '${what}'`);
    }
  }
}

/** Offset and the sum of the lengths behind it. */
export function range(args: readonly string[]): { offset: number; bytes: number } {
  const offset = size(args[0]);
  const bytes = args.slice(1).reduce((sum, text) => sum + length(text), 0);
  if (bytes > MAX_REQUEST) throw new Complaint(`length cannot exceed ${MAX_REQUEST}, given ${bytes}`);
  return { offset, bytes };
}

/** A byte value for `-P`. */
export function pattern(flags: Flags, fallback = DEFAULT_PATTERN): number {
  const text = flags.get("P");
  if (text === undefined) return fallback;
  const value = /^(0x[0-9a-f]+|\d+)$/i.test(text) ? Number(text) : Number.NaN;
  if (!(value <= 255)) throw new Complaint(`${text} is not a valid pattern byte`);
  return value;
}

/** Runs one request and prints how long it took. */
async function timed(
  session: Session,
  verb: { readonly failed: string; readonly done: string; readonly background?: boolean },
  flags: Flags,
  request: { offset: number; bytes: number },
  work: () => Promise<void>,
  before?: () => void,
): Promise<void> {
  const { context } = session;
  const begun = performance.now();
  try {
    await work();
  } catch (error) {
    context.out(`${verb.failed} failed: ${ioErrorText(error)}\n`);
    if (!verb.background) session.failed = true;
    return;
  }
  const seconds = (performance.now() - begun) / 1000;
  before?.();
  if (!flags.has("q")) context.out(report(verb.done, { ...request, seconds, machine: flags.has("C") }));
}

/** `read`, `readv`, `aio_read`. */
export async function read(session: Session, flags: Flags, args: readonly string[], verb: string): Promise<void> {
  const { image, context } = session;
  const background = verb === "aio_read";
  const { offset, bytes } = range(args);
  const expected = flags.has("P") ? pattern(flags) : undefined;
  const from = flags.has("s") ? size(flags.get("s")!) : 0;
  const count = flags.has("l") ? size(flags.get("l")!) : bytes - from;
  if ((flags.has("s") || flags.has("l")) && expected === undefined) throw new Misuse();
  if (flags.has("b")) wholeSectors(args);
  if (from + count > bytes || count < 0) throw new Complaint(`pattern verification range exceeds end of read data`);
  const buffer = new Uint8Array(bytes);
  const work = async (): Promise<void> => {
    if (flags.has("b")) await vmState(session).readVmState(buffer, offset);
    else {
      const disk = checked(image!.disk, offset, bytes);
      const { qcow2 } = image!;
      if (session.request?.copyOnRead && qcow2 && bytes > 0) await copyUp(disk, qcow2.clusterSize, offset, bytes);
      await disk.read(buffer, offset);
    }
  };
  await timed(
    session,
    { failed: background ? "readv" : verb, done: "read", background },
    flags,
    { offset, bytes },
    work,
    () => {
      if (expected !== undefined && buffer.subarray(from, from + count).some((byte) => byte !== expected)) {
        context.out(`Pattern verification failed at offset ${offset + from}, ${count} bytes\n`);
        // Requests in the background do not decide about the exit status.
        if (!background) session.failed = true;
      }
      if (flags.has("v") && !flags.has("q")) context.out(dump(buffer, offset));
    },
  );
}

/** `write`, `writev`, `aio_write`. */
export async function write(session: Session, flags: Flags, args: readonly string[], verb: string): Promise<void> {
  const { image } = session;
  checkWriteFlags(flags, args, verb);
  const offset = size(args[0]);
  if (flags.has("c") || flags.has("b")) wholeSectors(args);
  const bytes = verb === "write" || flags.has("z") ? size(args[1]) : range(args).bytes;
  // Zeroes that may not be written out need no buffer, so that their length is only limited by the disk.
  if (bytes > MAX_REQUEST && !flags.has("n") && verb === "write") {
    throw new Complaint(`length cannot exceed ${MAX_REQUEST} without -n, given ${args[1]}`);
  }
  const { disk, qcow2 } = image!;
  const data = flags.has("z") ? undefined : fill(flags, bytes);
  const work = async (): Promise<void> => {
    if (flags.has("b")) return vmState(session).writeVmState(data!, offset);
    checked(disk, offset, bytes);
    if (data === undefined) await disk.writeZeroes(offset, bytes, { unmap: flags.has("u") });
    else if (flags.has("c")) await writeCompressed(qcow2, data, offset);
    else await disk.write(data, offset);
    if (flags.has("f")) await disk.flush();
  };
  await timed(
    session,
    { failed: verb, done: "wrote", background: verb === "aio_write" },
    flags,
    { offset, bytes },
    work,
  );
}

function checkWriteFlags(flags: Flags, args: readonly string[], verb: string): void {
  const given = (letters: string): string[] => [...letters].filter((letter) => flags.has(letter));
  if (verb === "aio_write" && flags.has("z") && args.length > 2) {
    throw new Complaint("-z supports only a single length parameter");
  }
  if (given("bz").length > 1) throw new Complaint("-b and -z cannot be specified at the same time");
  if (flags.has("f") && given("bc").length > 0)
    throw new Complaint("-f and -b or -c cannot be specified at the same time");
  if (flags.has("n") && !flags.has("z")) throw new Complaint("-n requires -z to be specified");
  if (flags.has("u") && !flags.has("z")) throw new Complaint("-u requires -z to be specified");
  if (verb !== "aio_write" && given("zPs").length > 1)
    throw new Complaint("Only one of -z, -P, and -s can be specified at the same time");
}

function fill(flags: Flags, bytes: number): Uint8Array {
  const path = flags.get("s");
  const data = new Uint8Array(bytes);
  if (path === undefined) return data.fill(pattern(flags));
  let source: Uint8Array;
  try {
    source = readFileSync(path);
  } catch (error) {
    throw new Complaint(`${path}: ${ioErrorText(error)}`, "err");
  }
  if (source.length === 0) throw new Complaint(`${path}: file is empty`, "err");
  for (let at = 0; at < bytes; at += source.length)
    data.set(source.subarray(0, Math.min(source.length, bytes - at)), at);
  return data;
}

/** Requests beyond the end of the disk are I/O errors. */
function checked(disk: Disk, offset: number, bytes: number): Disk {
  if (offset + bytes > disk.size) throw Object.assign(new Error("beyond the end"), { code: "EIO" });
  return disk;
}

function vmState(session: Session) {
  const { qcow2 } = session.image!;
  if (qcow2 === undefined) throw Object.assign(new Error("no machine state"), { code: "ENOTSUP" });
  return qcow2;
}

async function writeCompressed(
  image: import("@softmetal/qcow2").Qcow2Image | undefined,
  data: Uint8Array,
  offset: number,
): Promise<void> {
  if (image === undefined) throw Object.assign(new Error("no compression"), { code: "ENOTSUP" });
  const { clusterSize } = image;
  if (offset % clusterSize !== 0) throw Object.assign(new Error("unaligned"), { code: "EINVAL" });
  for (let at = 0; at < data.length; at += clusterSize)
    await image.writeCompressed(data.subarray(at, at + clusterSize), offset + at);
}

/** `discard`. */
export async function discard(session: Session, flags: Flags, args: readonly string[]): Promise<void> {
  const { disk } = session.image!;
  const offset = size(args[0]);
  const bytes = length(args[1]);
  const work = async (): Promise<void> => {
    await checked(disk, offset, bytes).discard(offset, bytes);
  };
  await timed(session, { failed: "discard", done: "discard" }, flags, { offset, bytes }, work);
}
