import { cacheMode } from "../img/support/common.js";
import { CommandError, ioErrorText, messageOf } from "../img/support/context.js";
import { formatSpecific, specificText } from "../img/support/image-info.js";
import { nestOptions, parseOptions, switchOption } from "../img/support/keyval.js";
import { lookOf } from "../img/support/look.js";
import { bytesText } from "./format.js";
import { Complaint, discard, type Flags, range, read, size, write } from "./requests.js";
import type { Session, SessionRequest } from "./session.js";

/** A verb of the command language. */
export interface Verb {
  readonly name: string;
  readonly aliases?: readonly string[];
  /** Options for getopt: a letter, followed by ":" when it takes a value. */
  readonly options: string;
  readonly min: number;
  /** Words behind the verb, options included; -1 for any number. */
  readonly max: number;
  /** Words that are not options, at most, and (otherwise `min`) at least. */
  readonly operands?: number;
  readonly leastOperands?: number;
  /** What follows the name in the one-line description. */
  readonly usage?: string;
  readonly summary: string;
  /** Words that begin with "-" are no options. */
  readonly raw?: boolean;
  /** Needs an open image. */
  readonly image: boolean;
  /** Needs one that is open for writing. */
  readonly writes?: boolean;
  /** Returns true to end the program. */
  run(session: Session, flags: Flags, args: readonly string[]): Promise<boolean | undefined> | Promise<void> | boolean;
}

const image = { image: true } as const;
const writes = { image: true, writes: true } as const;

