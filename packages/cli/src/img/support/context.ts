import { imageErrorText } from "./image-errors.js";
import type { Terminal } from "./terminal.js";
import type { TlsObject } from "./tls-objects.js";

/** One run of a command: who it is, where it prints, and the objects its options defined. */
export class Context {
  /** `--object secret,...`: passphrases by identifier. */
  readonly secrets = new Map<string, string>();
  /** The same secrets as bytes, which need not be text: they encrypt others. */
  readonly secretBytes = new Map<string, Uint8Array>();
  /** `--object tls-creds-x509,...` and `tls-creds-psk,...` by identifier. */
  readonly tlsObjects = new Map<string, TlsObject>();

  constructor(
    /** The prefix of error lines: the name under which the program was started. */
    readonly program: string,
    readonly terminal: Terminal,
  ) {}

  /** The passphrase that an option names. */
  secret(id: string): string {
    const value = this.secrets.get(id);
    if (value === undefined) throw new CommandError(`No secret with id '${id}'`);
    return value;
  }

  out(text: string): void {
    this.terminal.out(text);
  }

  /** One error line; further lines of the message are printed as they are. */
  error(message: string): void {
    this.terminal.err(`${this.program}: ${message}\n`);
  }

  warn(message: string): void {
    this.error(`warning: ${message}`);
  }
}

/** Ends the command: the message becomes an error line, and the number the exit status. */
export class CommandError extends Error {
  constructor(
    message: string,
    readonly exitCode = 1,
  ) {
    super(message);
  }
}

/** A command line that cannot be understood: the message and a pointer to the help. */
export class UsageError extends CommandError {
  constructor(
    message: string,
    /** The same in the words of getopt_long(3). */
    readonly standard: string = message,
  ) {
    super(message);
  }
}

/** `--help` was given: the command prints its help and does nothing else. */
export class HelpWanted extends Error {}

/** Ends the command with a status and nothing more to say. */
export class Exit extends Error {
  constructor(readonly exitCode: number) {
    super(`exit ${exitCode}`);
  }
}

const ERRNO_TEXT: Readonly<Record<string, string>> = {
  ENOENT: "No such file or directory",
  EACCES: "Permission denied",
  EPERM: "Operation not permitted",
  EISDIR: "Is a directory",
  ENOTDIR: "Not a directory",
  EEXIST: "File exists",
  ENOSPC: "No space left on device",
  EROFS: "Read-only file system",
  EFBIG: "File too large",
  EINVAL: "Invalid argument",
  EIO: "Input/output error",
  ENOTSUP: "Operation not supported",
  EMFILE: "Too many open files",
  ELOOP: "Too many levels of symbolic links",
  ENAMETOOLONG: "File name too long",
  ENXIO: "No such device or address",
  ECONNREFUSED: "Connection refused",
  ETXTBSY: "Text file busy",
};

const NBD_ERRNO: Readonly<Record<number, string>> = { 1: "EPERM", 5: "EIO", 22: "EINVAL", 28: "ENOSPC", 95: "ENOTSUP" };

/** The C library's words for a failed system call, found in the error or in what caused it. */
export function errnoText(error: unknown): string | undefined {
  for (let current = error, depth = 0; current instanceof Error && depth < 8; current = current.cause, depth++) {
    const { code, errno, name } = current as NodeJS.ErrnoException;
    if (typeof code === "string" && ERRNO_TEXT[code]) return ERRNO_TEXT[code];
    // A server's answer; its numbers are Linux's whatever runs here.
    if (name === "NbdError" && errno !== undefined && NBD_ERRNO[errno]) return ERRNO_TEXT[NBD_ERRNO[errno]];
  }
  return undefined;
}

/** What to print of an error: the system's words when a system call failed, else the message. */
export function messageOf(error: unknown): string {
  // A callback's failure comes back wrapped by the library: what we said ourselves is what counts.
  for (let current = error, depth = 0; current instanceof Error && depth < 8; current = current.cause, depth++) {
    if (current instanceof CommandError) return current.message;
  }
  const known = imageErrorText(error);
  if (known !== undefined) return known;
  return errnoText(error) ?? (error instanceof Error ? error.message : String(error)).split("\n")[0];
}

/** What a failed read or write is called; anything without a better name is an I/O error. */
export function ioErrorText(error: unknown): string {
  const system = errnoText(error);
  if (system !== undefined) return system;
  const { name, code } = (error ?? {}) as { name?: string; code?: string };
  if (name === "Qcow2Error" && code === "unsupported") return ERRNO_TEXT.ENOTSUP;
  if (name === "Qcow2Error" && code === "invalid-argument") return ERRNO_TEXT.EINVAL;
  return name === "Qcow2Error" || name === "NbdError" ? ERRNO_TEXT.EIO : messageOf(error);
}
