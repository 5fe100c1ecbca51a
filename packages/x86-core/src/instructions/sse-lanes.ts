import type { Ops } from "../semantics/ops.js";
import { onMmx, onMmxJoined, plain, type VectorOperation, vectorConst } from "../semantics/vectors.js";
import type { Feature } from "../table/features.js";
import { ins, type Row, type Semantics } from "../table/row.js";
import type { Val } from "../wasm/code.js";

// Integer operations that exist for MMX and for XMM registers with the same opcode.

/** The rows of one operation: features of the MMX and of the XMM form. */
function both(
  code: string,
  mnemonic: string,
  operation: VectorOperation,
  features: readonly [mmx: Feature, xmm: Feature],
  mmx: Semantics = onMmx(operation),
): Row[] {
  return [
    ins(`NP 0F ${code} /r`, `${mnemonic} Pq:rw Qq`, "", mmx, { feature: features[0], unit: "mmx" }),
    ins(`66 0F ${code} /r`, `${mnemonic} Vx:rw Wx`, "", operation, {
      feature: features[1],
      unit: "sse",
      aligned: true,
    }),
  ];
}
const original = ["mmx", "sse2"] as const;
const withSse = ["sse", "sse2"] as const;
const withSse2 = ["sse2", "sse2"] as const;
const withSsse3 = ["ssse3", "ssse3"] as const;

const LOW: Record<number, number[]> = {
  1: [0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23],
  2: [0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23],
  4: [0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23],
  8: [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23],
};
/** PUNPCKL* and PUNPCKH*: interleaves the low or high halves, in units of `bytes`. */
export const unpackLow =
  (bytes: number): VectorOperation =>
  (o, a, b) =>
    o.code.shuffle(a, b, LOW[bytes]);
export const unpackHigh =
  (bytes: number): VectorOperation =>
  (o, a, b) =>
    o.code.shuffle(
      a,
      b,
      LOW[bytes].map((byte) => byte + 8),
    );
/** The MMX forms: the high half of the interleaved low halves is that of the high halves of 8-byte operands. */
const mmxUnpackLow =
  (bytes: number): Semantics =>
  (o, a, b) =>
    onMmx(unpackLow(bytes))(o, a, o.zext(32, 64, b));
const mmxUnpackHigh =
  (bytes: number): Semantics =>
  (o, a, b) =>
    onMmx((_, x, y) => o.code.shuffle(x, y, [...LOW[bytes].slice(8), ...LOW[bytes].slice(8)]))(o, a, b);

const unpackRows = [
  ["60", "PUNPCKLBW", 1],
  ["61", "PUNPCKLWD", 2],
  ["62", "PUNPCKLDQ", 4],
].flatMap(([code, mnemonic, bytes]) => [
  ins(`NP 0F ${code} /r`, `${mnemonic} Pq:rw Qd`, "", mmxUnpackLow(bytes as number), { feature: "mmx", unit: "mmx" }),
  ins(`66 0F ${code} /r`, `${mnemonic} Vx:rw Wx`, "", unpackLow(bytes as number), {
    feature: "sse2",
    unit: "sse",
    aligned: true,
  }),
]);

/** Picks the low or the high 16 bits of eight 32-bit products, which come in two vectors. */
const lowWords = [0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29];
const highWords = lowWords.map((byte) => byte + 2);
const multiplyHigh =
  (sign: "s" | "u"): VectorOperation =>
  (o, a, b) => {
    const product = (half: string) => o.code.op(`i32x4.extmul_${half}_i16x8_${sign}`, a, b);
    return o.code.shuffle(product("low"), product("high"), highWords);
  };

/** PMULUDQ: the low 32 bits of each 64-bit lane, multiplied unsigned. */
const multiplyUnsigned: VectorOperation = (o, a, b) => {
  const low = (v: Val) => o.code.op("v128.and", v, vectorConst(o, "i64x2", 0xffffffffn));
  return o.code.op("i64x2.mul", low(a), low(b));
};