export const VERBS: readonly Verb[] = [
  {
    name: "abort",
    options: "",
    min: 0,
    max: 0,
    summary: "simulate a program crash using abort(3)",
    image: false,
    run: () => process.abort(),
  },
  {
    name: "aio_flush",
    options: "",
    min: 0,
    max: 0,
    summary: "completes all outstanding aio requests",
    ...image,
    run: (session) => session.settle(),
  },
  {
    name: "aio_read",
    options: "CP:iqv",
    min: 2,
    max: -1,
    usage: "[-Ciqv] [-P pattern] off len [len..]",
    summary: "asynchronously reads a number of bytes",
    ...image,
    run: async (session, flags, args) => {
      range(args);
      if (flags.has("i")) session.context.out("injecting invalid read request\n");
      else session.start(() => settled(session, read(session, flags, args, "aio_read")));
    },
  },
  {
    name: "aio_write",
    options: "CfiP:quz",
    min: 2,
    max: -1,
    usage: "[-Cfiquz] [-P pattern] off len [len..]",
    summary: "asynchronously writes a number of bytes",
    ...writes,
    run: async (session, flags, args) => {
      range(args);
      if (flags.has("i")) session.context.out("injecting invalid write request\n");
      else session.start(() => settled(session, write(session, flags, args, "aio_write")));
    },
  },
  {
    name: "alloc",
    aliases: ["a"],
    options: "",
    min: 1,
    max: 2,
    usage: "offset [count]",
    summary: "checks if offset is allocated in the file",
    ...image,
    run: alloc,
  },
  {
    name: "break",
    options: "",
    min: 2,
    max: 2,
    usage: "event tag",
    summary: "sets a breakpoint on event and tags the stopped request as tag",
    ...image,
    run: () => noBreakpoints("set breakpoint"),
  },
  {
    name: "close",
    aliases: ["c"],
    options: "",
    min: 0,
    max: 0,
    summary: "close the current open file",
    ...image,
    run: (session) => session.close(),
  },
  {
    name: "discard",
    aliases: ["d"],
    options: "Cq",
    min: 2,
    max: -1,
    operands: 2,
    usage: "[-Cq] off len",
    summary: "discards a number of bytes at a specified offset",
    ...writes,
    run: discard,
  },
  {
    name: "flush",
    aliases: ["f"],
    options: "",
    min: 0,
    max: 0,
    summary: "flush all in-core file state to disk",
    ...image,
    run: (session) => session.image!.disk.flush(),
  },
  {
    name: "help",
    aliases: ["?"],
    options: "",
    min: 0,
    max: 1,
    usage: "[command]",
    summary: "help for one or all commands",
    image: false,
    run: help,
  },
  {
    name: "info",
    aliases: ["i"],
    options: "",
    min: 0,
    max: 0,
    summary: "prints information about the current file",
    ...image,
    run: info,
  },
  {
    name: "length",
    aliases: ["l"],
    options: "",
    min: 0,
    max: 0,
    summary: "gets the length of the current file",
    ...image,
    run: async (session) => session.context.out(`${bytesText(session.image!.disk.size)}\n`),
  },
  {
    name: "map",
    options: "",
    min: 0,
    max: 0,
    usage: "",
    summary: "prints the allocated areas of a file",
    ...image,
    run: map,
  },
  {
    name: "open",
    aliases: ["o"],
    options: "rsCnkUi:t:d:o:",
    min: 1,
    max: -1,
    operands: 1,
    leastOperands: 0,
    usage: "[-rsCnkU] [-t cache] [-d discard] [-o options] [path]",
    summary: "open the file specified by path",
    image: false,
    run: open,
  },
  {
    name: "quit",
    aliases: ["q"],
    options: "",
    min: 0,
    max: -1,
    summary: "exit the program",
    image: false,
    run: () => true,
  },
  {
    name: "read",
    aliases: ["r"],
    options: "bCl:pP:qs:v",
    min: 2,
    max: -1,
    operands: 2,
    usage: "[-abCqv] [-P pattern [-s off] [-l len]] off len",
    summary: "reads a number of bytes at a specified offset",
    ...image,
    run: (session, flags, args) => read(session, flags, args, "read"),
  },
  {
    name: "readv",
    options: "CP:qv",
    min: 2,
    max: -1,
    usage: "[-Cqv] [-P pattern] off len [len..]",
    summary: "reads a number of bytes at a specified offset",
    ...image,
    run: (session, flags, args) => read(session, flags, args, "readv"),
  },
  {
    name: "remove_break",
    options: "",
    min: 1,
    max: 1,
    usage: "tag",
    summary: "remove a breakpoint by tag",
    ...image,
    run: (_, __, [tag]) => noBreakpoints(`remove breakpoint ${tag}`),
  },
  {
    name: "reopen",
    options: "c:o:rw",
    min: 0,
    max: -1,
    operands: 0,
    usage: "[(-r|-w)] [-c cache] [-o options]",
    summary: "reopens an image with new options",
    ...image,
    run: reopen,
  },
  {
    name: "resume",
    options: "",
    min: 1,
    max: 1,
    usage: "tag",
    summary: "resumes the request tagged as tag",
    ...image,
    run: () => noBreakpoints("resume request"),
  },
  {
    name: "sigraise",
    options: "",
    min: 1,
    max: 1,
    usage: "signal",
    summary: "raises a signal",
    image: false,
    run: async (_, __, [signal]) => {
      process.kill(process.pid, size(signal));
    },
  },
  {
    name: "sleep",
    options: "",
    min: 1,
    max: 1,
    summary: "waits for the given value in milliseconds",
    image: false,
    raw: true,
    run: sleep,
  },
  {
    name: "truncate",
    aliases: ["t"],
    options: "m:",
    min: 1,
    max: 3,
    usage: "[-m prealloc_mode] off",
    summary: "truncates the current file at the given offset",
    ...writes,
    run: truncate,
  },
  {
    name: "wait_break",
    options: "",
    min: 1,
    max: 1,
    usage: "tag",
    summary: "waits for the suspension of a request",
    ...image,
    run: () => noBreakpoints("wait for request"),
  },
  {
    name: "write",
    aliases: ["w"],
    options: "bcCfnpP:qs:uz",
    min: 2,
    max: -1,
    operands: 2,
    usage: "[-bcCfnquz] [-P pattern | -s source_file] off len",
    summary: "writes a number of bytes at a specified offset",
    ...writes,
    run: (session, flags, args) => write(session, flags, args, "write"),
  },
  {
    name: "writev",
    options: "CfP:q",
    min: 2,
    max: -1,
    usage: "[-Cfq] [-P pattern] off len [len..]",
    summary: "writes a number of bytes at a specified offset",
    ...writes,
    run: (session, flags, args) => write(session, flags, args, "writev"),
  },
];

/** Breakpoints are a matter of QEMU's blkdebug driver, which there is not. */
function noBreakpoints(what: string): Promise<never> {
  return Promise.reject(new Complaint(`Could not ${what}: Operation not supported`));
}

