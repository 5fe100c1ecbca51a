import { S } from "../state/layout.js";
import type { Val } from "../wasm/code.js";
import type { Ops } from "./ops.js";
import type { FloatFormat } from "./sse-codes.js";
import { vectorConst } from "./vectors.js";

// When is WebAssembly's floating-point instruction what the x86 one does? WebAssembly rounds to nearest, knows no flags
// and leaves the payload of NaNs open. So the operands must be normal, zero or infinite, the result a normal number
// well above the denormal range or an exact zero, and a rounding must change nothing: MXCSR.PE is already set and masked
// (it nearly always is, for it is sticky).

const MXCSR = { PE: 1 << 5, DAZ: 1 << 6, PM: 1 << 12, masks: 0x1f80, rounding: 0x6000, FZ: 1 << 15 } as const;
const MINIMUM = { f32: 2 ** -126, f64: 2 ** -1022 } as const;
const MAXIMUM = { f32: (2 - 2 ** -23) * 2 ** 127, f64: Number.MAX_VALUE } as const;

export const isPacked = (format: FloatFormat): boolean => format.includes("x");
const element = (format: FloatFormat): "f32" | "f64" => (format.startsWith("f32") ? "f32" : "f64");

/** A floating-point constant in every lane. */
export function floatConst(o: Ops, format: FloatFormat, value: number): Val {
  if (!isPacked(format)) return o.code.constant(format as "f32" | "f64", value);
  const bits =
    format === "f32x4"
      ? new Uint32Array(Float32Array.of(value).buffer)[0]
      : new BigUint64Array(Float64Array.of(value).buffer)[0];
  return vectorConst(o, format === "f32x4" ? "i32x4" : "i64x2", bits);
}

/** Operand bits (i32 or i64) as a WebAssembly float; vectors as they are. */
export function toFloat(o: Ops, format: FloatFormat, bits: Val): Val {
  if (isPacked(format)) return bits;
  return o.code.op(format === "f32" ? "f32.reinterpret_i32" : "f64.reinterpret_i64", bits);
}
export function toBits(o: Ops, format: FloatFormat, value: Val): Val {
  if (isPacked(format)) return value;
  return o.code.op(format === "f32" ? "i32.reinterpret_f32" : "i64.reinterpret_f64", value);
}

/** Conditions on all lanes, which stay masks until `allTrue`. */
export function maskAnd(o: Ops, a: Val, b: Val): Val {
  return o.code.op(a.type === "v128" ? "v128.and" : "i32.and", a, b);
}
export function maskOr(o: Ops, a: Val, b: Val): Val {
  return o.code.op(a.type === "v128" ? "v128.or" : "i32.or", a, b);
}
export function allTrue(o: Ops, mask: Val): Val {
  return mask.type === "v128" ? o.code.op("i32x4.all_true", mask) : mask;
}

export function isZero(o: Ops, format: FloatFormat, x: Val): Val {
  return o.code.op(`${format}.eq`, x, floatConst(o, format, 0));
}
/** Neither NaN nor denormal. */
export function isOrdinary(o: Ops, format: FloatFormat, x: Val): Val {
  const size = o.code.op(`${format}.abs`, x);
  const normal = o.code.op(`${format}.ge`, size, floatConst(o, format, MINIMUM[element(format)]));
  return maskOr(o, normal, isZero(o, format, x));
}
/** Finite and above the smallest normal number: that one may be the rounding of something tiny. */
export function isSafeResult(o: Ops, format: FloatFormat, x: Val): Val {
  const size = o.code.op(`${format}.abs`, x);
  return maskAnd(
    o,
    o.code.op(`${format}.gt`, size, floatConst(o, format, MINIMUM[element(format)])),
    o.code.op(`${format}.le`, size, floatConst(o, format, MAXIMUM[element(format)])),
  );
}
/** Every lane's magnitude is below `limit`. */
export function isBelow(o: Ops, format: FloatFormat, x: Val, limit: number): Val {
  return allTrue(o, o.code.op(`${format}.lt`, o.code.op(`${format}.abs`, x), floatConst(o, format, limit)));
}

/** MXCSR: rounding to nearest, everything masked, PE set, neither DAZ nor FZ. */
export function ordinaryMode(o: Ops): Val {
  const { PE, DAZ, masks, rounding, FZ } = MXCSR;
  const relevant = o.and(32, o.state32(S.mxcsr), o.i32(PE | DAZ | masks | rounding | FZ));
  return o.eq(32, relevant, o.i32(PE | masks));
}
/** A lost bit changes nothing: PE is set and masked. `nearest`: and rounding is to nearest. */
export function inexactIsSilent(o: Ops, nearest: boolean): Val {
  const relevant = o.and(32, o.state32(S.mxcsr), o.i32(MXCSR.PE | MXCSR.PM | (nearest ? MXCSR.rounding : 0)));
  return o.eq(32, relevant, o.i32(MXCSR.PE | MXCSR.PM));
}
export function roundingMode(o: Ops): Val {
  return o.and(32, o.shrU(32, o.state32(S.mxcsr), 13), o.i32(3));
}

/** `fast` under the condition, else what `slow` leaves as the result of its helper. */
export function fastOr(o: Ops, condition: Val, fast: Val, slow: () => Val): Val {
  const result = o.code.variable(fast.type);
  o.if(
    condition,
    () => result.set(fast),
    () => result.set(slow()),
  );
  return result.get();
}
/** The result of a helper in the type of `format`. */
export function helperResult(o: Ops, format: FloatFormat): Val {
  return isPacked(format) ? o.resultVector() : o.result(format === "f32" ? 32 : 64);
}
