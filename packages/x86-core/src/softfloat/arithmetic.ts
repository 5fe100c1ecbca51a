import { big, integerSquareRoot, power } from "./bits.js";
import { DE, type FloatContext, IE, ZE } from "./context.js";
import { type Encoded, FINITE, type Format, INFINITE, QNAN, SNAN, UNSUPPORTED, type Unpacked, ZERO } from "./format.js";
import { roundFinite } from "./round.js";

/** Raises IE; the masked response is the default NaN. */
export function invalid(context: FloatContext, f: Format, r: Encoded): Encoded {
  context.flags |= IE;
  return r.defaultNaN(f);
}

/** Raises DE when an operand is denormal; true when that is unmasked and the operation stops. */
export function stopsOnDenormal(context: FloatContext, a: Unpacked, b?: Unpacked): boolean {
  if (!a.denormal && !b?.denormal) return false;
  context.flags |= DE;
  return (context.masks & DE) === 0;
}

/** The NaN that an operation with NaN or unsupported operands yields (SDM vol. 1, tables 4-7 and 4-8). */
export function propagateNaN(context: FloatContext, f: Format, a: Unpacked, b: Unpacked, r: Encoded): Encoded {
  if (a.kind === UNSUPPORTED || b.kind === UNSUPPORTED) {
    return invalid(context, f, r);
  }
  if (a.kind === SNAN || b.kind === SNAN) context.flags |= IE;
  let chosen = a.kind >= QNAN ? a : b;
  if (f.extended && a.kind >= QNAN && b.kind >= QNAN) {
    if (a.kind !== b.kind) chosen = a.kind === QNAN ? a : b;
    else if (a.significand !== b.significand) chosen = a.significand > b.significand ? a : b;
    else chosen = a.negative ? b : a;
  }
  return r.quiet(f, f, chosen);
}

/** Bits to which the result of the five basic operations is rounded. */
function resultPrecision(context: FloatContext, f: Format): number {
  return f.extended ? context.precision : f.precision;
}

/** a + b, or a - b. */
export function add(context: FloatContext, f: Format, a: Unpacked, b: Unpacked, minus: boolean, r: Encoded): Encoded {
  if (a.kind >= QNAN || b.kind >= QNAN) return propagateNaN(context, f, a, b, r);
  const bNegative = b.negative !== minus;
  if (a.kind === INFINITE && b.kind === INFINITE && a.negative !== bNegative) return invalid(context, f, r);
  if (stopsOnDenormal(context, a, b)) return r;
  if (a.kind === INFINITE) return r.infinity(f, a.negative);
  if (b.kind === INFINITE) return r.infinity(f, bNegative);
  const cancelled = context.rounding === 1;
  if (a.kind === ZERO && b.kind === ZERO) return r.zero(a.negative === bNegative ? a.negative : cancelled);
  const precision = resultPrecision(context, f);
  if (a.kind === ZERO) return roundFinite(context, f, precision, bNegative, b.exponent, b.significand, r);
  if (b.kind === ZERO) return roundFinite(context, f, precision, a.negative, a.exponent, a.significand, r);

  const aIsLow = a.exponent < b.exponent;
  const high = aIsLow ? b.significand : a.significand;
  let low = aIsLow ? a.significand : b.significand;
  const highNegative = aIsLow ? bNegative : a.negative;
  let gap = Math.abs(a.exponent - b.exponent);
  if (gap > f.precision + 3) {
    // Beyond the reach of rounding only the existence of the small operand counts.
    gap = f.precision + 3;
    low = 1n;
  }
  const exponent = (aIsLow ? b.exponent : a.exponent) - gap;
  const lifted = gap === 0 ? high : high << big(gap);
  if (a.negative === bNegative) return roundFinite(context, f, precision, highNegative, exponent, lifted + low, r);
  const difference = lifted - low;
  if (difference === 0n) return r.zero(cancelled);
  if (difference > 0n) return roundFinite(context, f, precision, highNegative, exponent, difference, r);
  return roundFinite(context, f, precision, !highNegative, exponent, -difference, r);
}