async function sleep(_: Session, __: Flags, [text]: readonly string[]): Promise<void> {
  // As strtol(3) reads it.
  const milliseconds = /^0[0-7]+$/.test(text)
    ? Number.parseInt(text, 8)
    : /^(0x[0-9a-f]+|\d+)$/i.test(text)
      ? Number(text)
      : Number.NaN;
  if (!(milliseconds <= 0x7fffffff)) throw new Complaint(`${text} is not a valid number`);
  await new Promise<void>((resolve) => setTimeout(resolve, milliseconds));
}

/** A verb's one-line description, under the name that was used. */
export function oneLine({ usage, summary }: Verb, name: string): string {
  return `${name}${usage === undefined ? "" : ` ${usage}`} -- ${summary}`;
}

/** The verb of that name. */
export const findVerb = (name: string): Verb | undefined =>
  VERBS.find((verb) => verb.name === name || verb.aliases?.includes(name));

async function help(session: Session, _: Flags, [name]: readonly string[]): Promise<void> {
  const { context } = session;
  if (name === undefined) {
    const lines = VERBS.map((verb) => `${oneLine(verb, verb.name)}\n`);
    context.out(`${lines.join("")}\nUse 'help commandname' for extended help.\n`);
    return;
  }
  const verb = findVerb(name);
  context.out(verb === undefined ? `command ${name} not found\n` : `${oneLine(verb, name)}\n`);
}

/** A complaint of a request that runs by itself has nobody above it. */
async function settled(session: Session, request: Promise<void>): Promise<void> {
  try {
    await request;
  } catch (error) {
    session.context.out(`${messageOf(error)}\n`);
    session.failed = true;
  }
}

async function alloc(session: Session, _: Flags, args: readonly string[]): Promise<void> {
  const { disk } = session.image!;
  const offset = size(args[0]);
  const bytes = Math.max(0, Math.min(args.length > 1 ? size(args[1]) : 512, disk.size - offset));
  let sum = 0;
  for (let at = offset; at < offset + bytes; ) {
    const extent = await disk.status(at, offset + bytes - at, { depth: 0 });
    if (extent.allocated) sum += extent.length;
    at += extent.length;
  }
  session.context.out(`${sum}/${bytes} bytes allocated at offset ${bytesText(offset)}\n`);
}

async function map(session: Session): Promise<void> {
  const { disk } = session.image!;
  let start = 0;
  let allocated: boolean | undefined;
  const print = (end: number): void => {
    const hex = (value: number): string => `0x${value.toString(16)}`;
    const length = end - start;
    session.context.out(
      `${bytesText(length)} (${hex(length)}) bytes ${allocated ? "    " : "not "}allocated at offset ${bytesText(start)} (${hex(start)})\n`,
    );
  };
  if (disk.size === 0) throw new Complaint("Failed to query length: disk is empty");
  for (let at = 0; at < disk.size; ) {
    const extent = await disk.status(at, disk.size - at, { depth: 0 });
    if (allocated !== undefined && extent.allocated !== allocated) {
      print(at);
      start = at;
    }
    allocated = extent.allocated;
    at += extent.length;
  }
  print(disk.size);
}

async function info(session: Session): Promise<void> {
  const { format, qcow2, disk } = session.image!;
  const details = qcow2?.info();
  const cluster = details?.clusterSize ?? 0;
  const coverage = (cluster * cluster) / (details?.extendedL2 ? 16 : 8);
  const vmState = coverage === 0 ? 0 : Math.ceil(disk.size / coverage) * coverage;
  const { context } = session;
  context.out(`format name: ${format}\ncluster size: ${bytesText(cluster)}\nvm state offset: ${bytesText(vmState)}\n`);
  const specific = formatSpecific(lookOf(session.image!));
  if (specific !== undefined) context.out(specificText(specific));
}

async function truncate(session: Session, flags: Flags, args: readonly string[]): Promise<void> {
  const preallocation = flags.get("m") ?? "off";
  if (!["off", "metadata", "falloc", "full"].includes(preallocation)) {
    throw new CommandError(`Invalid preallocation mode '${preallocation}'`);
  }
  const bytes = size(args[0]);
  const { disk, qcow2 } = session.image!;
  if (qcow2 === undefined && preallocation !== "off" && bytes < disk.size) {
    throw new CommandError("Cannot use preallocation for shrinking files");
  }
  if (qcow2 !== undefined && bytes % 512 !== 0) throw new CommandError("The new size must be a multiple of 512");
  try {
    if (qcow2 === undefined) await disk.resize(bytes);
    else await qcow2.resize(bytes, { shrink: true, preallocation: preallocation as "off" });
  } catch (error) {
    throw new CommandError(ioErrorText(error));
  }
}

