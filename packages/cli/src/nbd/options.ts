import { type Arguments, cacheMode, snapshotParameter, warnTrace } from "../img/support/common.js";
import { CommandError, type Context } from "../img/support/context.js";
import { flag, valued } from "../img/support/getopt.js";
import { splitOptions } from "../img/support/keyval.js";
import { parseWhole } from "../img/support/sizes.js";
import { checkActivation } from "./activation.js";

/** Without -b only this machine can connect: whoever may connect may write. */
export const DEFAULT_BIND = "127.0.0.1";

/** Set in the environment of the process that `--fork` starts. */
export const FORKED = "SOFTMETAL_NBD_FORKED";

/** The command line of `softmetal nbd`. */
export const SPEC = {
  short: "hVb:o:p:rsnc:dvk:e:f:tl:x:T:D:AB:L",
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
    "tls-authz": valued("tls-authz"),
    "selinux-label": valued("selinux-label"),
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
  readonly writethrough: boolean;
  readonly discard: boolean;
  readonly detectZeroes: (typeof DETECT_ZEROES)[number];
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

const CACHE = "-n and --cache can only be specified once";
const DETECT_ZEROES = ["off", "on", "unmap"] as const;
/** The longest string of the protocol, bytes. */
const MAX_STRING = 4096;
/** Linux's limit for the path of a Unix socket, bytes. */
const MAX_SOCKET_PATH = 108;
/** Settings that describe an image to be served. */
const PER_DEVICE = ["x", "D", "c", "d", "f", "l", "B", "A", "o", "aio", "discard", "cache", "n"];

/** Checks the command line. */
export function readSettings(context: Context, options: Arguments): NbdSettings {
  const cache = readCache(options);
  checkAio(options, cache);
  const discard = readDiscard(options);
  const snapshot = readSnapshot(options);
  const offset = numberOf(options.value("o")) ?? complain(`Invalid offset '${options.value("o")}'`);
  const maxClients = numberOf(options.value("e") ?? "1", 0x7fffffff);
  const settings = {
    list: options.has("L"),
    filename: options.operands[0] ?? "",
    imageOpts: options.has("image-opts"),
    format: options.value("f"),
    readOnly: options.has("r") || snapshot !== undefined,
    overlay: options.has("s"),
    snapshot,
    cache,
    writethrough: cache === "writethrough" || cache === "directsync",
    discard,
    detectZeroes: readDetectZeroes(options, discard),
    bind: options.value("b"),
    port: readPort(options),
    socket: readSocket(options),
    maxClients: maxClients ?? complain(`Invalid shared device number '${options.value("e")}'`),
    persistent: options.has("t"),
    exportName: shortText(options.value("x"), "export name") ?? "",
    description: shortText(options.value("D"), "export description"),
    offset,
    // The last one first, as in QEMU's list.
    bitmaps: options.all("B").reverse(),
    allocationDepth: options.has("A"),
    tlsCreds: options.value("tls-creds"),
    tlsHostname: options.value("tls-hostname"),
    fork: options.has("fork"),
    pidFile: options.value("pid-file"),
    verbose: options.has("v"),
  };
  if (settings.list) checkList(options);
  else if (options.operands.length !== 1) {
    complain(`Invalid number of arguments\nTry \`${context.program} --help' for more information.`);
  }
  if (settings.imageOpts && settings.format !== undefined) complain("--image-opts and -f are mutually exclusive");
  checkActivation(options);
  checkTls(options, settings.list);
  checkUnsupported(options);
  for (const pattern of options.all("T")) warnTrace(context, pattern);
  return settings;
}

function complain(message: string): never {
  throw new CommandError(message);
}

function readCache(options: Arguments): string | undefined {
  const modes = [...options.all("cache"), ...options.all("n").map(() => "none")];
  if (modes.length > 1) complain(CACHE);
  try {
    return cacheMode(modes[0]);
  } catch {
    return complain(`Invalid cache mode \`${modes[0]}'`);
  }
}

/** How requests are handed to the host does not show: the mode is checked, and that is all. */
function checkAio(options: Arguments, cache: string | undefined): void {
  const modes = options.all("aio");
  if (modes.length > 1) complain("--aio can only be specified once");
  if (modes.length === 0) return;
  if (!["threads", "native", "io_uring"].includes(modes[0])) complain(`Invalid aio mode '${modes[0]}'`);
  if (modes[0] === "native" && !["none", "off", "directsync"].includes(cache ?? "")) {
    complain(
      `Failed to blk_new_open '${options.operands[0]}': ` +
        "aio=native was specified, but it requires cache.direct=on, which was not specified.",
    );
  }
}

function readDiscard(options: Arguments): boolean {
  const modes = options.all("discard");
  if (modes.length > 1) complain("--discard can only be specified once");
  const mode = modes[0] ?? "ignore";
  if (!["ignore", "off", "unmap", "on"].includes(mode)) complain(`Invalid discard mode \`${mode}'`);
  return mode === "unmap" || mode === "on";
}

function readDetectZeroes(options: Arguments, discard: boolean): NbdSettings["detectZeroes"] {
  const text = options.value("detect-zeroes") ?? "off";
  const mode = DETECT_ZEROES.find((candidate) => candidate === text);
  if (mode === undefined) complain(`Failed to parse detect_zeroes mode: invalid parameter value: ${text}`);
  if (mode === "unmap" && !discard) {
    complain("setting detect-zeroes to unmap is not allowed without setting discard operation to unmap");
  }
  return mode!;
}

function readSnapshot(options: Arguments): NbdSettings["snapshot"] {
  const text = options.value("l");
  if (text === undefined) return undefined;
  const wrong = text.startsWith("snapshot.")
    ? splitOptions(text).find(({ key }) => key !== "snapshot.id" && key !== "snapshot.name")
    : undefined;
  if (wrong !== undefined) complain(`Failed in parsing snapshot param \`${text}': Invalid parameter '${wrong.key}'`);
  return snapshotParameter(text);
}

function readPort(options: Arguments): number {
  const text = options.value("p") ?? "10809";
  if (!/^\d+$/.test(text)) {
    complain(
      `address resolution failed for ${options.value("b") ?? DEFAULT_BIND}:${text}: Servname not supported for ai_socktype`,
    );
  }
  if (Number(text) > 65_535) complain(`Invalid port '${text}': the largest is 65535`);
  return Number(text);
}

function readSocket(options: Arguments): string | undefined {
  const path = options.value("k");
  if (path === undefined) return undefined;
  if (!path.startsWith("/")) complain("socket path must be absolute");
  if (Buffer.byteLength(path) >= MAX_SOCKET_PATH) {
    complain(`UNIX socket path '${path}' is too long\nPath must be less than ${MAX_SOCKET_PATH} bytes`);
  }
  return path;
}

function shortText(text: string | undefined, what: string): string | undefined {
  if (text !== undefined && Buffer.byteLength(text) > MAX_STRING) complain(`${what} '${text}' too long`);
  return text;
}

function checkList(options: Arguments): void {
  if (options.operands.length > 0) complain("List mode is incompatible with a file name");
  if (PER_DEVICE.some((key) => options.has(key) && !(key === "o" && numberOf(options.value("o")) === 0))) {
    complain("List mode is incompatible with per-device settings");
  }
  if (options.has("fork")) complain("List mode is incompatible with forking");
}

function checkTls(options: Arguments, list: boolean): void {
  if (options.has("tls-creds")) {
    if (options.has("c")) complain("TLS is not supported with a host device");
    if (options.has("tls-authz") && list) complain("TLS authorization is incompatible with export list");
    if (options.has("tls-hostname") && !list) complain("TLS hostname is only supported with export list");
    return;
  }
  for (const option of ["tls-authz", "tls-hostname"]) {
    if (options.has(option)) complain(`--${option} is not permitted without --tls-creds`);
  }
}

/** What this program leaves to others, and to whom. */
function checkUnsupported(options: Arguments): void {
  if (options.has("c")) {
    complain("--connect needs the kernel's client: serve a socket with -k, and attach it with 'nbd-client -unix'");
  }
  if (options.has("d")) complain("--disconnect needs the kernel's client: use 'nbd-client -d'");
  if (options.has("tls-authz")) {
    complain("--tls-authz is not supported: every client that the authority in ca-cert.pem vouches for is let in");
  }
  if (options.has("selinux-label")) {
    complain("--selinux-label is not supported: start the program with 'runcon', or label the socket afterwards");
  }
}

/** A number that begins with a digit; 0 when absent. */
function numberOf(text = "0", max = Number.MAX_SAFE_INTEGER): number | undefined {
  const value = /^\d/.test(text) ? parseWhole(text) : undefined;
  return value !== undefined && value <= max ? Number(value) : undefined;
}
