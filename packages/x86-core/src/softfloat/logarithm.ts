import { invalid, propagateNaN, stopsOnDenormal } from "./arithmetic.js";
import { big, bitLength, power } from "./bits.js";
import { type FloatContext, isAborted, PE, UE, ZE } from "./context.js";
import { Encoded, F80, type Float80, INFINITE, QNAN, Unpacked, unpackF80, ZERO } from "./format.js";
import { roundFinite } from "./round.js";
import {
  exponentialMinusOne,
  inverseTangent,
  ln2,
  log2e,
  type Real,
  ratio,
  squareFixed,
  toFixed,
  WIDTH,
} from "./series.js";

const ua = new Unpacked();
const ub = new Unpacked();
const r = new Encoded();

/** log2 of a number: sign and magnitude, and whether the magnitude is exact. */
interface Logarithm extends Real {
  negative: boolean;
  exact: boolean;
}

/** log2(n * 2^exponent) for a positive integer n; relatively precise near 1 as well. */
function log2(n: bigint, exponent: number): Logarithm {
  // Take off the power of two that leaves a factor in about 0.7 .. 1.4.
  let length = bitLength(n) - 1;
  if ((n * n) >> big(2 * length + 1)) length++;
  const whole = length + exponent;
  const unit = power(length);
  if (n === unit) return { significand: BigInt(Math.abs(whole)), exponent: 0, negative: whole < 0, exact: true };
  const below = n < unit;
  const part = log2FromZ(ratio(below ? unit - n : n - unit, n + unit, 0));
  if (whole === 0) return { ...part, negative: below, exact: false };
  const fixed = toFixed(part);
  const sum = (BigInt(whole) << big(WIDTH)) + (below ? -fixed : fixed);
  return { significand: sum < 0n ? -sum : sum, exponent: -WIDTH, negative: sum < 0n, exact: false };
}

/** log2((1 + z) / (1 - z)) = 2 log2(e) atanh(z), for a positive z. */
function log2FromZ(z: Real): Real {
  const factor = inverseTangent(squareFixed(z), 1n);
  return { significand: z.significand * ((factor * log2e()) >> big(WIDTH)), exponent: z.exponent + 1 - WIDTH };
}

/** Rounds y * logarithm; the processors report every such result as inexact. */
function deliverProduct(context: FloatContext, y: Unpacked, log: Logarithm): Encoded {
  const product = y.significand * log.significand;
  const significand = log.exact ? product : (product << 1n) | 1n;
  const exponent = y.exponent + log.exponent - (log.exact ? 0 : 1);
  roundFinite(context, F80, 64, y.negative !== log.negative, exponent, significand, r);
  context.flags |= r.biased === 0 ? PE | UE : PE;
  return r;
}

/** FYL2X: y * log2(x); y is ST(1) and x is ST(0). Returns whether `out` was written. */
export function f80YLog2X(context: FloatContext, y: Float80, x: Float80, out: Float80): boolean {
  context.roundedUp = false;
  unpackF80(x, ua);
  unpackF80(y, ub);
  yLog2X(context);
  if (isAborted(context)) return false;
  r.toF80(out);
  return true;
}

function yLog2X(context: FloatContext): Encoded {
  if (ua.kind >= QNAN || ub.kind >= QNAN) return propagateNaN(context, F80, ua, ub, r);
  if (ua.kind === ZERO) {
    if (ub.kind === ZERO) return invalid(context, F80, r);
    if (ub.kind !== INFINITE) context.flags |= ZE;
    return r.infinity(F80, !ub.negative);
  }
  if (ua.negative) return invalid(context, F80, r);
  // The sign of log2(x): x is normalised, so 1 is significand 2^63 with exponent -63.
  const isOne = ua.kind !== INFINITE && ua.exponent === -63 && ua.significand === power(63);
  const below = ua.kind !== INFINITE && ua.exponent < -63;
  if (ua.kind === INFINITE ? ub.kind === ZERO : isOne && ub.kind === INFINITE) return invalid(context, F80, r);
  if (stopsOnDenormal(context, ua, ub)) return r;
  if (ua.kind === INFINITE || ub.kind === INFINITE) return r.infinity(F80, ub.negative !== below);
  if (isOne || ub.kind === ZERO) return r.zero(ub.negative !== below);
  return deliverProduct(context, ub, log2(ua.significand, ua.exponent));
}

