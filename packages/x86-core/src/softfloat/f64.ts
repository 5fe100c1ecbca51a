import { add, compare, divide, multiply, type Relation, squareRoot } from "./arithmetic.js";
import { type FloatContext, PE, Rounding } from "./context.js";
import { convert, fromInteger, roundToIntegral, toInteger } from "./convert.js";
import { Encoded, F32, F64, Unpacked, unpackF64 } from "./format.js";
import { nativeRoundTo32 } from "./native32.js";
import {
  nativeAdd64,
  nativeDiv64,
  nativeMul64,
  nativePattern64,
  nativeRound,
  nativeSqrt64,
  nativeSub64,
  nativeValue64,
} from "./native64.js";

// SSE operations on double precision. A value is its 64-bit pattern as a non-negative BigInt. The destination (first
// source) operand comes first. When an operation raises a flag that the context does not mask, the returned value is
// meaningless: the instruction writes nothing.

const ua = new Unpacked();
const ub = new Unpacked();
const r = new Encoded();

/** ADDSD: a + b. */
export function f64Add(context: FloatContext, a: bigint, b: bigint): bigint {
  const fast = nativeAdd64(context, a, b);
  if (fast !== undefined) return fast;
  const daz = context.denormalsAreZero;
  return add(context, F64, unpackF64(a, daz, ua), unpackF64(b, daz, ub), false, r).toF64();
}

/** SUBSD: a - b. */
export function f64Sub(context: FloatContext, a: bigint, b: bigint): bigint {
  const fast = nativeSub64(context, a, b);
  if (fast !== undefined) return fast;
  const daz = context.denormalsAreZero;
  return add(context, F64, unpackF64(a, daz, ua), unpackF64(b, daz, ub), true, r).toF64();
}

/** MULSD: a * b. */
export function f64Mul(context: FloatContext, a: bigint, b: bigint): bigint {
  const fast = nativeMul64(context, a, b);
  if (fast !== undefined) return fast;
  const daz = context.denormalsAreZero;
  return multiply(context, F64, unpackF64(a, daz, ua), unpackF64(b, daz, ub), r).toF64();
}

/** DIVSD: a / b. */
export function f64Div(context: FloatContext, a: bigint, b: bigint): bigint {
  const fast = nativeDiv64(context, a, b);
  if (fast !== undefined) return fast;
  const daz = context.denormalsAreZero;
  return divide(context, F64, unpackF64(a, daz, ua), unpackF64(b, daz, ub), r).toF64();
}

/** SQRTSD: the square root of a. */
export function f64Sqrt(context: FloatContext, a: bigint): bigint {
  const fast = nativeSqrt64(context, a);
  if (fast !== undefined) return fast;
  return squareRoot(context, F64, unpackF64(a, context.denormalsAreZero, ua), r).toF64();
}

/** MINSD: the smaller operand; b when either is a NaN (IE) or both are zeros. */
export function f64Min(context: FloatContext, a: bigint, b: bigint): bigint {
  return select(context, a, b, f64Compare(context, a, b, true) === -1);
}

/** MAXSD: the larger operand; b when either is a NaN (IE) or both are zeros. */
export function f64Max(context: FloatContext, a: bigint, b: bigint): bigint {
  return select(context, a, b, f64Compare(context, a, b, true) === 1);
}

/** The operand that MINSD or MAXSD returns, which DAZ turns into a zero when it is denormal. */
function select(context: FloatContext, a: bigint, b: bigint, first: boolean): bigint {
  const chosen = first ? a : b;
  if (!context.denormalsAreZero || (chosen & 0x7ff0000000000000n) !== 0n) return chosen;
  return chosen & 0x8000000000000000n;
}

/**
 * COMISD (`signaling`: IE for any NaN) and UCOMISD (IE for SNaN only), and the comparison beneath CMPSD: -1 for
 * a < b, 0 for equal, 1 for a > b, 2 for unordered.
 */
export function f64Compare(context: FloatContext, a: bigint, b: bigint, signaling: boolean): Relation {
  const x = nativeValue64(a);
  const y = nativeValue64(b);
  if (x === y) return 0;
  if (x < y) return -1;
  if (x > y) return 1;
  const daz = context.denormalsAreZero;
  return compare(context, unpackF64(a, daz, ua), unpackF64(b, daz, ub), signaling);
}

/** ROUNDSD: a rounded to an integral value under `rounding`; `suppressPrecision` is immediate bit 3. */
export function f64RoundToIntegral(
  context: FloatContext,
  a: bigint,
  rounding: number,
  suppressPrecision: boolean,
): bigint {
  return roundToIntegral(
    context,
    F64,
    unpackF64(a, context.denormalsAreZero, ua),
    rounding,
    suppressPrecision,
    r,
  ).toF64();
}

/** CVTSD2SI and CVTTSD2SI (`truncate`) to a 32-bit register: a signed integer, -2^31 as the integer indefinite. */
export function f64ToInt32(context: FloatContext, a: bigint, truncate: boolean): number {
  const rounding = truncate ? Rounding.Zero : context.rounding;
  const x = nativeValue64(a);
  if (x > -2147483648 && x < 2147483647) {
    const value = nativeRound(rounding, x);
    if (value !== x) context.flags |= PE;
    return value | 0;
  }
  return Number(toInteger(context, unpackF64(a, context.denormalsAreZero, ua), 32, rounding));
}

/** CVTSD2SI and CVTTSD2SI (`truncate`) to a 64-bit register: a signed integer, -2^63 as the integer indefinite. */
export function f64ToInt64(context: FloatContext, a: bigint, truncate: boolean): bigint {
  const rounding = truncate ? Rounding.Zero : context.rounding;
  return toInteger(context, unpackF64(a, context.denormalsAreZero, ua), 64, rounding);
}

/** CVTSI2SD from a signed 32-bit integer; always exact. */
export function f64FromInt32(value: number): bigint {
  return nativePattern64(value);
}

/** CVTSI2SD from a signed 64-bit integer. */
export function f64FromInt64(context: FloatContext, value: bigint): bigint {
  return fromInteger(context, F64, value, r).toF64();
}

/** CVTSD2SS. */
export function f64ToF32(context: FloatContext, a: bigint): number {
  const x = nativeValue64(a);
  if (x !== 0 && !Number.isNaN(x)) {
    const fast = nativeRoundTo32(context, x);
    if (fast >= 0) return fast;
  }
  return convert(context, F64, F32, unpackF64(a, context.denormalsAreZero, ua), true, r).toF32();
}
