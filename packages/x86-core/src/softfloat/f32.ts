import { add, compare, divide, multiply, type Relation, squareRoot } from "./arithmetic.js";
import { type FloatContext, PE, Rounding } from "./context.js";
import { convert, fromInteger, roundToIntegral, toInteger } from "./convert.js";
import { Encoded, F32, F64, Unpacked, unpackF32 } from "./format.js";
import {
  nativeAdd32,
  nativeDiv32,
  nativeMul32,
  nativeRoundTo32,
  nativeSqrt32,
  nativeSub32,
  nativeValue32,
} from "./native32.js";
import { nativePattern64, nativeRound } from "./native64.js";

// SSE operations on single precision. A value is its 32-bit pattern as an unsigned number. The destination (first
// source) operand comes first. When an operation raises a flag that the context does not mask, the returned value is
// meaningless: the instruction writes nothing.

const ua = new Unpacked();
const ub = new Unpacked();
const r = new Encoded();

/** ADDSS: a + b. */
export function f32Add(context: FloatContext, a: number, b: number): number {
  const fast = nativeAdd32(context, a, b);
  if (fast >= 0) return fast;
  const daz = context.denormalsAreZero;
  return add(context, F32, unpackF32(a, daz, ua), unpackF32(b, daz, ub), false, r).toF32();
}

/** SUBSS: a - b. */
export function f32Sub(context: FloatContext, a: number, b: number): number {
  const fast = nativeSub32(context, a, b);
  if (fast >= 0) return fast;
  const daz = context.denormalsAreZero;
  return add(context, F32, unpackF32(a, daz, ua), unpackF32(b, daz, ub), true, r).toF32();
}

/** MULSS: a * b. */
export function f32Mul(context: FloatContext, a: number, b: number): number {
  const fast = nativeMul32(context, a, b);
  if (fast >= 0) return fast;
  const daz = context.denormalsAreZero;
  return multiply(context, F32, unpackF32(a, daz, ua), unpackF32(b, daz, ub), r).toF32();
}

/** DIVSS: a / b. */
export function f32Div(context: FloatContext, a: number, b: number): number {
  const fast = nativeDiv32(context, a, b);
  if (fast >= 0) return fast;
  const daz = context.denormalsAreZero;
  return divide(context, F32, unpackF32(a, daz, ua), unpackF32(b, daz, ub), r).toF32();
}

/** SQRTSS: the square root of a. */
export function f32Sqrt(context: FloatContext, a: number): number {
  const fast = nativeSqrt32(context, a);
  if (fast >= 0) return fast;
  return squareRoot(context, F32, unpackF32(a, context.denormalsAreZero, ua), r).toF32();
}

/** MINSS: the smaller operand; b when either is a NaN (IE) or both are zeros. */
export function f32Min(context: FloatContext, a: number, b: number): number {
  return select(context, a, b, f32Compare(context, a, b, true) === -1);
}

/** MAXSS: the larger operand; b when either is a NaN (IE) or both are zeros. */
export function f32Max(context: FloatContext, a: number, b: number): number {
  return select(context, a, b, f32Compare(context, a, b, true) === 1);
}

/** The operand that MINSS or MAXSS returns, which DAZ turns into a zero when it is denormal. */
function select(context: FloatContext, a: number, b: number, first: boolean): number {
  const chosen = first ? a : b;
  if (!context.denormalsAreZero || (chosen & 0x7f800000) !== 0) return chosen;
  return (chosen & 0x80000000) >>> 0;
}

/**
 * COMISS (`signaling`: IE for any NaN) and UCOMISS (IE for SNaN only), and the comparison beneath CMPSS: -1 for
 * a < b, 0 for equal, 1 for a > b, 2 for unordered.
 */
export function f32Compare(context: FloatContext, a: number, b: number, signaling: boolean): Relation {
  const x = nativeValue32(a);
  const y = nativeValue32(b);
  if (x === y) return 0;
  if (x < y) return -1;
  if (x > y) return 1;
  const daz = context.denormalsAreZero;
  return compare(context, unpackF32(a, daz, ua), unpackF32(b, daz, ub), signaling);
}

/** ROUNDSS: a rounded to an integral value under `rounding`; `suppressPrecision` is immediate bit 3. */
export function f32RoundToIntegral(
  context: FloatContext,
  a: number,
  rounding: number,
  suppressPrecision: boolean,
): number {
  return roundToIntegral(
    context,
    F32,
    unpackF32(a, context.denormalsAreZero, ua),
    rounding,
    suppressPrecision,
    r,
  ).toF32();
}

/** CVTSS2SI and CVTTSS2SI (`truncate`) to a 32-bit register: a signed integer, -2^31 as the integer indefinite. */
export function f32ToInt32(context: FloatContext, a: number, truncate: boolean): number {
  const rounding = truncate ? Rounding.Zero : context.rounding;
  const x = nativeValue32(a);
  if (x > -2147483648 && x < 2147483647) {
    const value = nativeRound(rounding, x);
    if (value !== x) context.flags |= PE;
    return value | 0;
  }
  return Number(toInteger(context, unpackF32(a, context.denormalsAreZero, ua), 32, rounding));
}

/** CVTSS2SI and CVTTSS2SI (`truncate`) to a 64-bit register: a signed integer, -2^63 as the integer indefinite. */
export function f32ToInt64(context: FloatContext, a: number, truncate: boolean): bigint {
  const rounding = truncate ? Rounding.Zero : context.rounding;
  return toInteger(context, unpackF32(a, context.denormalsAreZero, ua), 64, rounding);
}

/** CVTSI2SS from a signed 32-bit integer. */
export function f32FromInt32(context: FloatContext, value: number): number {
  return value === 0 ? 0 : nativeRoundTo32(context, value);
}

/** CVTSI2SS from a signed 64-bit integer. */
export function f32FromInt64(context: FloatContext, value: bigint): number {
  return fromInteger(context, F32, value, r).toF32();
}

/** CVTSS2SD. */
export function f32ToF64(context: FloatContext, a: number): bigint {
  const x = nativeValue32(a);
  if (!Number.isNaN(x)) return nativePattern64(x);
  return convert(context, F32, F64, unpackF32(a, context.denormalsAreZero, ua), true, r).toF64();
}
