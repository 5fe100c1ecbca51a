import type { Ops } from "../semantics/ops.js";
import {
  byteNumbers,
  highHalf,
  laneMask,
  lowHalf,
  lowVector,
  pairVector,
  plain,
  shiftBytesLeft,
  shiftBytesRight,
  type VectorOperation,
  vectorConst,
} from "../semantics/vectors.js";
import type { Feature } from "../table/features.js";
import { ins, type Row, type Semantics } from "../table/row.js";
import type { Val } from "../wasm/code.js";
import { unpackHigh, unpackLow } from "./sse-lanes.js";

// Integer operations that only XMM registers have, and shuffles by an immediate.

const xmm = (code: string, mnemonic: string, feature: Feature, semantics: Semantics, operands = "Vx:rw Wx"): Row =>
  ins(code, `${mnemonic} ${operands}`, "", semantics, { feature, unit: "sse", aligned: true });

/**
 * Lane numbers from a shuffle immediate, two bits each, as byte numbers for a swizzle: multiplying moves each field to
 * bits 6 and 7 of its lane.
 */
function shuffleControl(o: Ops, shape: "i32x4" | "i16x8", immediate: Val): Val {
  const { code } = o;
  const factors = shape === "i32x4" ? [64, 16, 4, 1] : [64, 16, 4, 1, 64, 16, 4, 1];
  const [perLane, first] = shape === "i32x4" ? [0x04040404, 0x03020100] : [0x0202, 0x0100];
  const moved = code.op(`${shape}.mul`, code.op(`${shape}.splat`, immediate), vectorConst(o, shape, factors));
  const field = code.op("v128.and", code.op(`${shape}.shr_u`, moved, o.i32(6)), vectorConst(o, shape, 3));
  const scaled = code.op(`${shape}.mul`, field, vectorConst(o, shape, perLane));
  return code.op(`${shape}.add`, scaled, vectorConst(o, shape, first));
}
const shuffleDoubles: Semantics = (o, source, immediate) =>
  o.code.op("i8x16.swizzle", source, shuffleControl(o, "i32x4", immediate));

const LOW_HALF = [-1n, 0n];
const shuffleLowWords: Semantics = (o, source, immediate) => {
  const control = shuffleControl(o, "i16x8", immediate);
  const low = o.code.op("i8x16.swizzle", source, control);
  return o.code.op("v128.bitselect", low, source, vectorConst(o, "i64x2", LOW_HALF));
};
const shuffleHighWords: Semantics = (o, source, immediate) => {
  const control = o.code.op("i8x16.add", shuffleControl(o, "i16x8", immediate), vectorConst(o, "i8x16", 8));
  const high = o.code.op("i8x16.swizzle", source, control);
  return o.code.op("v128.bitselect", source, high, vectorConst(o, "i64x2", LOW_HALF));
};
const mmxShuffleWords: Semantics = (o, source, immediate) =>
  lowHalf(o, shuffleLowWords(o, o.code.op("i64x2.splat", source), immediate) as Val);

/** SHUFPS: the low two lanes from the first operand, the high two from the second. */
const shufflePairs: Semantics = (o, a, b, immediate) => {
  const control = shuffleControl(o, "i32x4", immediate);
  const from = (v: Val) => o.code.op("i8x16.swizzle", v, control);
  return o.code.op("v128.bitselect", from(a), from(b), vectorConst(o, "i64x2", LOW_HALF));
};
const shuffleHalves: Semantics = (o, a, b, immediate) => {
  const pick = (v: Val, bit: number) => o.select(o.bit(8, immediate, bit), highHalf(o, v), lowHalf(o, v));
  return pairVector(o, pick(a, 0), pick(b, 1));
};

/** A byte count from an immediate, at most `limit`. */
const atMost = (o: Ops, count: Val, limit: number) => o.select(o.ltU(32, count, o.i32(limit)), count, o.i32(limit));

/** PALIGNR: 16 bytes of the second operand and the first above it, from byte `count` on. */
const alignRight: Semantics = (o, a, b, immediate) => {
  const { code } = o;
  const first = code.op("i8x16.add", byteNumbers(o), code.op("i8x16.splat", atMost(o, immediate, 32)));
  // An index of 16 or more gives 0, below 0 as well: each operand contributes only its own bytes.
  const high = code.op("i8x16.swizzle", a, code.op("i8x16.sub", first, vectorConst(o, "i8x16", 16)));
  return code.op("v128.or", code.op("i8x16.swizzle", b, first), high);
};
/** The MMX form shifts the joined operands, zeros above them. */
const mmxAlignRight: Semantics = (o, a, b, immediate) =>
  lowHalf(o, shiftBytesRight(o, pairVector(o, b, a), atMost(o, immediate, 16)));

