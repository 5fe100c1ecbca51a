import { DE, type FloatContext, IE, OE, PE, Rounding, UE } from "./context.js";
import { convert, fromInteger, toInteger } from "./convert.js";
import {
  Encoded,
  F32,
  F64,
  F80,
  type Float80,
  type Format,
  SNAN,
  Unpacked,
  unpackF32,
  unpackF64,
  unpackF80,
} from "./format.js";

const u = new Unpacked();
const r = new Encoded();

/** Conversions that cannot raise anything. */
const quietly: FloatContext = {
  rounding: 0,
  precision: 64,
  flushToZero: false,
  denormalsAreZero: false,
  masks: 0x3f,
  flags: 0,
  roundedUp: false,
};

function load(context: FloatContext, from: Format, out: Float80): boolean {
  context.roundedUp = false;
  if (u.denormal) context.flags |= DE;
  convert(context, from, F80, u, false, r);
  if (context.flags & ~context.masks & IE) return false;
  r.toF80(out);
  return true;
}

/**
 * FLD m32: exact; SNaN raises IE and is quieted, a denormal raises DE. Returns whether `out` was written and is to be
 * pushed: only an unmasked IE prevents that, after an unmasked DE the value is pushed all the same.
 */
export function f32ToF80(context: FloatContext, a: number, out: Float80): boolean {
  unpackF32(a, false, u);
  return load(context, F32, out);
}

/**
 * FLD m64: exact; SNaN raises IE and is quieted, a denormal raises DE. Returns whether `out` was written and is to be
 * pushed: only an unmasked IE prevents that, after an unmasked DE the value is pushed all the same.
 */
export function f64ToF80(context: FloatContext, a: bigint, out: Float80): boolean {
  unpackF64(a, false, u);
  return load(context, F64, out);
}

function widen(from: Format, out: Float80): void {
  convert(quietly, from, F80, u, false, r);
  r.toF80(out);
  if (u.kind === SNAN) out.significand ^= 0x4000000000000000n;
  out.fromDenormal = u.denormal;
}

/**
 * The memory operand of an arithmetic or compare instruction (FADD m32 and so on): the same value as an 80-bit
 * operand, without exceptions. An SNaN stays signaling and a denormal is remembered, so that the instruction itself
 * reports them.
 */
export function widenF32ToF80(a: number, out: Float80): void {
  unpackF32(a, false, u);
  widen(F32, out);
}

/** Like {@link widenF32ToF80} for FADD m64 and so on. */
export function widenF64ToF80(a: bigint, out: Float80): void {
  unpackF64(a, false, u);
  widen(F64, out);
}

function store(context: FloatContext, to: Format, a: Float80): Encoded {
  context.roundedUp = false;
  const before = context.flags;
  convert(context, F80, to, unpackF80(a, u), false, r);
  if (context.flags & ~context.masks & (OE | UE)) {
    // The processor has nothing to say about the precision of what it did not store.
    context.flags &= ~PE | before;
    context.roundedUp = false;
  }
  return r;
}

/** FST m32. When it raises an unmasked IE, OE or UE, nothing is to be written and nothing popped. */
export function f80ToF32(context: FloatContext, a: Float80): number {
  return store(context, F32, a).toF32();
}

/** FST m64. When it raises an unmasked IE, OE or UE, nothing is to be written and nothing popped. */
export function f80ToF64(context: FloatContext, a: Float80): bigint {
  return store(context, F64, a).toF64();
}

/** FILD: the integer, exactly. Use a BigInt for 64-bit integers. */
export function f80FromInteger(value: number | bigint, out: Float80): void {
  fromInteger(quietly, F80, BigInt(value), r).toF80(out);
}

/**
 * FIST and FISTTP (`truncate`) to a signed integer of 16, 32 or 64 bits. IE gives the integer indefinite, the most
 * negative integer; when it is unmasked nothing is to be written and nothing popped.
 */
export function f80ToInteger(context: FloatContext, a: Float80, bits: 16 | 32 | 64, truncate: boolean): bigint {
  context.roundedUp = false;
  return toInteger(context, unpackF80(a, u), bits, truncate ? Rounding.Zero : context.rounding);
}
