import { failure, KvmError } from "./errors.js";
import { type Kind, type NativeHandle, native } from "./native.js";

/** Hands the addon's handle of an object to the other modules of this package, and to nobody else. */
let reveal: (object: KernelObject) => NativeHandle;

/**
 * A thread's handle on a kernel object. The object is closed when the last handle on it, in any thread, is disposed or
 * collected or its thread ends; a VM also lives as long as one of its vCPUs and devices.
 */
export abstract class KernelObject {
  readonly #native: NativeHandle;

  /** @internal */
  constructor(handle: NativeHandle) {
    this.#native = handle;
  }

  static {
    reveal = (object) => object.#native;
  }

  /** A number by which another thread of this process can `attach` to the object. Never used twice. */
  get handle(): number {
    return checked("handle", native().id(this.#native));
  }

  /** The file descriptor, which stays owned by this object: for passing on, not for closing. */
  get fd(): number {
    return checked("fd", native().fd(this.#native));
  }

  /** Gives the handle up; everything but disposing it again then fails with `closed`. */
  dispose(): void {
    native().close(this.#native);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** The addon's handle of `object`, which the caller got from outside. */
export function nativeOf<T extends KernelObject>(
  object: T,
  type: abstract new (...args: never[]) => T,
  operation: string,
): NativeHandle {
  if (!(object instanceof type)) {
    throw new KvmError("invalid-argument", operation, `expected a ${type.name}, got ${describe(object)}`);
  }
  return reveal(object);
}

/** A result that is a number, or the error it stands for. */
export function checked(operation: string, result: number): number {
  if (result < 0) throw failure(operation, result);
  return result;
}

/** A result that is a handle (or a buffer, or a function), or the error it stands for. */
export function made<T extends object>(operation: string, result: T | number | undefined): T {
  if (typeof result === "object" || typeof result === "function") return result;
  throw typeof result === "number" ? failure(operation, result) : new KvmError("no-memory", operation, "out of memory");
}

/** Runs one of the ioctls of native/ioctl_table.h. */
export function ioctl(handle: NativeHandle, name: string, argument?: Uint8Array | number | bigint): number {
  const addon = native();
  return checked(name.split(" ", 1)[0], addon.ioctl(handle, addon.ioctls[name], argument));
}

/** This thread's handle on what another thread's `handle` names. */
export function attach(kind: Kind, operation: string, number: number): NativeHandle {
  if (!Number.isSafeInteger(number) || number < 0) {
    throw new KvmError("invalid-argument", operation, `expected the handle of an object, got ${describe(number)}`);
  }
  return made(operation, native().attach(kind, number));
}

/** A short text for error messages. */
export function describe(value: unknown): string {
  if (typeof value === "number" || typeof value === "bigint") return String(value);
  return value === null ? "null" : typeof value;
}
