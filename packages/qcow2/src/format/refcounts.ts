import { viewOf } from "./binary.js";

/** Reads and writes the entries of refcount blocks of one width. */
export interface RefcountCodec {
  /** Bits of an entry. */
  readonly bits: number;
  /** Greatest count; for 64 bits the greatest exact number. */
  readonly max: number;
  get(block: Uint8Array, index: number): number;
  set(block: Uint8Array, index: number, value: number): void;
}

/** @param order log2 of the width in bits, 0 to 6. */
export function refcountCodec(order: number): RefcountCodec {
  const bits = 2 ** order;
  if (bits < 8) return subByte(bits, 3 - order);
  const max = bits >= 64 ? Number.MAX_SAFE_INTEGER : 2 ** bits - 1;
  switch (bits) {
    case 8:
      return {
        bits,
        max,
        get: (block, index) => block[index],
        set: (block, index, value) => {
          block[index] = value;
        },
      };
    case 16:
      return {
        bits,
        max,
        get: (block, index) => (block[2 * index] << 8) | block[2 * index + 1],
        set: (block, index, value) => {
          block[2 * index] = value >>> 8;
          block[2 * index + 1] = value & 0xff;
        },
      };
    case 32:
      return {
        bits,
        max,
        get: (block, index) => viewOf(block).getUint32(4 * index),
        set: (block, index, value) => viewOf(block).setUint32(4 * index, value),
      };
    default:
      return {
        bits,
        max,
        get: (block, index) => {
          const view = viewOf(block);
          // A count beyond 2^53 can only be damage; it stays recognisable as more than any real count.
          return Math.min(max, view.getUint32(8 * index) * 0x1_0000_0000 + view.getUint32(8 * index + 4));
        },
        set: (block, index, value) => {
          const view = viewOf(block);
          view.setUint32(8 * index, Math.floor(value / 0x1_0000_0000));
          view.setUint32(8 * index + 4, value % 0x1_0000_0000);
        },
      };
  }
}

function subByte(bits: number, shift: number): RefcountCodec {
  const max = 2 ** bits - 1;
  const perByte = 8 / bits;
  return {
    bits,
    max,
    get: (block, index) => (block[index >> shift] >> ((index % perByte) * bits)) & max,
    set: (block, index, value) => {
      const position = (index % perByte) * bits;
      block[index >> shift] = (block[index >> shift] & ~(max << position)) | (value << position);
    },
  };
}
