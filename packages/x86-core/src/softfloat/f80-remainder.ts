import { invalid, propagateNaN, stopsOnDenormal } from "./arithmetic.js";
import { big } from "./bits.js";
import { type FloatContext, isAborted, ZE } from "./context.js";
import { fromInteger } from "./convert.js";
import { Encoded, F80, type Float80, INFINITE, QNAN, Unpacked, unpackF80, ZERO } from "./format.js";
import { roundFinite } from "./round.js";

const ua = new Unpacked();
const ub = new Unpacked();
const r = new Encoded();

/** {@link f80Remainder} has reduced the dividend's exponent only partly (C2 = 1). */
export const INCOMPLETE = -1;

/**
 * FPREM (quotient truncated) and FPREM1 (`nearest`: quotient to nearest even). Returns the quotient's three low bits
 * (bit 2 to C0, bit 1 to C3, bit 0 to C1, C2 = 0) or {@link INCOMPLETE}, when the exponents differ by 64 or more.
 * The result is exact; `out` is written unless `isAborted`.
 */
export function f80Remainder(context: FloatContext, a: Float80, b: Float80, nearest: boolean, out: Float80): number {
  context.roundedUp = false;
  unpackF80(a, ua);
  unpackF80(b, ub);
  const quotient = remainder(context, nearest);
  if (!isAborted(context)) r.toF80(out);
  return quotient;
}

function remainder(context: FloatContext, nearest: boolean): number {
  if (ua.kind >= QNAN || ub.kind >= QNAN) {
    propagateNaN(context, F80, ua, ub, r);
    return 0;
  }
  if (ua.kind === INFINITE || ub.kind === ZERO) {
    invalid(context, F80, r);
    return 0;
  }
  if (stopsOnDenormal(context, ua, ub)) return 0;
  if (ua.kind === ZERO) {
    r.zero(ua.negative);
    return 0;
  }
  const distance = ua.exponent - ub.exponent;
  if (ub.kind === INFINITE || distance < (nearest ? -1 : 0)) {
    roundFinite(context, F80, 64, ua.negative, ua.exponent, ua.significand, r);
    return 0;
  }
  // Partial reductions take off 32 to 63 bits, such that the last step is left with fewer than 64.
  const step = distance < 64 ? distance : 32 + (distance & 31);
  const divisor = step < 0 ? ub.significand << 1n : ub.significand;
  const dividend = step > 0 ? ua.significand << big(step) : ua.significand;
  const exponent = step > 0 ? ua.exponent - step : ua.exponent;
  let quotient = dividend / divisor;
  let rest = dividend - quotient * divisor;
  let negative = ua.negative;
  if (nearest && distance < 64) {
    const twice = rest << 1n;
    if (twice > divisor || (twice === divisor && (quotient & 1n) === 1n)) {
      rest = divisor - rest;
      quotient += 1n;
      negative = !negative;
    }
  }
  if (rest === 0n) r.zero(ua.negative);
  else roundFinite(context, F80, 64, negative, exponent, rest, r);
  return distance < 64 ? Number(quotient & 7n) : INCOMPLETE;
}

/** FSCALE: a times two to the power of b truncated to an integer. Returns whether `out` was written. */
export function f80Scale(context: FloatContext, a: Float80, b: Float80, out: Float80): boolean {
  context.roundedUp = false;
  unpackF80(a, ua);
  unpackF80(b, ub);
  scale(context);
  if (isAborted(context)) return false;
  r.toF80(out);
  return true;
}

function scale(context: FloatContext): Encoded {
  if (ua.kind >= QNAN || ub.kind >= QNAN) return propagateNaN(context, F80, ua, ub, r);
  if (ub.kind === INFINITE) {
    if (ua.kind === (ub.negative ? INFINITE : ZERO)) return invalid(context, F80, r);
    if (stopsOnDenormal(context, ua)) return r;
    return ub.negative ? r.zero(ua.negative) : r.infinity(F80, ua.negative);
  }
  if (stopsOnDenormal(context, ua, ub)) return r;
  if (ua.kind === INFINITE) return r.infinity(F80, ua.negative);
  if (ua.kind === ZERO) return r.zero(ua.negative);
  return roundFinite(context, F80, 64, ua.negative, ua.exponent + scaleCount(), ua.significand, r);
}

/** The second operand truncated, limited to what already moves any value out of range. */
function scaleCount(): number {
  if (ub.kind === ZERO || ub.exponent < -63) return 0;
  const magnitude = ub.exponent > -63 + 17 ? 0x20000 : Number(ub.significand >> big(-ub.exponent));
  return ub.negative ? -magnitude : magnitude;
}

/**
 * FXTRACT: the unbiased exponent of `a` as a value (new ST(1)) and its significand with exponent 0 (new ST(0)).
 * Zero raises ZE and has exponent minus infinity. Returns whether both were written and one is to be pushed.
 */
export function f80Extract(context: FloatContext, a: Float80, significand: Float80, exponent: Float80): boolean {
  context.roundedUp = false;
  unpackF80(a, ua);
  if (ua.kind >= QNAN) {
    propagateNaN(context, F80, ua, ua, r);
    if (isAborted(context)) return false;
    r.toF80(exponent);
    r.toF80(significand);
    return true;
  }
  if (ua.kind === ZERO) {
    context.flags |= ZE;
    if (isAborted(context)) return false;
    r.infinity(F80, true).toF80(exponent);
    r.zero(ua.negative).toF80(significand);
    return true;
  }
  if (ua.kind === INFINITE) {
    r.infinity(F80, false).toF80(exponent);
    r.infinity(F80, ua.negative).toF80(significand);
    return true;
  }
  if (stopsOnDenormal(context, ua)) return false;
  fromInteger(context, F80, BigInt(ua.exponent + 63), r).toF80(exponent);
  significand.signExponent = ua.negative ? 0xbfff : 0x3fff;
  significand.significand = ua.significand;
  significand.fromDenormal = false;
  return true;
}