const absoluteDifference: VectorOperation = (o, a, b) =>
  o.code.op("v128.or", o.code.op("i8x16.sub_sat_u", a, b), o.code.op("i8x16.sub_sat_u", b, a));
/** PSADBW: the sum of eight absolute differences in each 64-bit lane. */
const sumOfDifferences: VectorOperation = (o, a, b) => {
  const words = o.code.op("i16x8.extadd_pairwise_i8x16_u", absoluteDifference(o, a, b));
  const doubles = o.code.op("i32x4.extadd_pairwise_i16x8_u", words);
  const high = o.code.op("i64x2.shr_u", doubles, o.i32(32));
  return o.code.op("i64x2.add", o.code.op("v128.and", doubles, vectorConst(o, "i64x2", 0xffffffffn)), high);
};

/** PSLLx, PSRLx and PSRAx: a count beyond the lane clears it, or leaves copies of the sign. */
export function shiftLanes(o: Ops, lanes: number, kind: "shl" | "shr_u" | "shr_s", a: Val, count: Val): Val {
  const width = 128 / lanes;
  const name = `i${width}x${lanes}.${kind}`;
  const within = o.ltU(64, count, o.i64(width));
  const low = o.trunc(64, 32, count);
  if (kind === "shr_s") return o.code.op(name, a, o.select(within, low, o.i32(width - 1)));
  // WebAssembly takes the count modulo the width: the mask clears what an x86 count shifts out.
  const mask = o.code.op("i32x4.splat", o.sub(32, o.i32(0), within));
  return o.code.op("v128.and", o.code.op(name, a, low), mask);
}
const shiftByVector =
  (lanes: number, kind: "shl" | "shr_u" | "shr_s"): VectorOperation =>
  (o, a, b) =>
    shiftLanes(o, lanes, kind, a, o.code.lane("i64x2.extract_lane", 0, b));
const shiftByImmediate =
  (lanes: number, kind: "shl" | "shr_u" | "shr_s"): VectorOperation =>
  (o, a, count) =>
    shiftLanes(o, lanes, kind, a, o.zext(8, 64, count));
const mmxByImmediate =
  (operation: VectorOperation): Semantics =>
  (o, a, count) =>
    o.code.lane("i64x2.extract_lane", 0, operation(o, o.code.op("i64x2.splat", a), count));

const shiftRows = (
  [
    ["D1", "71 /2", "PSRLW", 8, "shr_u"],
    ["D2", "72 /2", "PSRLD", 4, "shr_u"],
    ["D3", "73 /2", "PSRLQ", 2, "shr_u"],
    ["E1", "71 /4", "PSRAW", 8, "shr_s"],
    ["E2", "72 /4", "PSRAD", 4, "shr_s"],
    ["F1", "71 /6", "PSLLW", 8, "shl"],
    ["F2", "72 /6", "PSLLD", 4, "shl"],
    ["F3", "73 /6", "PSLLQ", 2, "shl"],
  ] as const
).flatMap(([code, group, mnemonic, lanes, kind]) => [
  ...both(code, mnemonic, shiftByVector(lanes, kind), original),
  ins(`NP 0F ${group}`, `${mnemonic} Nq:rw Ib`, "", mmxByImmediate(shiftByImmediate(lanes, kind)), {
    feature: "mmx",
    unit: "mmx",
  }),
  ins(`66 0F ${group}`, `${mnemonic} Ux:rw Ib`, "", shiftByImmediate(lanes, kind), { feature: "sse2", unit: "sse" }),
]);

/** The even and odd lanes of two vectors, for horizontal operations. */
function evenOdd(o: Ops, bytes: 2 | 4, a: Val, b: Val): [even: Val, odd: Val] {
  const lanes = Array.from({ length: 16 }, (_, byte) => Math.floor(byte / bytes) * 2 * bytes + (byte % bytes));
  return [
    o.code.shuffle(a, b, lanes),
    o.code.shuffle(
      a,
      b,
      lanes.map((byte) => byte + bytes),
    ),
  ];
}
const horizontal =
  (bytes: 2 | 4, name: string): VectorOperation =>
  (o, a, b) =>
    o.code.op(name, ...evenOdd(o, bytes, a, b));