/** PEXTRx and PINSRx: the lane number is an immediate, taken modulo the number of lanes. */
function extract(o: Ops, bytes: 1 | 2 | 4 | 8, source: Val, immediate: Val): Val {
  const lanes = 16 / bytes;
  const offset = o.shl(32, o.and(32, immediate, o.i32(lanes - 1)), Math.log2(bytes));
  const low = lowHalf(o, shiftBytesRight(o, source, offset));
  return o.trunc(64, (bytes * 8) as 8 | 16 | 32 | 64, low);
}
function insert(o: Ops, bytes: 1 | 2 | 4 | 8, vector: Val, value: Val, immediate: Val): Val {
  const { code } = o;
  const lanes = 16 / bytes;
  const shape = `i${bytes * 8}x${lanes}`;
  const offset = o.shl(32, o.and(32, immediate, o.i32(lanes - 1)), Math.log2(bytes));
  const mask = shiftBytesLeft(o, vectorConst(o, "i64x2", [(1n << BigInt(bytes * 8)) - 1n, 0n]), offset);
  return code.op("v128.bitselect", code.op(`${shape}.splat`, value), vector, mask);
}
const mmxExtract: Semantics = (o, source, immediate) =>
  extract(o, 2, o.code.op("i64x2.splat", source), o.and(32, immediate, o.i32(3)));
const mmxInsert: Semantics = (o, vector, value, immediate) =>
  lowHalf(o, insert(o, 2, o.code.op("i64x2.splat", vector), value, o.and(32, immediate, o.i32(3))));

/** INSERTPS: lane bits 7-6 of the source (0 for memory) to lane bits 5-4, then lanes of bits 3-0 cleared. */
const insertSingle: Semantics = (o, vector, source, immediate) => {
  const field = (shift: number) => o.and(32, o.shrU(32, immediate, shift), o.i32(3));
  const value = source.type === "v128" ? extract(o, 4, source, field(6)) : source;
  const inserted = insert(o, 4, vector, value, field(4));
  return o.code.op("v128.andnot", inserted, laneMask(o, "i32x4", immediate));
};

const blendImmediate =
  (shape: "i16x8" | "i32x4" | "i64x2"): Semantics =>
  (o, a, b, immediate) =>
    o.code.op("v128.bitselect", b, a, laneMask(o, shape, immediate));
const blendVariable =
  (shape: "i8x16" | "i32x4" | "i64x2"): Semantics =>
  (o, a, b) => {
    const signs = o.code.op(`${shape}.lt_s`, o.xmm(0), vectorConst(o, "i8x16", 0));
    return o.code.op("v128.bitselect", b, a, signs);
  };

/** MPSADBW: eight sums of four absolute differences, of sliding bytes of the first with four of the second operand. */
const slidingDifferences: Semantics = (o, a, b, immediate) => {
  const { code } = o;
  const slide = o.and(32, immediate, o.i32(4));
  const block = o.shl(32, o.and(32, immediate, o.i32(3)), 2);
  const words = (v: Val) => code.op("i16x8.extend_low_i8x16_u", v);
  let sum: Val | undefined;
  for (let byte = 0; byte < 4; byte++) {
    const sliding = words(shiftBytesRight(o, a, o.add(32, slide, o.i32(byte))));
    const fixed = words(code.op("i8x16.swizzle", b, code.op("i8x16.splat", o.add(32, block, o.i32(byte)))));
    const difference = code.op("i16x8.abs", code.op("i16x8.sub", sliding, fixed));
    sum = sum ? code.op("i16x8.add", sum, difference) : difference;
  }
  return sum;
};

/** PHMINPOSUW: the smallest unsigned word and the number of its first lane. */
const minimumWord: Semantics = (o, source) => {
  let best: Val | undefined;
  for (let lane = 0; lane < 8; lane++) {
    const word = o.code.lane("i16x8.extract_lane_u", lane, source);
    const keyed = o.or(32, o.shl(32, word, 3), o.i32(lane));
    best = best ? o.select(o.ltU(32, keyed, best), keyed, best) : keyed;
  }
  const packed = o.or(32, o.shl(32, o.and(32, best!, o.i32(7)), 16), o.shrU(32, best!, 3));
  return lowVector(o, o.zext(32, 64, packed));
};

/** PTEST: ZF from a AND b, CF from NOT a AND b. */
const test: Semantics = (o, a, b) => {
  const none = (v: Val) => o.isNot(o.code.op("v128.any_true", v));
  const zero = none(o.code.op("v128.and", a, b));
  const carry = none(o.code.op("v128.andnot", b, a));
  o.setImage(o.or(32, o.shl(32, zero, 6), carry));
};

