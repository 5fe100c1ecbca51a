import type { Random } from "./random.js";

/** Writes `bytes` of operand values at `offset`. */
export type Filler = (random: Random, u8: Uint8Array, offset: number) => void;

const float32 = (...values: number[]): number[] => [...new Uint32Array(Float32Array.from(values).buffer)];
const float64 = (...values: number[]): bigint[] => [...new BigUint64Array(Float64Array.from(values).buffer)];

/** Edges of the integers, of shift counts and of bit numbers. */
export const INTEGERS: readonly bigint[] = [
  0n,
  1n,
  2n,
  3n,
  7n,
  8n,
  9n,
  15n,
  16n,
  17n,
  31n,
  32n,
  33n,
  63n,
  64n,
  65n,
  99n,
  0x7fn,
  0x80n,
  0x81n,
  0xffn,
  0x100n,
  0x7fffn,
  0x8000n,
  0xffffn,
  0x10000n,
  0x7fffffffn,
  0x80000000n,
  0x80000001n,
  0xffffffffn,
  0x100000000n,
  0x7fffffffffffffffn,
  0x8000000000000000n,
  0x8000000000000001n,
  0xfffffffffffffffen,
  0xffffffffffffffffn,
  0x5555555555555555n,
  0xaaaaaaaaaaaaaaaan,
  0xffffffff80000000n,
  0xffffffff7fffffffn,
];

/** Singles: zeros, denormals, ordinary numbers, halves, integer limits, infinities, NaNs. */
const SINGLES: readonly number[] = [
  ...float32(0, -0, 1, -1, 0.5, -0.5, 1.5, 2, 3, -2.5, 0.1, 1e10, -1e-10, 16777216, 16777217, 8388608.5),
  ...float32(2147483520, 2147483648, -2147483648, -2147483904, 4294967296, 9.2e18, -9.3e18, 3.4e38, 1.2e-38, 1e-30),
  0x00000001,
  0x80000001,
  0x007fffff,
  0x00800000,
  0x80800000,
  0x00800001,
  0x7f7fffff,
  0xff7fffff,
  0x7f800000,
  0xff800000,
  0x7fc00000,
  0xffc00000,
  0x7f800001,
  0xff812345,
  0x7fc12345,
  0x3f800001,
  0x3f7fffff,
  0x34000000,
];
const DOUBLES: readonly bigint[] = [
  ...float64(0, -0, 1, -1, 0.5, -0.5, 1.5, 2, 3, -2.5, 0.1, 1e10, -1e-10, 9007199254740992, 4503599627370495.5),
  ...float64(2147483647, 2147483647.5, 2147483648, -2147483648, -2147483648.5, -2147483649, 9.3e18, -9.2e18, 1e308),
  ...float64(3.4028235677973366e38, 3.5e38, 1.1754943508222875e-38, 1e-40, 1e-46, 1e-300, -1e-310),
  0x0000000000000001n,
  0x8000000000000001n,
  0x000fffffffffffffn,
  0x0010000000000000n,
  0x8010000000000000n,
  0x7fefffffffffffffn,
  0xffefffffffffffffn,
  0x7ff0000000000000n,
  0xfff0000000000000n,
  0x7ff8000000000000n,
  0xfff8000000000000n,
  0x7ff0000000000001n,
  0xfff4000012345678n,
  0x7ff8000012345678n,
  0x3ff0000000000001n,
  0x3fefffffffffffffn,
  0x3ca0000000000000n,
];
/** Extended reals as sign and exponent, significand; the last ones are not valid encodings. */
const EXTENDED: readonly (readonly [number, bigint])[] = [
  [0, 0n],
  [0x8000, 0n],
  [0x3fff, 0x8000000000000000n],
  [0xbfff, 0x8000000000000000n],
  [0x3ffe, 0x8000000000000000n],
  [0x3fff, 0xc000000000000000n],
  [0x4000, 0xc90fdaa22168c235n],
  [0xc001, 0xa000000000000000n],
  [0x403e, 0x8000000000000000n],
  [0xc03e, 0x8000000000000000n],
  [0x401e, 0x8000000000000000n],
  [0x400e, 0x8000000000000000n],
  [0x4043, 0xde0b6b3a763fffffn],
  [0x403a, 0xde0b6b3a763fffffn],
  [0, 1n],
  [0x8000, 0x7fffffffffffffffn],
  [0, 0x8000000000000000n],
  [1, 0x8000000000000000n],
  [0x7ffe, 0xffffffffffffffffn],
  [0xfffe, 0xffffffffffffffffn],
  [0x7fff, 0x8000000000000000n],
  [0xffff, 0x8000000000000000n],
  [0x7fff, 0xc000000000000000n],
  [0xffff, 0xc000000000000000n],
  [0x7fff, 0xc123456789abcdefn],
  [0x7fff, 0x8000000000000001n],
  [0xffff, 0xa000000000000000n],
  [0x3f80, 0x8000000000000000n],
  [0x3c00, 0xffffffffffffffffn],
  [0x43ff, 0x8000000000000000n],
  [0x407f, 0x8000000000000000n],
  [0x4000, 0x4000000000000000n],
  [0x7fff, 0x0000000000000000n],
  [0x7fff, 0x4000000000000000n],
  [0x3fff, 0x8000000000000001n],
  [0x3ffe, 0xffffffffffffffffn],
];

