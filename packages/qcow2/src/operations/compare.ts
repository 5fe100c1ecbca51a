import type { Disk } from "../disk.js";
import type { OperationOptions } from "../image/types.js";
import { isZero } from "./zeros.js";

/** Bytes compared at once. */
const CHUNK = 2 * 1024 * 1024;
const SECTOR = 512;

export interface CompareOptions extends OperationOptions {
  /** Sizes and allocation have to be the same, too. */
  readonly strict?: boolean;
}

export type CompareResult =
  | { readonly equal: true }
  | {
      readonly equal: false;
      /** What differs: bytes, the size, or (strict) whether a range is allocated. */
      readonly reason: "content" | "size" | "allocation";
      /** Byte offset of the first sector that differs. */
      readonly offset: number;
    };

/** Compares two disks. Unless `strict`, the part that only one of them has must be zero. */
export async function compare(a: Disk, b: Disk, options: CompareOptions = {}): Promise<CompareResult> {
  const common = Math.min(a.size, b.size);
  const total = Math.max(a.size, b.size);
  if (options.strict && a.size !== b.size) return { equal: false, reason: "size", offset: common };
  for (let at = 0; at < common; ) {
    const [left, right] = await Promise.all([a.status(at, common - at), b.status(at, common - at)]);
    const length = Math.min(left.length, right.length);
    if (options.strict && (left.allocated !== right.allocated || left.zero !== right.zero)) {
      return { equal: false, reason: "allocation", offset: at };
    }
    const offset = left.zero && right.zero ? undefined : await firstDifference(a, b, left.zero, right.zero, at, length);
    if (offset !== undefined) return { equal: false, reason: "content", offset };
    at += length;
    options.progress?.(at, total);
    options.signal?.throwIfAborted();
  }
  const longer = a.size > b.size ? a : b;
  for (let at = common; at < total; ) {
    const extent = await longer.status(at, total - at);
    const offset = extent.zero ? undefined : await firstData(longer, at, extent.length);
    if (offset !== undefined) return { equal: false, reason: "content", offset };
    at += extent.length;
    options.progress?.(at, total);
  }
  return { equal: true };
}

async function firstDifference(
  a: Disk,
  b: Disk,
  aZero: boolean,
  bZero: boolean,
  offset: number,
  length: number,
): Promise<number | undefined> {
  if (aZero) return firstData(b, offset, length);
  if (bZero) return firstData(a, offset, length);
  const left = new Uint8Array(Math.min(CHUNK, length));
  const right = new Uint8Array(left.length);
  for (let at = offset; at < offset + length; at += CHUNK) {
    const count = Math.min(CHUNK, offset + length - at);
    const x = left.subarray(0, count);
    const y = right.subarray(0, count);
    await Promise.all([a.read(x, at), b.read(y, at)]);
    const difference = mismatch(x, y);
    if (difference >= 0) return at + difference - (difference % SECTOR);
  }
  return undefined;
}

async function firstData(disk: Disk, offset: number, length: number): Promise<number | undefined> {
  const buffer = new Uint8Array(Math.min(CHUNK, length));
  for (let at = offset; at < offset + length; at += CHUNK) {
    const data = buffer.subarray(0, Math.min(CHUNK, offset + length - at));
    await disk.read(data, at);
    if (isZero(data)) continue;
    const first = data.findIndex((byte) => byte !== 0);
    return at + first - (first % SECTOR);
  }
  return undefined;
}

/** Index of the first byte that differs, or -1. Both start at a multiple of four. */
export function mismatch(x: Uint8Array, y: Uint8Array): number {
  const words = x.length >> 2;
  const a = new Uint32Array(x.buffer, x.byteOffset, words);
  const b = new Uint32Array(y.buffer, y.byteOffset, words);
  let i = 0;
  while (i < words && a[i] === b[i]) i++;
  for (let at = i * 4; at < x.length; at++) if (x[at] !== y[at]) return at;
  return -1;
}
