/** L1 and L2 entries as two 32-bit halves, so that no entry costs a BigInt. */

const HIGH = 0x1_0000_0000;

/** Bit 63 in the high half: the refcount is exactly one. */
export const COPIED_HIGH = 0x8000_0000;
/** Bit 62 in the high half: compressed cluster. */
export const COMPRESSED_HIGH = 0x4000_0000;
/** Bit 0 in the low half: reads as zeros. */
export const ZERO_LOW = 1;

const OFFSET_HIGH_MASK = 0x00ff_ffff;
const OFFSET_LOW_MASK = 0xffff_fe00;

/** Bits 9 to 55. */
export function entryOffset(high: number, low: number): number {
  return (high & OFFSET_HIGH_MASK) * HIGH + ((low & OFFSET_LOW_MASK) >>> 0);
}

/** Whether reserved bits of a standard L1 entry are set. */
export function l1Reserved(high: number, low: number): boolean {
  return (high & 0x7f00_0000) !== 0 || (low & 0x1ff) !== 0;
}

/** Whether reserved bits of a standard L2 entry are set (bit 0 is the caller's matter). */
export function l2Reserved(high: number, low: number): boolean {
  return (high & 0x3f00_0000) !== 0 || (low & 0x1fe) !== 0;
}

export function highOf(offset: number): number {
  return Math.floor(offset / HIGH);
}

export function lowOf(offset: number): number {
  return (offset % HIGH) >>> 0;
}

export interface CompressedDescriptor {
  /** Byte offset in the file, without alignment. */
  readonly offset: number;
  /** Bytes from `offset` to the end of the last sector the data may touch. */
  readonly length: number;
}

/** Splits the 62 bits of a compressed cluster descriptor. */
export function decodeCompressed(high: number, low: number, clusterBits: number): CompressedDescriptor {
  const offsetBits = 62 - (clusterBits - 8);
  const highBits = offsetBits - 32;
  const descriptor = high & 0x3fff_ffff;
  const offset = (descriptor % 2 ** highBits) * HIGH + low;
  const sectors = Math.floor(descriptor / 2 ** highBits) + 1;
  return { offset, length: sectors * 512 - (offset % 512) };
}

/** The high half of the entry for compressed data; the low half is the low half of `offset`. */
export function encodeCompressedHigh(offset: number, length: number, clusterBits: number): number {
  const highBits = 62 - (clusterBits - 8) - 32;
  const sectors = Math.floor((offset + length - 1) / 512) - Math.floor(offset / 512);
  return (COMPRESSED_HIGH | (sectors * 2 ** highBits) | highOf(offset)) >>> 0;
}

/** Greatest offset (exclusive) a compressed cluster may start at. */
export function compressedOffsetLimit(clusterBits: number): number {
  return 2 ** Math.min(53, 62 - (clusterBits - 8));
}
