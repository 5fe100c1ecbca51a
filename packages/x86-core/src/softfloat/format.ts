import { big, bitLength, lowMask, power, shift } from "./bits.js";

/** A binary floating-point format (SDM vol. 1, 4.2). */
export interface Format {
  /** Bits of significand including the integer bit. */
  readonly precision: number;
  /** Exponent bias; also the largest unbiased exponent. */
  readonly bias: number;
  /** The all-ones biased exponent of infinities and NaNs. */
  readonly maxBiased: number;
  /** The x87 80-bit format: explicit integer bit, x87 NaN rules, precision control, wrapped exponents. */
  readonly extended: boolean;
}

export const F16: Format = { precision: 11, bias: 15, maxBiased: 31, extended: false };
export const F32: Format = { precision: 24, bias: 127, maxBiased: 255, extended: false };
export const F64: Format = { precision: 53, bias: 1023, maxBiased: 2047, extended: false };
export const F80: Format = { precision: 64, bias: 16383, maxBiased: 32767, extended: true };

/** An x87 double extended-precision value, as its bits. */
export interface Float80 {
  /** Bit 15 sign, bits 14..0 biased exponent. */
  signExponent: number;
  /** 64 bits, the top one being the integer bit. */
  significand: bigint;
  /**
   * Set by {@link widenF32ToF80} and {@link widenF64ToF80} when a denormal was read: the arithmetic instruction that
   * takes this operand has to report DE although the value is normal in the 80-bit format.
   */
  fromDenormal?: boolean;
}

/** Classes of operands; NaN-like ones are the largest. */
export const ZERO = 0;
export const FINITE = 1;
export const INFINITE = 2;
export const QNAN = 3;
export const SNAN = 4;
export const UNSUPPORTED = 5;

/** A decoded operand: (-1)^negative * significand * 2^exponent. */
export class Unpacked {
  kind = ZERO;
  negative = false;
  /** Weight of the significand's lowest bit. */
  exponent = 0;
  /** Finite: normalised to exactly `precision` bits. NaN: the payload below a set integer bit. */
  significand = 0n;
  /** Raises DE (and was not turned into zero by DAZ). */
  denormal = false;
}

function unpackFields(
  f: Format,
  negative: boolean,
  biased: number,
  fraction: bigint,
  daz: boolean,
  u: Unpacked,
): Unpacked {
  const top = f.precision - 1;
  u.negative = negative;
  u.denormal = false;
  if (biased === f.maxBiased) {
    u.significand = fraction | power(top);
    u.kind = fraction === 0n ? INFINITE : fraction >> big(top - 1) ? QNAN : SNAN;
  } else if (biased !== 0) {
    u.kind = FINITE;
    u.exponent = biased - f.bias - top;
    u.significand = fraction | power(top);
  } else if (fraction === 0n || daz) {
    u.kind = ZERO;
    u.significand = 0n;
  } else {
    const lift = f.precision - bitLength(fraction);
    u.kind = FINITE;
    u.denormal = true;
    u.exponent = 1 - f.bias - top - lift;
    u.significand = shift(fraction, lift);
  }
  return u;
}

/** Decodes a binary16 pattern. */
export function unpackF16(bits: number, u: Unpacked): Unpacked {
  return unpackFields(F16, (bits & 0x8000) !== 0, (bits >>> 10) & 0x1f, BigInt(bits & 0x3ff), false, u);
}

/** Decodes a binary32 pattern; `daz` reads denormals as zeros. */
export function unpackF32(bits: number, daz: boolean, u: Unpacked): Unpacked {
  return unpackFields(F32, (bits & 0x80000000) !== 0, (bits >>> 23) & 0xff, BigInt(bits & 0x7fffff), daz, u);
}

/** Decodes a binary64 pattern; `daz` reads denormals as zeros. */
export function unpackF64(bits: bigint, daz: boolean, u: Unpacked): Unpacked {
  const high = Number(bits >> 52n);
  return unpackFields(F64, (high & 0x800) !== 0, high & 0x7ff, bits & lowMask(52), daz, u);
}

/**
 * Decodes an 80-bit value. Unnormals, pseudo-infinities and pseudo-NaNs are {@link UNSUPPORTED}; a pseudo-denormal
 * has the value it would have with exponent 1 and counts as denormal (SDM vol. 1, 8.2.2).
 */
export function unpackF80(value: Float80, u: Unpacked): Unpacked {
  const biased = value.signExponent & 0x7fff;
  const significand = value.significand;
  u.negative = (value.signExponent & 0x8000) !== 0;
  u.denormal = value.fromDenormal === true;
  u.significand = significand;
  if (biased === 0) {
    if (significand === 0n) {
      u.kind = ZERO;
      return u;
    }
    const lift = 64 - bitLength(significand);
    u.kind = FINITE;
    u.denormal = true;
    u.exponent = 1 - 16383 - 63 - lift;
    u.significand = shift(significand, lift);
  } else if (significand < 0x8000000000000000n) {
    u.kind = UNSUPPORTED;
  } else if (biased !== 0x7fff) {
    u.kind = FINITE;
    u.exponent = biased - 16383 - 63;
  } else if (significand === 0x8000000000000000n) {
    u.kind = INFINITE;
  } else {
    u.kind = significand >= 0xc000000000000000n ? QNAN : SNAN;
  }
  return u;
}

/** A result as the fields of its format; `significand` includes the integer bit. */
export class Encoded {
  negative = false;
  biased = 0;
  significand = 0n;

  zero(negative: boolean): this {
    this.negative = negative;
    this.biased = 0;
    this.significand = 0n;
    return this;
  }

  infinity(f: Format, negative: boolean): this {
    this.negative = negative;
    this.biased = f.maxBiased;
    this.significand = power(f.precision - 1);
    return this;
  }

  /** The QNaN floating-point indefinite. */
  defaultNaN(f: Format): this {
    this.negative = true;
    this.biased = f.maxBiased;
    this.significand = power(f.precision - 1) | power(f.precision - 2);
    return this;
  }

  /** `nan` quieted, its payload aligned from `from` to `f`. */
  quiet(f: Format, from: Format, nan: Unpacked): this {
    this.negative = nan.negative;
    this.biased = f.maxBiased;
    this.significand = shift(nan.significand, f.precision - from.precision) | power(f.precision - 2);
    return this;
  }

  toF16(): number {
    return (this.negative ? 0x8000 : 0) | (this.biased << 10) | (Number(this.significand) & 0x3ff);
  }

  toF32(): number {
    return ((this.negative ? 0x80000000 : 0) | (this.biased << 23) | (Number(this.significand) & 0x7fffff)) >>> 0;
  }

  toF64(): bigint {
    return (big(this.negative ? this.biased + 2048 : this.biased) << 52n) | (this.significand & lowMask(52));
  }

  toF80(out: Float80): void {
    out.signExponent = this.negative ? this.biased | 0x8000 : this.biased;
    out.significand = this.significand;
    out.fromDenormal = false;
  }
}
