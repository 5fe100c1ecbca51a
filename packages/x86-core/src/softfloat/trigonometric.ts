import { invalid, propagateNaN, stopsOnDenormal } from "./arithmetic.js";
import { big } from "./bits.js";
import { f80One } from "./constants.js";
import { type FloatContext, isAborted } from "./context.js";
import { Encoded, F80, FINITE, type Float80, INFINITE, QNAN, Unpacked, unpackF80, ZERO } from "./format.js";
import { roundFinite } from "./round.js";
import { arcTangent, pi, type Real, ratio, sineCosine, squareFixed, toFixed, WIDTH } from "./series.js";

const ua = new Unpacked();
const ub = new Unpacked();
const r = new Encoded();

/**
 * Half of the 66-bit value of pi that the processors reduce arguments with (SDM vol. 1, 8.3.8), in units of 2^-65.
 * It makes FSIN of the double extended pi come out as -2^-64, as on hardware.
 */
const HALF_PI = 0x3243f6a8885a308d3n;
const HALF_PI_UNIT = -65;

/** A reduced argument: quadrant (mod 4) and the remainder in -pi/4..pi/4. */
interface Reduced {
  quadrant: number;
  negative: boolean;
  rest: Real;
}

/** The magnitude of a finite non-zero operand below 2^63, reduced. */
function reduce(u: Unpacked): Reduced {
  if (u.exponent < -64) return { quadrant: 0, negative: false, rest: u };
  const x = u.significand << big(u.exponent - HALF_PI_UNIT);
  const quotient = (2n * x + HALF_PI) / (2n * HALF_PI);
  const rest = x - quotient * HALF_PI;
  const negative = rest < 0n;
  return {
    quadrant: Number(quotient & 3n),
    negative,
    rest: { significand: negative ? -rest : rest, exponent: HALF_PI_UNIT },
  };
}

/** Rounds an irrational result. */
function deliver(context: FloatContext, negative: boolean, value: Real, out: Float80): void {
  roundFinite(context, F80, 64, negative, value.exponent - 1, (value.significand << 1n) | 1n, r).toF80(out);
}

/** What {@link examine} found: results written, nothing to write, a zero, or a value to compute with. */
type Special = "done" | "stopped" | "zero" | "finite";

function examine(context: FloatContext, a: Float80, result: Float80, second?: Float80): Special {
  context.roundedUp = false;
  unpackF80(a, ua);
  if (ua.kind === FINITE && ua.exponent > -1) return "stopped";
  if (ua.kind >= QNAN || ua.kind === INFINITE) {
    if (ua.kind >= QNAN) propagateNaN(context, F80, ua, ua, r);
    else invalid(context, F80, r);
    if (isAborted(context)) return "stopped";
    r.toF80(result);
    if (second) r.toF80(second);
    return "done";
  }
  if (ua.kind === ZERO) return "zero";
  return stopsOnDenormal(context, ua) ? "stopped" : "finite";
}

function sine(context: FloatContext, { quadrant, negative, rest }: Reduced, out: Float80): void {
  const series = sineCosine(squareFixed(rest));
  const minus = ua.negative !== quadrant >= 2;
  if (quadrant & 1) deliver(context, minus, { significand: series.cosine, exponent: -WIDTH }, out);
  else deliver(context, minus !== negative, times(rest, series.sine), out);
}

function cosine(context: FloatContext, { quadrant, negative, rest }: Reduced, out: Float80): void {
  const series = sineCosine(squareFixed(rest));
  const minus = quadrant === 1 || quadrant === 2;
  if (quadrant & 1) deliver(context, minus !== negative, times(rest, series.sine), out);
  else deliver(context, minus, { significand: series.cosine, exponent: -WIDTH }, out);
}

function times(x: Real, fixed: bigint): Real {
  return { significand: x.significand * fixed, exponent: x.exponent - WIDTH };
}

/**
 * FSIN. Returns whether `out` was written: false after an unmasked IE or DE, and, without any flag, when the
 * magnitude is 2^63 or more (C2 = 1, nothing changes).
 */
