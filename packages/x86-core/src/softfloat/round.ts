import { big, bitLength, lowMask, power, shift } from "./bits.js";
import { type FloatContext, OE, PE, Rounding, UE } from "./context.js";
import type { Encoded, Format } from "./format.js";

/** What the last {@link roundShift} did. */
export const rounded = { inexact: false, up: false };

/**
 * `significand` without its `drop` low bits, rounded as `rounding` says for a value of that sign. A negative `drop`
 * appends zeros. Leaves in {@link rounded} whether bits were lost and whether the magnitude grew.
 */
export function roundShift(rounding: number, negative: boolean, significand: bigint, drop: number): bigint {
  if (drop <= 0) {
    rounded.inexact = false;
    rounded.up = false;
    return shift(significand, -drop);
  }
  const count = big(drop);
  const kept = significand >> count;
  const lost = significand & lowMask(drop);
  if (lost === 0n) {
    rounded.inexact = false;
    rounded.up = false;
    return kept;
  }
  rounded.inexact = true;
  let up: boolean;
  if (rounding === Rounding.Nearest) {
    const half = power(drop - 1);
    up = lost > half || (lost === half && (kept & 1n) === 1n);
  } else {
    up = rounding === (negative ? Rounding.Down : Rounding.Up);
  }
  rounded.up = up;
  return up ? kept + 1n : kept;
}

/** Amount by which the x87 moves the exponent of a result whose overflow or underflow is unmasked. */
const WRAP = 24576;

/**
 * Rounds (-1)^negative * significand * 2^exponent to `precision` bits and to the range of `f`, sets the overflow,
 * underflow and precision flags and C1, and writes the encoding. `significand` is not zero; when it stands for a
 * value with more bits, its lowest bit is sticky and lies at least two bits below the rounding position.
 */
export function roundFinite(
  context: FloatContext,
  f: Format,
  precision: number,
  negative: boolean,
  exponent: number,
  significand: bigint,
  r: Encoded,
): Encoded {
  const length = bitLength(significand);
  const align = f.precision - precision;
  const minimum = 1 - f.bias;
  let leading = exponent + length - 1;
  let kept = roundShift(context.rounding, negative, significand, length - precision);
  r.negative = negative;
  if (kept === power(precision)) {
    kept = power(precision - 1);
    leading++;
  }
  let { inexact, up } = rounded;
  if (leading < minimum) {
    // Tiny after rounding to an unbounded exponent.
    if ((context.masks & UE) === 0) {
      // Whether PE accompanies UE depends on the rounding to full precision (SSE writes no result).
      context.flags |= UE;
      if (f.extended && leading + WRAP < minimum) {
        // Too small even for that, which FSCALE can reach.
        context.flags |= PE;
        return r.zero(negative);
      }
      leading += WRAP;
    } else if (context.flushToZero && !f.extended) {
      context.flags |= UE | PE;
      return r.zero(negative);
    } else {
      return roundDenormal(context, f, precision, negative, exponent, significand, length, r);
    }
  } else if (leading > f.bias) {
    context.flags |= OE;
    const unmasked = (context.masks & OE) === 0;
    if (f.extended && unmasked && leading - WRAP <= f.bias) {
      leading -= WRAP;
    } else {
      // Infinity also when FSCALE overflows beyond what moving the exponent can bring back.
      const toInfinity =
        (f.extended && unmasked) ||
        context.rounding === Rounding.Nearest ||
        context.rounding === (negative ? Rounding.Down : Rounding.Up);
      if (f.extended || !unmasked) inexact = true;
      up = toInfinity;
      if (toInfinity) {
        r.infinity(f, negative);
      } else {
        r.biased = f.maxBiased - 1;
        r.significand = lowMask(precision) << big(align);
      }
      if (inexact) context.flags |= PE;
      context.roundedUp = up;
      return r;
    }
  }
  r.biased = leading + f.bias;
  r.significand = align === 0 ? kept : kept << big(align);
  if (inexact) {
    context.flags |= PE;
    context.roundedUp = up;
  }
  return r;
}

/** The part of {@link roundFinite} for a tiny result that is delivered with the smallest exponent. */
function roundDenormal(
  context: FloatContext,
  f: Format,
  precision: number,
  negative: boolean,
  exponent: number,
  significand: bigint,
  length: number,
  r: Encoded,
): Encoded {
  // The unrounded leading exponent decides how many bits remain; a far smaller value keeps one sticky bit.
  const drop = length - precision + (1 - f.bias) - (exponent + length - 1);
  const kept =
    drop > length + 2
      ? roundShift(context.rounding, negative, 1n, 3)
      : roundShift(context.rounding, negative, significand, drop);
  r.biased = kept >> big(precision - 1) ? 1 : 0;
  r.significand = kept << big(f.precision - precision);
  if (rounded.inexact) {
    context.flags |= UE | PE;
    context.roundedUp = rounded.up;
  }
  return r;
}