/**
 * FYL2XP1: y * log2(x + 1); y is ST(1) and x is ST(0). Precise for every x > -1; for x <= -1, where the manual leaves
 * the result undefined, it is x. Returns whether `out` was written.
 */
export function f80YLog2XPlus1(context: FloatContext, y: Float80, x: Float80, out: Float80): boolean {
  context.roundedUp = false;
  unpackF80(x, ua);
  unpackF80(y, ub);
  yLog2XPlus1(context);
  if (isAborted(context)) return false;
  r.toF80(out);
  return true;
}

function yLog2XPlus1(context: FloatContext): Encoded {
  if (ua.kind >= QNAN || ub.kind >= QNAN) return propagateNaN(context, F80, ua, ub, r);
  if (ua.kind === INFINITE) {
    if (ua.negative || ub.kind === ZERO) return invalid(context, F80, r);
    if (stopsOnDenormal(context, ub)) return r;
    return r.infinity(F80, ub.negative);
  }
  if (ua.kind === ZERO && ub.kind === INFINITE) return invalid(context, F80, r);
  if (stopsOnDenormal(context, ua, ub)) return r;
  const negative = ua.negative !== ub.negative;
  if (ub.kind === INFINITE) return r.infinity(F80, negative);
  if (ua.kind === ZERO || ub.kind === ZERO) return r.zero(negative);
  if (ua.negative && ua.exponent >= -63) {
    roundFinite(context, F80, 64, true, ua.exponent, ua.significand, r);
    context.flags |= PE;
    return r;
  }
  return deliverProduct(context, ub, log2OnePlus());
}

/** log2(1 + ua). */
function log2OnePlus(): Logarithm {
  const { significand, exponent, negative } = ua;
  if (exponent < -WIDTH - 128) {
    // log2(1 + x) = log2((1 + z) / (1 - z)) with z = x / (2 + x), here x / 2 to all bits that count.
    return { ...log2FromZ({ significand, exponent: exponent - 1 }), negative, exact: false };
  }
  if (exponent >= 0) return log2((significand << big(exponent)) + 1n, 0);
  const unit = power(-exponent);
  return log2(negative ? unit - significand : unit + significand, exponent);
}

/**
 * F2XM1: 2^x - 1 for -1 <= x <= 1; beyond, where the manual leaves the result undefined, it is x (and -1 for minus
 * infinity). Returns whether `out` was written.
 */
export function f80Exp2Minus1(context: FloatContext, x: Float80, out: Float80): boolean {
  context.roundedUp = false;
  unpackF80(x, ua);
  exp2Minus1(context);
  if (isAborted(context)) return false;
  r.toF80(out);
  return true;
}

function exp2Minus1(context: FloatContext): Encoded {
  const { kind, negative, significand, exponent } = ua;
  if (kind >= QNAN) return propagateNaN(context, F80, ua, ua, r);
  if (kind === ZERO) return r.zero(negative);
  if (kind === INFINITE) {
    if (!negative) return r.infinity(F80, false);
    return roundFinite(context, F80, 64, true, 0, 1n, r);
  }
  if (stopsOnDenormal(context, ua)) return r;
  if (exponent >= -63) {
    // 2^-1 - 1 = -1/2; 2^1 - 1 = 1 = x.
    const isMinusOne = negative && exponent === -63 && significand === power(63);
    roundFinite(context, F80, 64, negative, isMinusOne ? exponent - 1 : exponent, significand, r);
    context.flags |= PE;
    return r;
  }
  const t: Real = { significand: significand * ln2(), exponent: exponent - WIDTH };
  const fixed = toFixed(t);
  const factor = exponentialMinusOne(negative ? -fixed : fixed);
  const product = t.significand * factor;
  return roundFinite(context, F80, 64, negative, t.exponent - WIDTH - 1, (product << 1n) | 1n, r);
}
