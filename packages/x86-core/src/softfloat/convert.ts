import { invalid, stopsOnDenormal } from "./arithmetic.js";
import { big, bitLength, power } from "./bits.js";
import { type FloatContext, IE, PE } from "./context.js";
import { type Encoded, type Format, INFINITE, QNAN, SNAN, UNSUPPORTED, type Unpacked, ZERO } from "./format.js";
import { rounded, roundFinite, roundShift } from "./round.js";

/**
 * `a`, decoded from format `from`, rounded to format `to` (at its full precision). `reportDenormal` raises DE for a
 * denormal source, which x87 stores do not do.
 */
export function convert(
  context: FloatContext,
  from: Format,
  to: Format,
  a: Unpacked,
  reportDenormal: boolean,
  r: Encoded,
): Encoded {
  if (a.kind === UNSUPPORTED) return invalid(context, to, r);
  if (a.kind >= QNAN) {
    if (a.kind === SNAN) context.flags |= IE;
    return r.quiet(to, from, a);
  }
  if (reportDenormal && stopsOnDenormal(context, a)) return r;
  if (a.kind === INFINITE) return r.infinity(to, a.negative);
  if (a.kind === ZERO) return r.zero(a.negative);
  return roundFinite(context, to, to.precision, a.negative, a.exponent, a.significand, r);
}

/** The integer `value` rounded to format `f` (at its full precision). */
export function fromInteger(context: FloatContext, f: Format, value: bigint, r: Encoded): Encoded {
  if (value === 0n) return r.zero(false);
  const negative = value < 0n;
  return roundFinite(context, f, f.precision, negative, 0, negative ? -value : value, r);
}

/**
 * `a` as a signed integer of `bits` bits under `rounding`. Out of range, infinite and NaN raise IE and give the
 * integer indefinite, the most negative integer.
 */
export function toInteger(context: FloatContext, a: Unpacked, bits: number, rounding: number): bigint {
  const limit = power(bits - 1);
  if (a.kind === ZERO) return 0n;
  if (a.kind < INFINITE && a.exponent + bitLength(a.significand) <= bits) {
    const magnitude = roundToUnit(rounding, a);
    if (magnitude < limit || (a.negative && magnitude === limit)) {
      if (rounded.inexact) {
        context.flags |= PE;
        context.roundedUp = rounded.up;
      }
      return a.negative ? -magnitude : magnitude;
    }
  }
  context.flags |= IE;
  return -limit;
}

/** The magnitude of a finite non-zero `a` rounded to an integer; {@link rounded} tells what happened. */
function roundToUnit(rounding: number, a: Unpacked): bigint {
  // A value far below one half rounds like one quarter.
  if (a.exponent < -200) return roundShift(rounding, a.negative, 1n, 2);
  return roundShift(rounding, a.negative, a.significand, -a.exponent);
}

/** `a` rounded to an integral value of the same format; `exact` suppresses PE. */
export function roundToIntegral(
  context: FloatContext,
  f: Format,
  a: Unpacked,
  rounding: number,
  exact: boolean,
  r: Encoded,
): Encoded {
  if (a.kind === UNSUPPORTED) return invalid(context, f, r);
  if (a.kind >= QNAN) {
    if (a.kind === SNAN) context.flags |= IE;
    return r.quiet(f, f, a);
  }
  if (f.extended && stopsOnDenormal(context, a)) return r;
  if (a.kind === INFINITE) return r.infinity(f, a.negative);
  if (a.kind === ZERO) return r.zero(a.negative);
  if (a.exponent >= 0) {
    r.negative = a.negative;
    r.biased = a.exponent + f.precision - 1 + f.bias;
    r.significand = a.significand;
    return r;
  }
  const magnitude = roundToUnit(rounding, a);
  if (rounded.inexact && !exact) {
    context.flags |= PE;
    context.roundedUp = rounded.up;
  }
  if (magnitude === 0n) return r.zero(a.negative);
  const length = bitLength(magnitude);
  r.negative = a.negative;
  r.biased = length - 1 + f.bias;
  r.significand = magnitude << big(f.precision - length);
  return r;
}
