import { type Arguments, cacheMode, snapshotParameter } from "../img/support/common.js";
import { CommandError, type Context } from "../img/support/context.js";
import { flag, valued } from "../img/support/getopt.js";

/** Set in the environment of the process that `--fork` starts. */
export const FORKED = "SOFTMETAL_NBD_FORKED";

/** The command line of `softmetal nbd`. */
export const SPEC = {
  short: "hVb:o:p:k:e:f:tl:sx:T:D:B:ALrnvc:dP:",
  long: {
    help: flag("h"),
    version: flag("V"),
    bind: valued("b"),
    port: valued("p"),
    socket: valued("k"),
    offset: valued("o"),
    "read-only": flag("r"),
    "allocation-depth": flag("A"),
    bitmap: valued("B"),
    connect: valued("c"),
    disconnect: flag("d"),
    list: flag("L"),
    snapshot: flag("s"),
    "load-snapshot": valued("l"),
    nocache: flag("n"),
    cache: valued("cache"),
    aio: valued("aio"),
    discard: valued("discard"),
    "detect-zeroes": valued("detect-zeroes"),
    shared: valued("e"),
    format: valued("f"),
    persistent: flag("t"),
    verbose: flag("v"),
    object: valued("object"),
    "export-name": valued("x"),
    description: valued("D"),
    "tls-creds": valued("tls-creds"),
    "tls-hostname": valued("tls-hostname"),
    "image-opts": flag("image-opts"),
    trace: valued("T"),
    fork: flag("fork"),
    "pid-file": valued("pid-file"),
  },
};

export interface NbdSettings {
  readonly list: boolean;
  readonly filename: string;
  readonly imageOpts: boolean;
  readonly format: string | undefined;
  readonly readOnly: boolean;
  readonly overlay: boolean;
  readonly snapshot: ReturnType<typeof snapshotParameter> | undefined;
  readonly cache: string | undefined;
  readonly discard: boolean;
  readonly bind: string | undefined;
  readonly port: number;
  readonly socket: string | undefined;
  readonly maxClients: number;
  readonly persistent: boolean;
  readonly exportName: string;
  readonly description: string | undefined;
  readonly offset: number;
  readonly bitmaps: readonly string[];
  readonly allocationDepth: boolean;
  readonly tlsCreds: string | undefined;
  readonly tlsHostname: string | undefined;
  readonly fork: boolean;
  readonly pidFile: string | undefined;
  readonly verbose: boolean;
}

/** Checks the command line. */
export function readSettings(context: Context, options: Arguments): NbdSettings {
  const list = options.has("L");
  if (options.has("c") || options.has("d")) throw new CommandError("Kernel /dev/nbdN support not available");
  if (list && options.operands.length > 0) throw new CommandError("List mode is incompatible with a file name");
  if (!list && options.operands.length !== 1) {
    throw new CommandError(`Invalid number of arguments\nTry \`${context.program} --help' for more information.`);
  }
  const discard = options.value("discard") ?? "ignore";
  if (!["ignore", "off", "unmap", "on"].includes(discard)) throw new CommandError(`Invalid discard mode \`${discard}'`);
  const cache = options.value("cache");
  if (cache !== undefined) checkCache(cache);
  const snapshot = options.value("l");
  const socket = options.value("k");
  if (socket !== undefined && !socket.startsWith("/")) throw new CommandError("socket path must be absolute");
  return {
    list,
    filename: options.operands[0] ?? "",
    imageOpts: options.has("image-opts"),
    format: options.value("f"),
    readOnly: options.has("r") || snapshot !== undefined,
    overlay: options.has("s"),
    snapshot: snapshot === undefined ? undefined : snapshotParameter(snapshot),
    cache,
    discard: discard === "unmap" || discard === "on",
    bind: options.value("b"),
    port: wholeNumber(options.value("p"), 10_809, 1, 65_535, (text) => `Invalid port \`${text}'`),
    socket,
    maxClients: wholeNumber(options.value("e"), 1, 0, 2 ** 31, (text) => `Invalid shared device number '${text}'`),
    persistent: options.has("t"),
    exportName: options.value("x") ?? "",
    description: options.value("D"),
    offset: offsetOf(options.value("o")),
    bitmaps: options.all("B"),
    allocationDepth: options.has("A"),
    tlsCreds: options.value("tls-creds"),
    tlsHostname: options.value("tls-hostname"),
    fork: options.has("fork"),
    pidFile: options.value("pid-file"),
    verbose: options.has("v"),
  };
}

function checkCache(mode: string): void {
  try {
    cacheMode(mode);
  } catch {
    throw new CommandError(`Invalid cache mode \`${mode}'`);
  }
}

function wholeNumber(
  text: string | undefined,
  fallback: number,
  min: number,
  max: number,
  complaint: (text: string) => string,
): number {
  if (text === undefined) return fallback;
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max)) throw new CommandError(complaint(text));
  return value;
}

function offsetOf(text: string | undefined): number {
  if (text === undefined) return 0;
  if (!/^(0x[0-9a-f]+|\d+)$/i.test(text)) throw new CommandError(`Invalid offset '${text}'`);
  return Number(text);
}
