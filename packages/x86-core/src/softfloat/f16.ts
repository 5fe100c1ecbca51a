import type { FloatContext } from "./context.js";
import { convert } from "./convert.js";
import { Encoded, F16, F32, Unpacked, unpackF16, unpackF32 } from "./format.js";

const u = new Unpacked();
const r = new Encoded();

/** VCVTPH2PS of one element: exact; only an SNaN raises anything (IE). DAZ has no influence. */
export function f16ToF32(context: FloatContext, a: number): number {
  return convert(context, F16, F32, unpackF16(a, u), false, r).toF32();
}

/** VCVTPS2PH of one element under `rounding` (immediate, or MXCSR.RC). FZ has no influence. */
export function f32ToF16(context: FloatContext, a: number, rounding: number): number {
  const { rounding: own, flushToZero } = context;
  context.rounding = rounding;
  context.flushToZero = false;
  convert(context, F32, F16, unpackF32(a, context.denormalsAreZero, u), true, r);
  context.rounding = own;
  context.flushToZero = flushToZero;
  return r.toF16();
}
