import { CommandError, ioErrorText, messageOf } from "../img/support/context.js";
import { formatSpecific, specificText } from "../img/support/image-info.js";
import { parseOptions } from "../img/support/keyval.js";
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
  /** Words that are not options. */
  readonly operands?: number;
  readonly usage: string;
  readonly summary: string;
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
    name: "aio_flush",
    options: "",
    min: 0,
    max: 0,
    usage: "",
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
      session.start(() => settled(session, read(session, flags, args, "aio_read")));
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
      session.start(() => settled(session, write(session, flags, args, "aio_write")));
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
    name: "close",
    aliases: ["c"],
    options: "",
    min: 0,
    max: 0,
    usage: "",
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
    usage: "",
    summary: "flush all in-core file state to disk",
    ...image,
    run: (session) => session.image!.disk.flush(),
  },
  {
    name: "info",
    aliases: ["i"],
    options: "",
    min: 0,
    max: 0,
    usage: "",
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
    usage: "",
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
    options: "rsCnkUt:d:o:",
    min: 0,
    max: -1,
    operands: 1,
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
    max: 0,
    usage: "",
    summary: "exit the program",
    image: false,
    run: () => true,
  },
  {
    name: "read",
    aliases: ["r"],
    options: "abCl:pP:qs:v",
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
    aliases: ["rv"],
    options: "CP:qv",
    min: 2,
    max: -1,
    usage: "[-Cqv] [-P pattern] off len [len..]",
    summary: "reads a number of bytes at a specified offset",
    ...image,
    run: (session, flags, args) => read(session, flags, args, "readv"),
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
    name: "sleep",
    options: "",
    min: 1,
    max: 1,
    usage: "",
    summary: "waits for the given value in milliseconds",
    image: false,
    run: async (_, __, args) => {
      const milliseconds = /^\d+$/.test(args[0]) ? Number(args[0]) : Number.NaN;
      if (Number.isNaN(milliseconds)) throw new Complaint(`${args[0]} is not a valid number`);
      await new Promise<void>((resolve) => setTimeout(resolve, milliseconds));
    },
  },
  {
    name: "truncate",
    aliases: ["t"],
    options: "m:",
    min: 1,
    max: -1,
    operands: 1,
    usage: "[-m prealloc_mode] off",
    summary: "truncates the current file at the given offset",
    ...writes,
    run: truncate,
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
    aliases: ["wv"],
    options: "CfP:q",
    min: 2,
    max: -1,
    usage: "[-Cfq] [-P pattern] off len [len..]",
    summary: "writes a number of bytes at a specified offset",
    ...writes,
    run: (session, flags, args) => write(session, flags, args, "writev"),
  },
];

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
  if (offset > disk.size) throw new Complaint("is_allocated failed: Input/output error");
  const bytes = Math.min(args.length > 1 ? size(args[1]) : 512, disk.size - offset);
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
  const specific = formatSpecific(session.image!);
  if (specific !== undefined) context.out(specificText(specific));
}

async function truncate(session: Session, flags: Flags, args: readonly string[]): Promise<void> {
  const preallocation = flags.get("m") ?? "off";
  if (!["off", "metadata", "falloc", "full"].includes(preallocation)) {
    throw new CommandError(`Invalid preallocation mode '${preallocation}'`);
  }
  const bytes = size(args[0]);
  const { disk, qcow2 } = session.image!;
  try {
    if (qcow2 === undefined) await disk.resize(bytes);
    else await qcow2.resize(bytes, { shrink: true, preallocation: preallocation as "off" });
  } catch (error) {
    throw new CommandError(ioErrorText(error));
  }
}

async function open(session: Session, flags: Flags, args: readonly string[]): Promise<void> {
  if (session.image !== undefined) throw new CommandError("file open already, try 'help close'");
  if (args.length === 0) throw new CommandError("no file name given");
  const options = flags.has("o") ? parseOptions(flags.get("o")!) : undefined;
  const request = {
    filename: args[0],
    write: !flags.has("r"),
    overlay: flags.has("s"),
    forceShare: flags.has("U"),
    format: options?.get("driver"),
  };
  await openOrExplain(session, request);
}

/** Opens an image for the session; failures are told in this program's words. */
export async function openOrExplain(session: Session, request: SessionRequest): Promise<void> {
  if (request.forceShare && request.write && !request.overlay) {
    throw new CommandError(cannotOpen(request, "force-share=on can only be used with read-only images"));
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
  if (flags.has("r") && flags.has("w")) throw new CommandError("Only one -r/-c/-w option may be given");
  const old = session.request!;
  const write = flags.has("r") ? false : flags.has("w") ? true : old.write;
  const cache = flags.get("c") ?? old.cache;
  await session.close();
  await openOrExplain(session, { ...old, write, cache });
}
