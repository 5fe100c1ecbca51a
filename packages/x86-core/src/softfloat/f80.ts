import { add, compare, divide, multiply, type Relation, squareRoot } from "./arithmetic.js";
import { type FloatContext, isAborted } from "./context.js";
import { roundToIntegral } from "./convert.js";
import { Encoded, F80, FINITE, type Float80, INFINITE, QNAN, Unpacked, unpackF80, ZERO } from "./format.js";

// x87 operations on the 80-bit format. Each writes its result to `out`, which may be one of its operands, unless an
// unmasked IE, DE or ZE stops it, and returns whether it did write; unmasked OE and UE deliver the result with the exponent moved by
// 24576. `context.roundedUp` becomes C1.

const ua = new Unpacked();
const ub = new Unpacked();
const r = new Encoded();

/** A fresh 80-bit value, +0 unless given. */
export function float80(signExponent = 0, significand = 0n): Float80 {
  return { signExponent, significand, fromDenormal: false };
}

/** Copies a value. */
export function f80Copy(from: Float80, to: Float80): void {
  to.signExponent = from.signExponent;
  to.significand = from.significand;
  to.fromDenormal = from.fromDenormal;
}

function deliver(context: FloatContext, out: Float80): boolean {
  if (isAborted(context)) return false;
  r.toF80(out);
  return true;
}

/** FADD: a + b. */
export function f80Add(context: FloatContext, a: Float80, b: Float80, out: Float80): boolean {
  context.roundedUp = false;
  add(context, F80, unpackF80(a, ua), unpackF80(b, ub), false, r);
  return deliver(context, out);
}

/** FSUB: a - b (FSUBR with the operands exchanged). */
export function f80Sub(context: FloatContext, a: Float80, b: Float80, out: Float80): boolean {
  context.roundedUp = false;
  add(context, F80, unpackF80(a, ua), unpackF80(b, ub), true, r);
  return deliver(context, out);
}

/** FMUL: a * b. */
export function f80Mul(context: FloatContext, a: Float80, b: Float80, out: Float80): boolean {
  context.roundedUp = false;
  multiply(context, F80, unpackF80(a, ua), unpackF80(b, ub), r);
  return deliver(context, out);
}

/** FDIV: a / b (FDIVR with the operands exchanged). */
export function f80Div(context: FloatContext, a: Float80, b: Float80, out: Float80): boolean {
  context.roundedUp = false;
  divide(context, F80, unpackF80(a, ua), unpackF80(b, ub), r);
  return deliver(context, out);
}

/** FSQRT: the square root of a. */
export function f80Sqrt(context: FloatContext, a: Float80, out: Float80): boolean {
  context.roundedUp = false;
  squareRoot(context, F80, unpackF80(a, ua), r);
  return deliver(context, out);
}

/** FRNDINT: a rounded to an integral value under the context's rounding. */
export function f80RoundToIntegral(context: FloatContext, a: Float80, out: Float80): boolean {
  context.roundedUp = false;
  roundToIntegral(context, F80, unpackF80(a, ua), context.rounding, false, r);
  return deliver(context, out);
}

/**
 * FCOM, FCOMI and FTST (`signaling`: IE for any NaN), FUCOM and FUCOMI (IE for SNaN and unsupported encodings only):
 * -1 for a < b, 0 for equal, 1 for a > b, 2 for unordered.
 */
export function f80Compare(context: FloatContext, a: Float80, b: Float80, signaling: boolean): Relation {
  context.roundedUp = false;
  return compare(context, unpackF80(a, ua), unpackF80(b, ub), signaling);
}

/** What FXAM reports, as C3 C2 C0 from bit 2 to bit 0 (the caller adds the sign as C1, and 0b101 for empty). */
export const Class80 = {
  Unsupported: 0b000,
  NaN: 0b001,
  Normal: 0b010,
  Infinity: 0b011,
  Zero: 0b100,
  Denormal: 0b110,
} as const;

/** FXAM: the class of a non-empty register, one of {@link Class80}. */
export function f80Classify(a: Float80): number {
  unpackF80(a, ua);
  if (ua.kind === ZERO) return Class80.Zero;
  if (ua.kind === FINITE) return ua.denormal ? Class80.Denormal : Class80.Normal;
  if (ua.kind === INFINITE) return Class80.Infinity;
  return ua.kind === QNAN || ua.kind === QNAN + 1 ? Class80.NaN : Class80.Unsupported;
}

/** FCHS. No exception, whatever the value. */
export function f80Negate(a: Float80, out: Float80): void {
  out.signExponent = a.signExponent ^ 0x8000;
  out.significand = a.significand;
  out.fromDenormal = false;
}

/** FABS. No exception, whatever the value. */
export function f80Absolute(a: Float80, out: Float80): void {
  out.signExponent = a.signExponent & 0x7fff;
  out.significand = a.significand;
  out.fromDenormal = false;
}