const put32 = (u8: Uint8Array, offset: number, value: number): void => {
  u8[offset] = value;
  u8[offset + 1] = value >>> 8;
  u8[offset + 2] = value >>> 16;
  u8[offset + 3] = value >>> 24;
};
const halves = (values: readonly bigint[]) => values.map((v) => [Number(v & 0xffffffffn), Number(v >> 32n)] as const);
const INTEGER_HALVES = halves(INTEGERS);
const DOUBLE_HALVES = halves(DOUBLES);
const EXTENDED_HALVES = EXTENDED.map(([top, low]) => [top, ...halves([low])[0]] as const);

const put64 = (u8: Uint8Array, offset: number, pair: readonly [number, number]): void => {
  put32(u8, offset, pair[0]);
  put32(u8, offset + 4, pair[1]);
};

/** 8 bytes: an edge, one near an edge, or random. */
export const integer64: Filler = (random, u8, offset) => {
  const kind = random.below(8);
  if (kind < 4) {
    const [low, high] = random.pick(INTEGER_HALVES);
    put32(u8, offset, low);
    put32(u8, offset + 4, high);
  } else if (kind === 4) {
    put32(u8, offset, random.below(260));
    put32(u8, offset + 4, 0);
  } else {
    put32(u8, offset, random.u32());
    put32(u8, offset + 4, random.u32());
  }
};

/** 4 bytes: an edge, a random pattern, or a number near 1 whose low bits are mostly 0. */
export const single: Filler = (random, u8, offset) => {
  const kind = random.below(8);
  if (kind < 3) put32(u8, offset, random.pick(SINGLES));
  else if (kind === 3) put32(u8, offset, random.u32());
  else if (kind < 6) put32(u8, offset, ((random.u32() & 0x807fffff) + 0x3f000000 + (random.below(16) << 22)) >>> 0);
  else put32(u8, offset, ((random.u32() & 0x80000000) | (0x3f800000 + (random.below(64) << 17))) >>> 0);
};
export const double: Filler = (random, u8, offset) => {
  const kind = random.below(8);
  if (kind < 3) return put64(u8, offset, random.pick(DOUBLE_HALVES));
  put32(u8, offset, random.u32());
  if (kind === 3) put32(u8, offset + 4, random.u32());
  else if (kind < 6) put32(u8, offset + 4, (random.u32() & 0x800fffff) + 0x3fe00000 + (random.below(16) << 19));
  else {
    put32(u8, offset, 0);
    put32(u8, offset + 4, (random.u32() & 0x80000000) | (0x3ff00000 + (random.below(96) << 14)));
  }
};
/** 10 bytes (the next 6 are left alone). */
export const extended: Filler = (random, u8, offset) => {
  const kind = random.below(8);
  let top: number;
  if (kind < 3) {
    const [edge, low, high] = random.pick(EXTENDED_HALVES);
    put32(u8, offset, low);
    put32(u8, offset + 4, high);
    top = edge;
  } else if (kind === 3) {
    put32(u8, offset, random.u32());
    put32(u8, offset + 4, random.u32());
    top = random.u32();
  } else {
    put32(u8, offset, kind < 6 ? random.u32() : 0);
    put32(u8, offset + 4, random.u32() | 0x80000000);
    top = (random.u32() & 0x8000) | (0x3fff + random.below(kind === 4 ? 8 : 140) - (kind === 4 ? 4 : 70));
  }
  u8[offset + 8] = top;
  u8[offset + 9] = top >> 8;
};

/** Fills 16 bytes with one kind of element. */
export const vector = {
  single: (random: Random, u8: Uint8Array, offset: number): void => {
    for (let lane = 0; lane < 4; lane++) single(random, u8, offset + lane * 4);
  },
  double: (random: Random, u8: Uint8Array, offset: number): void => {
    double(random, u8, offset);
    double(random, u8, offset + 8);
  },
  bytes: (random: Random, u8: Uint8Array, offset: number): void => {
    const few = random.oneIn(2);
    for (let byte = 0; byte < 16; byte++) {
      u8[offset + byte] = few ? random.pick([0, 1, 0x7f, 0x80, 0xff, 0x41, 0x42]) : random.u32();
    }
  },
  integer: (random: Random, u8: Uint8Array, offset: number): void => {
    integer64(random, u8, offset);
    integer64(random, u8, offset + 8);
  },
} satisfies Record<string, Filler>;