/** PMADDUBSW: unsigned bytes of the first operand times signed ones of the second, pairs added with saturation. */
const multiplyAddBytes: VectorOperation = (o, a, b) => {
  const { code } = o;
  const even = code.op(
    "i16x8.mul",
    code.op("v128.and", a, vectorConst(o, "i16x8", 0xff)),
    code.op("i16x8.shr_s", code.op("i16x8.shl", b, o.i32(8)), o.i32(8)),
  );
  const odd = code.op("i16x8.mul", code.op("i16x8.shr_u", a, o.i32(8)), code.op("i16x8.shr_s", b, o.i32(8)));
  return code.op("i16x8.add_sat_s", even, odd);
};

/** PMULHRSW: rounded; -1 times -1 wraps around to -1, where WebAssembly saturates. */
const multiplyRounded: VectorOperation = (o, a, b) => {
  const { code } = o;
  const isMinimum = (v: Val) => code.op("i16x8.eq", v, vectorConst(o, "i16x8", 0x8000));
  return code.op("v128.xor", code.op("i16x8.q15mulr_sat_s", a, b), code.op("v128.and", isMinimum(a), isMinimum(b)));
};

/** PSIGNx: negated where the second operand is negative, 0 where it is 0. */
const sign =
  (shape: string): VectorOperation =>
  (o, a, b) => {
    const { code } = o;
    const zero = vectorConst(o, "i8x16", 0);
    const negative = code.op(`${shape}.lt_s`, b, zero);
    const negated = code.op(`${shape}.sub`, code.op("v128.xor", a, negative), negative);
    return code.op("v128.andnot", negated, code.op(`${shape}.eq`, b, zero));
  };

/** PSHUFB: bit 7 of an index clears the byte. */
const shuffleBytes: VectorOperation = (o, a, b) =>
  o.code.op("i8x16.swizzle", a, o.code.op("v128.and", b, vectorConst(o, "i8x16", 0x8f)));
const mmxShuffleBytes: Semantics = (o, a, b) => onMmx(shuffleBytes)(o, a, o.and(64, b, o.i64(0x8787878787878787n)));

const horizontalRows = (
  [
    ["01", "PHADDW", 2, "i16x8.add"],
    ["02", "PHADDD", 4, "i32x4.add"],
    ["03", "PHADDSW", 2, "i16x8.add_sat_s"],
    ["05", "PHSUBW", 2, "i16x8.sub"],
    ["06", "PHSUBD", 4, "i32x4.sub"],
    ["07", "PHSUBSW", 2, "i16x8.sub_sat_s"],
  ] as const
).flatMap(([code, mnemonic, bytes, name]) => {
  const operation = horizontal(bytes, name);
  return both(`38 ${code}`, mnemonic, operation, withSsse3, onMmxJoined(operation));
});

const packRows = (
  [
    ["63", "PACKSSWB", "i8x16.narrow_i16x8_s"],
    ["67", "PACKUSWB", "i8x16.narrow_i16x8_u"],
    ["6B", "PACKSSDW", "i16x8.narrow_i32x4_s"],
  ] as const
).flatMap(([code, mnemonic, name]) => both(code, mnemonic, plain(name), original, onMmxJoined(plain(name))));

const absolute =
  (shape: string): VectorOperation =>
  (o, _a, b) =>
    o.code.op(`${shape}.abs`, b);
const absoluteRows = (
  [
    ["1C", "PABSB", "i8x16"],
    ["1D", "PABSW", "i16x8"],
    ["1E", "PABSD", "i32x4"],
  ] as const
).flatMap(([code, mnemonic, shape]) => [
  ins(`NP 0F 38 ${code} /r`, `${mnemonic} Pq:w Qq`, "", (o, v) => onMmx(absolute(shape))(o, v, v), {
    feature: "ssse3",
    unit: "mmx",
  }),
  ins(`66 0F 38 ${code} /r`, `${mnemonic} Vx:w Wx`, "", (o, v) => absolute(shape)(o, v, v), {
    feature: "ssse3",
    unit: "sse",
    aligned: true,
  }),
]);