/** a * b. */
export function multiply(context: FloatContext, f: Format, a: Unpacked, b: Unpacked, r: Encoded): Encoded {
  if (a.kind >= QNAN || b.kind >= QNAN) return propagateNaN(context, f, a, b, r);
  if ((a.kind === INFINITE && b.kind === ZERO) || (a.kind === ZERO && b.kind === INFINITE)) {
    return invalid(context, f, r);
  }
  if (stopsOnDenormal(context, a, b)) return r;
  const negative = a.negative !== b.negative;
  if (a.kind === INFINITE || b.kind === INFINITE) return r.infinity(f, negative);
  if (a.kind === ZERO || b.kind === ZERO) return r.zero(negative);
  const precision = resultPrecision(context, f);
  return roundFinite(context, f, precision, negative, a.exponent + b.exponent, a.significand * b.significand, r);
}

/** a / b. */
export function divide(context: FloatContext, f: Format, a: Unpacked, b: Unpacked, r: Encoded): Encoded {
  if (a.kind >= QNAN || b.kind >= QNAN) return propagateNaN(context, f, a, b, r);
  const negative = a.negative !== b.negative;
  if (a.kind === b.kind && a.kind !== FINITE) return invalid(context, f, r);
  if (b.kind === ZERO && a.kind === FINITE) {
    context.flags |= ZE;
    return r.infinity(f, negative);
  }
  if (stopsOnDenormal(context, a, b)) return r;
  if (a.kind === INFINITE) return r.infinity(f, negative);
  if (a.kind === ZERO || b.kind === INFINITE) return r.zero(negative);
  const lift = f.precision + 3;
  const numerator = a.significand << big(lift);
  const quotient = numerator / b.significand;
  const sticky = quotient * b.significand === numerator ? 0n : 1n;
  const precision = resultPrecision(context, f);
  return roundFinite(context, f, precision, negative, a.exponent - b.exponent - lift, quotient | sticky, r);
}

/** The square root of a. */
export function squareRoot(context: FloatContext, f: Format, a: Unpacked, r: Encoded): Encoded {
  if (a.kind >= QNAN) return propagateNaN(context, f, a, a, r);
  if (a.kind === ZERO) return r.zero(a.negative);
  if (a.negative) return invalid(context, f, r);
  if (stopsOnDenormal(context, a)) return r;
  if (a.kind === INFINITE) return r.infinity(f, false);
  const lift = f.precision + 6 + ((f.precision + 6 + a.exponent) & 1);
  const radicand = a.significand * power(lift);
  const root = integerSquareRoot(radicand);
  const sticky = root * root === radicand ? 0n : 1n;
  return roundFinite(context, f, resultPrecision(context, f), false, (a.exponent - lift) / 2, root | sticky, r);
}

/** How the first operand relates to the second. */
export type Relation = -1 | 0 | 1 | 2;
/** The relation when an operand is a NaN. */
export const UNORDERED: Relation = 2;

/** Orders two operands; with `signaling` a quiet NaN raises IE as well. */
export function compare(context: FloatContext, a: Unpacked, b: Unpacked, signaling: boolean): Relation {
  if (a.kind >= QNAN || b.kind >= QNAN) {
    if (signaling || a.kind >= SNAN || b.kind >= SNAN) context.flags |= IE;
    return UNORDERED;
  }
  stopsOnDenormal(context, a, b);
  if (a.kind === ZERO && b.kind === ZERO) return 0;
  if (a.kind === ZERO) return b.negative ? 1 : -1;
  if (b.kind === ZERO) return a.negative ? -1 : 1;
  if (a.negative !== b.negative) return a.negative ? -1 : 1;
  const magnitude = compareMagnitudes(a, b);
  return a.negative ? ((-magnitude | 0) as Relation) : magnitude;
}

/** Orders the magnitudes of two operands of one format, neither zero nor NaN. */
function compareMagnitudes(a: Unpacked, b: Unpacked): -1 | 0 | 1 {
  if (a.kind !== b.kind) return a.kind < b.kind ? -1 : 1;
  if (a.kind === INFINITE) return 0;
  if (a.exponent !== b.exponent) return a.exponent < b.exponent ? -1 : 1;
  if (a.significand === b.significand) return 0;
  return a.significand < b.significand ? -1 : 1;
}
