/** Checks of what callers pass, before it reaches the addon. */
import { List, type ListType } from "./abi/list.js";
import type { Fields, Input, StructType, Values, ViewOf } from "./abi/struct.js";
import { KvmError } from "./errors.js";
import { describe } from "./handle.js";

/** A guest-physical address: below 2^52, so numbers are exact. */
export type Address = number | bigint;

export function integer(operation: string, name: string, value: number, most: number): number {
  if (!Number.isInteger(value) || value < 0 || value > most) {
    throw new KvmError("out-of-range", operation, `${name} must be 0 to ${most}, got ${describe(value)}`);
  }
  return value;
}

export const u32 = (operation: string, name: string, value: number) => integer(operation, name, value, 0xffffffff);

export const size = (operation: string, name: string, value: number) =>
  integer(operation, name, value, Number.MAX_SAFE_INTEGER);

export function u64(operation: string, name: string, value: Address): Address {
  if (typeof value === "bigint" ? value >= 0n && value < 1n << 64n : Number.isSafeInteger(value) && value >= 0) {
    return value;
  }
  throw new KvmError("out-of-range", operation, `${name} must be an unsigned 64-bit number, got ${describe(value)}`);
}

export function text(operation: string, name: string, value: string): string {
  if (typeof value !== "string") throw new KvmError("invalid-argument", operation, `${name} must be a string`);
  return value;
}

export function uint8Array(operation: string, name: string, value: Uint8Array): Uint8Array {
  if (!(value instanceof Uint8Array)) {
    throw new KvmError("invalid-argument", operation, `${name} must be a Uint8Array, got ${describe(value)}`);
  }
  return value;
}

export function object<T extends object>(operation: string, name: string, value: T): T {
  if (typeof value !== "object" || value === null) {
    throw new KvmError("invalid-argument", operation, `${name} must be an object, got ${describe(value)}`);
  }
  return value;
}

export function iterable<T>(operation: string, name: string, value: Iterable<T>): Iterable<T> {
  if (typeof (value as Partial<Iterable<T>> | null | undefined)?.[Symbol.iterator] === "function") return value;
  throw new KvmError("invalid-argument", operation, `${name} must be iterable, got ${describe(value)}`);
}

/** The bytes of a structure's view, or of one made of the fields given. */
export function structure<F extends Fields>(
  operation: string,
  type: StructType<F>,
  value: ViewOf<F> | Values<F>,
): Uint8Array {
  object(operation, type.name, value);
  try {
    if ("$bytes" in value) {
      const bytes = value.$bytes;
      if (bytes instanceof Uint8Array && bytes.length === type.size) return bytes;
      throw new TypeError("a view of another structure");
    }
    return type.create(value as Values<F>).$bytes;
  } catch (error) {
    throw new KvmError("invalid-argument", operation, `struct ${type.name}: ${reasonOf(error)}`);
  }
}

/** The bytes of a structure's view, which the kernel will fill. */
export function view<F extends Fields>(operation: string, type: StructType<F>, value: ViewOf<F>): Uint8Array {
  object(operation, type.name, value);
  if (!("$bytes" in value)) throw new KvmError("invalid-argument", operation, `not a view of struct ${type.name}`);
  return structure(operation, type, value);
}

/** The bytes of a list, or of one made of the elements given. */
export function elements<T>(operation: string, type: ListType<T>, value: List<T> | Iterable<Input<T> | T>): List<T> {
  if (value instanceof List) {
    if (value.bytes.length - type.header !== value.capacity * type.element.size) {
      throw new KvmError("invalid-argument", operation, `a list of something else than struct ${type.name}`);
    }
    return value;
  }
  object(operation, type.name, value);
  try {
    return type.from(value);
  } catch (error) {
    throw new KvmError("invalid-argument", operation, `struct ${type.name}: ${reasonOf(error)}`);
  }
}

// A bigint where a number belongs, and the like.
function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