async function open(session: Session, flags: Flags, args: readonly string[]): Promise<void> {
  const modes = imageModes({ cache: flags.get("t"), aio: flags.get("i"), discard: flags.get("d") });
  if (session.image !== undefined) throw new CommandError("file open already, try 'help close'");
  const text = flags.get("o");
  if (args.length === 0 && text === undefined) throw new CommandError("no file name given");
  const options = parseOptions(text ?? "");
  const format = options.get("driver");
  options.delete("driver");
  await openOrExplain(session, {
    ...(args.length === 0 ? { filename: text!, imageOpts: true } : { filename: args[0], format }),
    write: !flags.has("r"),
    overlay: flags.has("s"),
    forceShare: flags.has("U"),
    copyOnRead: flags.has("C"),
    ...modes,
    cache: flags.get("t") ?? (flags.has("n") ? "none" : undefined),
    ...(args.length === 0 ? {} : { extra: nestOptions(options) }),
  });
  if (args.length === 0) return;
  const unknown = [...options.keys()].find((key) => !CHANGEABLE.includes(key));
  if (unknown === undefined) return;
  const kind = session.image!.format;
  await session.close();
  const reason = `Block format '${kind}' does not support the option '${unknown}'`;
  throw new CommandError(`can't open device ${args[0]}: ${reason}`);
}

/** Options of an image that can be given with `open -o` and changed with `reopen -o`. */
const CHANGEABLE = ["lazy-refcounts", "discard"];

/** Checks the modes in which an image can be opened, which do not show otherwise. */
export function imageModes(modes: { cache?: string; aio?: string; discard?: string }): {
  aio?: string;
  cache?: string;
  discard: boolean;
} {
  const { aio, discard = "unmap" } = modes;
  const cache = cacheMode(modes.cache);
  if (!["ignore", "off", "unmap", "on"].includes(discard)) {
    throw new CommandError(`Invalid discard option: ${discard}`);
  }
  if (aio !== undefined && !["threads", "native", "io_uring"].includes(aio)) {
    throw new CommandError(`Invalid aio option: ${aio}`);
  }
  return { aio, cache, discard: discard === "unmap" || discard === "on" };
}

/** Opens an image for the session; failures are told in this program's words. */
export async function openOrExplain(session: Session, request: SessionRequest): Promise<void> {
  if (request.forceShare && request.write && !request.overlay) {
    throw new CommandError(cannotOpen(request, "force-share=on can only be used with read-only images"));
  }
  if (request.aio === "native" && !["none", "off", "directsync"].includes(request.cache ?? "")) {
    const reason = "aio=native was specified, but it requires cache.direct=on, which was not specified.";
    throw new CommandError(cannotOpen(request, reason));
  }
  if (request.copyOnRead && !request.write) {
    throw new CommandError(cannotOpen(request, "Can't use copy-on-read on read-only device"));
  }
  try {
    await session.open(request);
  } catch (error) {
    throw new CommandError(cannotOpen(request, messageOf(error).replace(`Could not open '${request.filename}': `, "")));
  }
}

const cannotOpen = (request: SessionRequest, reason: string): string =>
  `can't open${request.imageOpts ? "" : ` device ${request.filename}`}: ${reason}`;

async function reopen(session: Session, flags: Flags): Promise<void> {
  cacheMode(flags.get("c"));
  if (flags.has("r") && flags.has("w")) throw new CommandError("Only one -r/-w option may be given");
  const options = parseOptions(flags.get("o") ?? "");
  const fixed = [...options.keys()].find((key) => !CHANGEABLE.includes(key));
  if (fixed !== undefined) throw new CommandError(`Cannot change the option '${fixed}'`);
  if (options.has("lazy-refcounts")) switchOption("lazy-refcounts", options.get("lazy-refcounts"));
  const old = session.request!;
  const write = flags.has("r") ? false : flags.has("w") ? true : old.write;
  const cache = flags.get("c") ?? old.cache;
  await session.close();
  await openOrExplain(session, { ...old, write, cache, extra: { ...old.extra, ...nestOptions(options) } });
}
