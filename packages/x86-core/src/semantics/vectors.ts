import type { Semantics } from "../table/row.js";
import type { Val } from "../wasm/code.js";
import type { Ops } from "./ops.js";

/** Integer lane shapes of a 128-bit vector. */
export type Shape = "i8x16" | "i16x8" | "i32x4" | "i64x2";

/** What an operation does with two vectors. */
export type VectorOperation = (o: Ops, a: Val, b: Val) => Val;

/** A constant vector of equal lanes, or of the given ones. */
export function vectorConst(o: Ops, shape: Shape, lanes: number | bigint | readonly (number | bigint)[]): Val {
  const width = 128 / Number(shape.slice(shape.indexOf("x") + 1)) / 8;
  const bytes = new Uint8Array(16);
  for (let lane = 0; lane < 16 / width; lane++) {
    let value = BigInt.asUintN(64, BigInt(typeof lanes === "object" ? lanes[lane] : lanes));
    for (let byte = 0; byte < width; byte++, value >>= 8n) bytes[lane * width + byte] = Number(value & 0xffn);
  }
  return o.code.constant("v128", bytes);
}

/** A vector with one value (i64) below zeros. */
export function lowVector(o: Ops, low: Val): Val {
  return o.code.lane("i64x2.replace_lane", 0, vectorConst(o, "i64x2", 0), low);
}
/** A vector of two 64-bit halves. */
export function pairVector(o: Ops, low: Val, high: Val): Val {
  return o.code.lane("i64x2.replace_lane", 1, o.code.op("i64x2.splat", low), high);
}
export function lowHalf(o: Ops, vector: Val): Val {
  return o.code.lane("i64x2.extract_lane", 0, vector);
}
export function highHalf(o: Ops, vector: Val): Val {
  return o.code.lane("i64x2.extract_lane", 1, vector);
}

/** One WebAssembly instruction. */
export const plain =
  (name: string): VectorOperation =>
  (o, a, b) =>
    o.code.op(name, a, b);

/** The MMX form of an operation that works lane by lane: both operands in the low half. */
export const onMmx =
  (operation: VectorOperation): Semantics =>
  (o, a, b) =>
    lowHalf(o, operation(o, o.code.op("i64x2.splat", a), o.code.op("i64x2.splat", b)));

/**
 * The MMX form of an operation that takes the low half of its result from the first operand and the high half from the
 * second: with both MMX operands joined in one vector, its low half is what the MMX form yields.
 */
export const onMmxJoined =
  (operation: VectorOperation): Semantics =>
  (o, a, b) => {
    const joined = pairVector(o, a, b);
    return lowHalf(o, operation(o, joined, joined));
  };

/** Sets all bits of each lane whose bit (1 << lane) is set in an i32. */
export function laneMask(o: Ops, shape: "i16x8" | "i32x4" | "i64x2", bits: Val): Val {
  const count = Number(shape.slice(shape.indexOf("x") + 1));
  const weights = vectorConst(
    o,
    shape,
    Array.from({ length: count }, (_, lane) => 1 << lane),
  );
  const wide = shape === "i64x2" ? o.zext(32, 64, bits) : bits;
  return o.code.op(`${shape}.eq`, o.code.op("v128.and", o.code.op(`${shape}.splat`, wide), weights), weights);
}

/** The bytes of `vector` from byte `count` (an i32, at most 16) on, with zeros above. */
export function shiftBytesRight(o: Ops, vector: Val, count: Val): Val {
  return o.code.op("i8x16.swizzle", vector, o.code.op("i8x16.add", byteNumbers(o), o.code.op("i8x16.splat", count)));
}
/** The bytes of `vector` moved up by `count` (an i32, at most 16), with zeros below. */
export function shiftBytesLeft(o: Ops, vector: Val, count: Val): Val {
  return o.code.op("i8x16.swizzle", vector, o.code.op("i8x16.sub", byteNumbers(o), o.code.op("i8x16.splat", count)));
}
/** 0, 1, 2 ... 15. */
export function byteNumbers(o: Ops): Val {
  return o.code.constant(
    "v128",
    Uint8Array.from({ length: 16 }, (_, byte) => byte),
  );
}