/** PMULDQ: the low 32 bits of each 64-bit lane, multiplied signed. */
const multiplySigned: VectorOperation = (o, a, b) => {
  const low = (v: Val) => o.code.op("i64x2.shr_s", o.code.op("i64x2.shl", v, o.i32(32)), o.i32(32));
  return o.code.op("i64x2.mul", low(a), low(b));
};

/** PMOVSXxx and PMOVZXxx by repeated widening from the low lanes. */
const widen =
  (steps: readonly ("8" | "16" | "32")[], sign: "s" | "u"): Semantics =>
  (o, source) => {
    const wide = source.type === "i64" ? source : o.zext(32, 64, source);
    return steps.reduce(
      (vector, from) => {
        const bits = Number(from);
        return o.code.op(`i${bits * 2}x${64 / bits}.extend_low_i${bits}x${128 / bits}_${sign}`, vector);
      },
      lowVector(o, wide),
    );
  };
const widenRows = (
  [
    ["0", "BW", "Wq", ["8"]],
    ["1", "BD", "Wd", ["8", "16"]],
    ["2", "BQ", "Ww", ["8", "16", "32"]],
    ["3", "WD", "Wq", ["16"]],
    ["4", "WQ", "Wd", ["16", "32"]],
    ["5", "DQ", "Wq", ["32"]],
  ] as const
).flatMap(([digit, name, source, steps]) => [
  xmm(`66 0F 38 2${digit} /r`, `PMOVSX${name}`, "sse4.1", widen(steps, "s"), `Vx:w ${source}`),
  xmm(`66 0F 38 3${digit} /r`, `PMOVZX${name}`, "sse4.1", widen(steps, "u"), `Vx:w ${source}`),
]);