/** Rows of integer arithmetic, logic, comparison, shifts and packing with an MMX and an XMM form. */
export const sseLaneRows: Row[] = [
  ...unpackRows,
  ...packRows,
  ...(
    [
      ["64", "PCMPGTB", "i8x16.gt_s"],
      ["65", "PCMPGTW", "i16x8.gt_s"],
      ["66", "PCMPGTD", "i32x4.gt_s"],
      ["74", "PCMPEQB", "i8x16.eq"],
      ["75", "PCMPEQW", "i16x8.eq"],
      ["76", "PCMPEQD", "i32x4.eq"],
      ["D5", "PMULLW", "i16x8.mul"],
      ["D8", "PSUBUSB", "i8x16.sub_sat_u"],
      ["D9", "PSUBUSW", "i16x8.sub_sat_u"],
      ["DB", "PAND", "v128.and"],
      ["DC", "PADDUSB", "i8x16.add_sat_u"],
      ["DD", "PADDUSW", "i16x8.add_sat_u"],
      ["E8", "PSUBSB", "i8x16.sub_sat_s"],
      ["E9", "PSUBSW", "i16x8.sub_sat_s"],
      ["EB", "POR", "v128.or"],
      ["EC", "PADDSB", "i8x16.add_sat_s"],
      ["ED", "PADDSW", "i16x8.add_sat_s"],
      ["EF", "PXOR", "v128.xor"],
      ["F5", "PMADDWD", "i32x4.dot_i16x8_s"],
      ["F8", "PSUBB", "i8x16.sub"],
      ["F9", "PSUBW", "i16x8.sub"],
      ["FA", "PSUBD", "i32x4.sub"],
      ["FC", "PADDB", "i8x16.add"],
      ["FD", "PADDW", "i16x8.add"],
      ["FE", "PADDD", "i32x4.add"],
    ] as const
  ).flatMap(([code, mnemonic, name]) => both(code, mnemonic, plain(name), original)),
  ...both("DF", "PANDN", (o, a, b) => o.code.op("v128.andnot", b, a), original),
  ...both("E5", "PMULHW", multiplyHigh("s"), original),
  ...shiftRows,
  ...(
    [
      ["DA", "PMINUB", "i8x16.min_u"],
      ["DE", "PMAXUB", "i8x16.max_u"],
      ["E0", "PAVGB", "i8x16.avgr_u"],
      ["E3", "PAVGW", "i16x8.avgr_u"],
      ["EA", "PMINSW", "i16x8.min_s"],
      ["EE", "PMAXSW", "i16x8.max_s"],
    ] as const
  ).flatMap(([code, mnemonic, name]) => both(code, mnemonic, plain(name), withSse)),
  ...both("E4", "PMULHUW", multiplyHigh("u"), withSse),
  ...both("F6", "PSADBW", sumOfDifferences, withSse),
  ...both("D4", "PADDQ", plain("i64x2.add"), withSse2),
  ...both("FB", "PSUBQ", plain("i64x2.sub"), withSse2),
  ...both("F4", "PMULUDQ", multiplyUnsigned, withSse2),
  ...both("6A", "PUNPCKHDQ", unpackHigh(4), original, mmxUnpackHigh(4)),
  ...both("69", "PUNPCKHWD", unpackHigh(2), original, mmxUnpackHigh(2)),
  ...both("68", "PUNPCKHBW", unpackHigh(1), original, mmxUnpackHigh(1)),
  ...both("38 00", "PSHUFB", shuffleBytes, withSsse3, mmxShuffleBytes),
  ...horizontalRows,
  ...both("38 04", "PMADDUBSW", multiplyAddBytes, withSsse3),
  ...both("38 08", "PSIGNB", sign("i8x16"), withSsse3),
  ...both("38 09", "PSIGNW", sign("i16x8"), withSsse3),
  ...both("38 0A", "PSIGND", sign("i32x4"), withSsse3),
  ...both("38 0B", "PMULHRSW", multiplyRounded, withSsse3),
  ...absoluteRows,
];