export function f80Sin(context: FloatContext, a: Float80, out: Float80): boolean {
  const special = examine(context, a, out);
  if (special === "zero") r.zero(ua.negative).toF80(out);
  else if (special === "finite") sine(context, reduce(ua), out);
  return special !== "stopped";
}

/** FCOS. Returns like {@link f80Sin}. */
export function f80Cos(context: FloatContext, a: Float80, out: Float80): boolean {
  const special = examine(context, a, out);
  if (special === "zero") f80One(out);
  else if (special === "finite") cosine(context, reduce(ua), out);
  return special !== "stopped";
}

/**
 * FSINCOS: the sine replaces ST(0), then the cosine is pushed. Returns like {@link f80Sin}; C1 is that of the sine.
 */
export function f80SinCos(context: FloatContext, a: Float80, sin: Float80, cos: Float80): boolean {
  const special = examine(context, a, sin, cos);
  if (special === "zero") {
    f80One(cos);
    r.zero(ua.negative).toF80(sin);
  } else if (special === "finite") {
    const reduced = reduce(ua);
    cosine(context, reduced, cos);
    context.roundedUp = false;
    sine(context, reduced, sin);
  }
  return special !== "stopped";
}

/**
 * FPTAN: the tangent replaces ST(0), then 1.0 (for a NaN: the NaN) is pushed. Returns like {@link f80Sin}.
 */
export function f80Tan(context: FloatContext, a: Float80, tangent: Float80, pushed: Float80): boolean {
  const special = examine(context, a, tangent, pushed);
  if (special === "zero" || special === "finite") f80One(pushed);
  if (special === "zero") {
    r.zero(ua.negative).toF80(tangent);
  } else if (special === "finite") {
    const { quadrant, negative, rest } = reduce(ua);
    const series = sineCosine(squareFixed(rest));
    const odd = (quadrant & 1) === 1;
    const value = odd
      ? ratio(series.cosine, rest.significand * series.sine, -rest.exponent)
      : ratio(rest.significand * series.sine, series.cosine, rest.exponent);
    deliver(context, (ua.negative !== negative) !== odd, value, tangent);
  }
  return special !== "stopped";
}

/** FPATAN: the angle of the point (x, y), in -pi..pi; y is ST(1) and x is ST(0). Returns whether `out` was written. */
export function f80Atan2(context: FloatContext, y: Float80, x: Float80, out: Float80): boolean {
  context.roundedUp = false;
  unpackF80(x, ua);
  unpackF80(y, ub);
  if (ua.kind >= QNAN || ub.kind >= QNAN) {
    propagateNaN(context, F80, ua, ub, r);
  } else if (!stopsOnDenormal(context, ua, ub)) {
    const yIsNil = ub.kind === ZERO || (ua.kind === INFINITE && ub.kind !== INFINITE);
    if (yIsNil && !ua.negative) {
      r.zero(ub.negative);
    } else {
      deliver(context, ub.negative, angle(yIsNil), out);
      return true;
    }
  }
  if (isAborted(context)) return false;
  r.toF80(out);
  return true;
}

/** The magnitude of the angle of (ua, ub), which is not zero. */
function angle(yIsNil: boolean): Real {
  const half = pi() >> 1n;
  if (yIsNil) return { significand: pi(), exponent: -WIDTH };
  if (ub.kind === INFINITE && ua.kind === INFINITE) {
    const quarter = half >> 1n;
    return { significand: ua.negative ? half + quarter : quarter, exponent: -WIDTH };
  }
  if (ub.kind === INFINITE || ua.kind === ZERO) return { significand: half, exponent: -WIDTH };
  const distance = ub.exponent - ua.exponent;
  const steep = distance > 0 || (distance === 0 && ub.significand > ua.significand);
  const first = steep
    ? arcTangent(ratio(ua.significand, ub.significand, -distance))
    : arcTangent(ratio(ub.significand, ua.significand, distance));
  if (!steep && !ua.negative) return first;
  const fixed = toFixed(first);
  const base = steep ? half : pi();
  return { significand: steep && ua.negative ? base + fixed : base - fixed, exponent: -WIDTH };
}
