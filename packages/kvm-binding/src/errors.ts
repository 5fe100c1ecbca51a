import { constants } from "node:os";

/**
 * What went wrong:
 * - `unavailable`: KVM cannot be used here, see {@link KvmUnavailable}
 * - `closed`: the handle has been disposed, or the number given to `attach` names nothing that is open
 * - `busy`: another thread is using the vCPU (its ioctls are for one thread at a time)
 * - `invalid-argument`: of the wrong type, or the kernel refused the values (EINVAL)
 * - `out-of-range`: a number or range beyond what it may be
 * - `too-small`: a buffer shorter than what the kernel reads or writes
 * - `misaligned`: an address or size that is not a multiple of the page size (4096)
 * - `not-shared`: guest memory in an ordinary ArrayBuffer, which could be transferred away while the guest uses it
 * - `overlap`: a memory region overlaps another slot's
 * - `exists`, `not-found`: what should be made is there, what is named is not
 * - `unsupported`: this kernel or processor does not have it (ENOTTY, ENXIO, EOPNOTSUPP, ...)
 * - `too-big`: a list longer than the kernel takes or than fits the room given
 * - `no-permission`, `no-memory`, `limit`: EPERM or EACCES, ENOMEM, too many open files or the like
 * - `would-block`, `interrupted`: EAGAIN, EINTR
 * - `bad-address`: the kernel could not reach memory (EFAULT)
 * - `failed`: any other errno, see {@link KvmError.errno}
 */
export type KvmErrorCode =
  | "unavailable"
  | "closed"
  | "busy"
  | "invalid-argument"
  | "out-of-range"
  | "too-small"
  | "misaligned"
  | "not-shared"
  | "overlap"
  | "exists"
  | "not-found"
  | "unsupported"
  | "too-big"
  | "no-permission"
  | "no-memory"
  | "limit"
  | "would-block"
  | "interrupted"
  | "bad-address"
  | "failed";

/** Every failure of this package. */
export class KvmError extends Error {
  override name = "KvmError";
  readonly code: KvmErrorCode;
  /** The ioctl or method that failed, under the kernel documentation's name where it has one. */
  readonly operation: string;
  /** The name of the kernel's error, such as `EINVAL`, when it came from there. */
  readonly errno?: string;

  constructor(code: KvmErrorCode, operation: string, message: string, errno?: string) {
    super(`${operation}: ${message}`);
    this.code = code;
    this.operation = operation;
    this.errno = errno;
  }
}

/**
 * Why KVM cannot be used:
 * - `not-linux`: another operating system
 * - `no-device`: there is no `/dev/kvm`, or nothing behind it
 * - `no-permission`: the device is there, this user may not open it; the message names the group to join
 * - `blocked`: a container or sandbox forbids it
 * - `no-addon`: the native part was not built for this platform
 * - `wrong-api-version`: the kernel does not speak version 12 of the interface
 */
export type KvmUnavailableReason =
  | "not-linux"
  | "no-device"
  | "no-permission"
  | "blocked"
  | "no-addon"
  | "wrong-api-version";

/** KVM cannot be used on this machine, by this user, from this build. Thrown by `Kvm.open`. */
export class KvmUnavailable extends KvmError {
  override name = "KvmUnavailable";
  readonly reason: KvmUnavailableReason;
  /** For `no-permission`: the group that owns the device, when it has a name. */
  readonly group?: string;

  constructor(reason: KvmUnavailableReason, message: string, group?: string) {
    super("unavailable", "KVM", message);
    this.reason = reason;
    this.group = group;
  }
}

/** The addon's own results; native/binding.h has the same numbers. */
const own: Record<number, [KvmErrorCode, string]> = {
  [-10001]: ["closed", "the handle is closed"],
  [-10002]: ["busy", "another thread is using this vCPU"],
  [-10003]: ["invalid-argument", "an argument is of the wrong type or out of range"],
  [-10004]: ["too-small", "the buffer is shorter than what the kernel reads or writes"],
  [-10005]: ["not-shared", "guest memory must be in a SharedArrayBuffer or a GuestMemory"],
  [-10006]: ["misaligned", "addresses and sizes must be multiples of the page size, 4096"],
  [-10007]: ["out-of-range", "a range reaches beyond what it is part of"],
  [-10008]: ["unsupported", "this binding does not pass it on"],
};

const codes: Record<string, [KvmErrorCode, string]> = {
  EINVAL: ["invalid-argument", "the kernel refused the values"],
  EEXIST: ["exists", "it exists already"],
  EBUSY: ["busy", "it is in use"],
  ENOENT: ["not-found", "there is no such thing"],
  ENOTTY: ["unsupported", "the kernel does not have it"],
  ENXIO: ["unsupported", "the kernel does not have it, or what it needs was not set up"],
  ENODEV: ["unsupported", "the kernel does not have it"],
  ENOSYS: ["unsupported", "the kernel does not have it"],
  EOPNOTSUPP: ["unsupported", "the kernel does not have it"],
  E2BIG: ["too-big", "the list is too long"],
  EPERM: ["no-permission", "not permitted"],
  EACCES: ["no-permission", "permission denied"],
  ENOMEM: ["no-memory", "out of memory"],
  EMFILE: ["limit", "too many open files in this process"],
  ENFILE: ["limit", "too many open files in this system"],
  ENOSPC: ["limit", "no room left"],
  EAGAIN: ["would-block", "not now"],
  EINTR: ["interrupted", "interrupted by a signal"],
  EFAULT: ["bad-address", "the kernel could not reach the memory"],
};

/** Some numbers have two names (EAGAIN is EWOULDBLOCK): the one this file knows. */
const names = new Map(
  Object.entries(constants.errno)
    .sort(([a], [b]) => Number(a in codes) - Number(b in codes))
    .map(([name, number]) => [number, name]),
);

/** The error for a negative result of the addon. */
export function failure(operation: string, result: number): KvmError {
  if (result in own) return new KvmError(...withOperation(operation, own[result]));
  const name = names.get(-result) ?? `errno ${-result}`;
  const [code, text] = codes[name] ?? ["failed", "the kernel reported an error"];
  return new KvmError(code, operation, `${text} (${name})`, name);
}

/**
 * The typed error for what JavaScript itself says about a view's memory: gone with the handle it belonged to, too short,
 * or given a value of the wrong type (a bigint where a number belongs).
 */
export function viewFailure(error: unknown, operation: string, buffer?: ArrayBufferLike): KvmError {
  if (error instanceof KvmError) return error;
  if (buffer?.byteLength === 0) {
    return new KvmError("closed", operation, "the memory was given up with the handle it belonged to");
  }
  const message = error instanceof Error ? error.message : String(error);
  return new KvmError(error instanceof RangeError ? "out-of-range" : "invalid-argument", operation, message);
}

function withOperation(operation: string, [code, text]: [KvmErrorCode, string]): [KvmErrorCode, string, string] {
  return [code, operation, text];
}