/** Rows of XMM integer operations without an MMX form, and of shuffles, insertions and extractions. */
export const sseIntegerRows: Row[] = [
  ins("NP 0F 70 /r", "PSHUFW Pq:w Qq Ib", "", mmxShuffleWords, { feature: "sse", unit: "mmx" }),
  xmm("66 0F 70 /r", "PSHUFD", "sse2", shuffleDoubles, "Vx:w Wx Ib"),
  xmm("F3 0F 70 /r", "PSHUFHW", "sse2", shuffleHighWords, "Vx:w Wx Ib"),
  xmm("F2 0F 70 /r", "PSHUFLW", "sse2", shuffleLowWords, "Vx:w Wx Ib"),
  xmm("NP 0F C6 /r", "SHUFPS", "sse", shufflePairs, "Vx:rw Wx Ib"),
  xmm("66 0F C6 /r", "SHUFPD", "sse2", shuffleHalves, "Vx:rw Wx Ib"),
  xmm("NP 0F 14 /r", "UNPCKLPS", "sse", unpackLow(4)),
  xmm("66 0F 14 /r", "UNPCKLPD", "sse2", unpackLow(8)),
  xmm("NP 0F 15 /r", "UNPCKHPS", "sse", unpackHigh(4)),
  xmm("66 0F 15 /r", "UNPCKHPD", "sse2", unpackHigh(8)),
  xmm("66 0F 6C /r", "PUNPCKLQDQ", "sse2", unpackLow(8)),
  xmm("66 0F 6D /r", "PUNPCKHQDQ", "sse2", unpackHigh(8)),
  xmm("66 0F 73 /3", "PSRLDQ", "sse2", (o, a, count) => shiftBytesRight(o, a, atMost(o, count, 16)), "Ux:rw Ib"),
  xmm("66 0F 73 /7", "PSLLDQ", "sse2", (o, a, count) => shiftBytesLeft(o, a, atMost(o, count, 16)), "Ux:rw Ib"),
  ins("NP 0F 3A 0F /r", "PALIGNR Pq:rw Qq Ib", "", mmxAlignRight, { feature: "ssse3", unit: "mmx" }),
  xmm("66 0F 3A 0F /r", "PALIGNR", "ssse3", alignRight, "Vx:rw Wx Ib"),

  ins("NP 0F C4 /r", "PINSRW Pq:rw Ew Ib", "", mmxInsert, { feature: "sse", unit: "mmx" }),
  xmm("66 0F C4 /r", "PINSRW", "sse2", (o, v, x, i) => insert(o, 2, v, x, i), "Vx:rw Ew Ib"),
  ins("NP 0F C5 /r", "PEXTRW Gd:w Nq Ib", "", mmxExtract, { feature: "sse", unit: "mmx" }),
  xmm("66 0F C5 /r", "PEXTRW", "sse2", (o, v, i) => extract(o, 2, v, i), "Gd:w Ux Ib"),
  // Register forms always mean the low byte of a 32-bit register.
  xmm("66 0F 3A 14 /r", "PEXTRB", "sse4.1", (o, v, i) => extract(o, 1, v, i), "Mb:w Vx Ib"),
  xmm("66 0F 3A 14 /r", "PEXTRB", "sse4.1", (o, v, i) => extract(o, 1, v, i), "Rd:w Vx Ib"),
  xmm("66 0F 3A 15 /r", "PEXTRW", "sse4.1", (o, v, i) => extract(o, 2, v, i), "Mw:w Vx Ib"),
  xmm("66 0F 3A 15 /r", "PEXTRW", "sse4.1", (o, v, i) => extract(o, 2, v, i), "Rd:w Vx Ib"),
  xmm("66 0F 3A 16 /r", "PEXTRD", "sse4.1", (o, v, i) => extract(o, o.w === 64 ? 8 : 4, v, i), "Ey:w Vx Ib"),
  xmm("66 0F 3A 17 /r", "EXTRACTPS", "sse4.1", (o, v, i) => extract(o, 4, v, i), "Ed:w Vx Ib"),
  xmm("66 0F 3A 20 /r", "PINSRB", "sse4.1", (o, v, x, i) => insert(o, 1, v, x, i), "Vx:rw Mb Ib"),
  xmm("66 0F 3A 20 /r", "PINSRB", "sse4.1", (o, v, x, i) => insert(o, 1, v, x, i), "Vx:rw Rd Ib"),
  xmm("66 0F 3A 21 /r", "INSERTPS", "sse4.1", insertSingle, "Vx:rw Md Ib"),
  xmm("66 0F 3A 21 /r", "INSERTPS", "sse4.1", insertSingle, "Vx:rw Ux Ib"),
  xmm("66 0F 3A 22 /r", "PINSRD", "sse4.1", (o, v, x, i) => insert(o, o.w === 64 ? 8 : 4, v, x, i), "Vx:rw Ey Ib"),

  xmm("66 0F 38 10 /r", "PBLENDVB", "sse4.1", blendVariable("i8x16")),
  xmm("66 0F 38 14 /r", "BLENDVPS", "sse4.1", blendVariable("i32x4")),
  xmm("66 0F 38 15 /r", "BLENDVPD", "sse4.1", blendVariable("i64x2")),
  xmm("66 0F 3A 0C /r", "BLENDPS", "sse4.1", blendImmediate("i32x4"), "Vx:rw Wx Ib"),
  xmm("66 0F 3A 0D /r", "BLENDPD", "sse4.1", blendImmediate("i64x2"), "Vx:rw Wx Ib"),
  xmm("66 0F 3A 0E /r", "PBLENDW", "sse4.1", blendImmediate("i16x8"), "Vx:rw Wx Ib"),
  ins("66 0F 38 17 /r", "PTEST Vx Wx", "00M00M", test, { feature: "sse4.1", unit: "sse", aligned: true }),

  ...widenRows,
  xmm("66 0F 38 28 /r", "PMULDQ", "sse4.1", multiplySigned),
  xmm("66 0F 38 29 /r", "PCMPEQQ", "sse4.1", plain("i64x2.eq")),
  xmm("66 0F 38 2B /r", "PACKUSDW", "sse4.1", plain("i16x8.narrow_i32x4_u")),
  xmm("66 0F 38 37 /r", "PCMPGTQ", "sse4.2", plain("i64x2.gt_s")),
  xmm("66 0F 38 38 /r", "PMINSB", "sse4.1", plain("i8x16.min_s")),
  xmm("66 0F 38 39 /r", "PMINSD", "sse4.1", plain("i32x4.min_s")),
  xmm("66 0F 38 3A /r", "PMINUW", "sse4.1", plain("i16x8.min_u")),
  xmm("66 0F 38 3B /r", "PMINUD", "sse4.1", plain("i32x4.min_u")),
  xmm("66 0F 38 3C /r", "PMAXSB", "sse4.1", plain("i8x16.max_s")),
  xmm("66 0F 38 3D /r", "PMAXSD", "sse4.1", plain("i32x4.max_s")),
  xmm("66 0F 38 3E /r", "PMAXUW", "sse4.1", plain("i16x8.max_u")),
  xmm("66 0F 38 3F /r", "PMAXUD", "sse4.1", plain("i32x4.max_u")),
  xmm("66 0F 38 40 /r", "PMULLD", "sse4.1", plain("i32x4.mul")),
  xmm("66 0F 38 41 /r", "PHMINPOSUW", "sse4.1", minimumWord, "Vx:w Wx"),
  xmm("66 0F 3A 42 /r", "MPSADBW", "sse4.1", slidingDifferences, "Vx:rw Wx Ib"),
];
