import { type Ops, VECTOR } from "../semantics/ops.js";
import { highHalf, lowHalf, lowVector, pairVector, vectorConst } from "../semantics/vectors.js";
import { S } from "../state/layout.js";
import type { Feature } from "../table/features.js";
import { ins, type Options, type Row, type Semantics } from "../table/row.js";
import type { Val } from "../wasm/code.js";

// Data movement of MMX and SSE, the control register MXCSR, and hints.

const copy: Semantics = (_o, value) => value;
/** A load or register move that clears the rest of the destination. */
const clearing: Semantics = (o, value) => lowVector(o, value.type === "i64" ? value : o.zext(32, 64, value));
/** Stores a 32- or 64-bit general register into an MMX register, or back. */
const widened: Semantics = (o, value) => o.zext(o.w, 64, value);
const narrowed: Semantics = (o, value) => o.trunc(64, o.w, value);

const insertHigh: Semantics = (o, vector, high) => pairVector(o, lowHalf(o, vector), high);
const takeHigh: Semantics = (o, vector) => highHalf(o, vector);

const duplicate =
  (lanes: readonly number[]): Semantics =>
  (o, v) =>
    o.code.shuffle(
      v,
      v,
      lanes.flatMap((lane) => [0, 1, 2, 3].map((byte) => lane * 4 + byte)),
    );

const move = (encoding: string, syntax: string, feature: Feature, semantics: Semantics = copy, options: Options = {}) =>
  ins(encoding, syntax, "", semantics, { feature, unit: "sse", ...options });
const aligned: Options = { aligned: true };
const mmx: Options = { unit: "mmx" };

const signBits =
  (shape: string): Semantics =>
  (o, v) =>
    o.code.op(`${shape}.bitmask`, v);

/** LDMXCSR: reserved bits raise #GP(0). */
const loadMxcsr: Semantics = (o, value) => {
  o.raiseIf(o.nez(32, o.and(32, value, o.i32(~0xffff))), VECTOR.GP, 0);
  o.setState32(S.mxcsr, value);
};

const nothing: Semantics = () => undefined;

/** Takes the bytes of `value` whose mask is negative, the others from `old`. */
const masked: (o: Ops, value: Val, old: Val, mask: Val) => Val = (o, value, old, mask) =>
  o.code.op("v128.bitselect", value, old, o.code.op("i8x16.lt_s", mask, vectorConst(o, "i8x16", 0)));

/** MASKMOVQ and MASKMOVDQU: to [rDI], with a segment override. All bytes must be writable, also those not chosen. */
const maskedStore: Semantics = (o, value, mask) => {
  if (value.type === "v128") {
    const place = o.loadVectorForWrite(o.linearInSource(o.addressRegister(7), 16, true));
    return place.store(masked(o, value, place.value, mask));
  }
  const place = o.loadForWrite(64, o.linearInSource(o.addressRegister(7), 8, true));
  const wide = (v: Val) => o.code.op("i64x2.splat", v);
  place.store(lowHalf(o, masked(o, wide(value), wide(place.value), wide(mask))));
};

/** Moves of one kind that exist for packed single, packed double and integer operands. */
const wholeMoves = (
  [
    ["NP 0F 28", "NP 0F 29", "MOVAPS", "sse", true],
    ["66 0F 28", "66 0F 29", "MOVAPD", "sse2", true],
    ["66 0F 6F", "66 0F 7F", "MOVDQA", "sse2", true],
    ["NP 0F 10", "NP 0F 11", "MOVUPS", "sse", false],
    ["66 0F 10", "66 0F 11", "MOVUPD", "sse2", false],
    ["F3 0F 6F", "F3 0F 7F", "MOVDQU", "sse2", false],
  ] as const
).flatMap(([load, store, mnemonic, feature, isAligned]) => [
  move(`${load} /r`, `${mnemonic} Vx:w Wx`, feature, copy, { aligned: isAligned }),
  move(`${store} /r`, `${mnemonic} Wx:w Vx`, feature, copy, { aligned: isAligned }),
]);

const dataMoveRows: Row[] = [
  ...wholeMoves,
  move("F3 0F 10 /r", "MOVSS Vx:w Md", "sse", clearing),
  move("F3 0F 10 /r", "MOVSS Vd:w Ud", "sse"),
  move("F3 0F 11 /r", "MOVSS Wd:w Vd", "sse"),
  move("F2 0F 10 /r", "MOVSD Vx:w Mq", "sse2", clearing),
  move("F2 0F 10 /r", "MOVSD Vq:w Uq", "sse2"),
  move("F2 0F 11 /r", "MOVSD Wq:w Vq", "sse2"),
  move("NP 0F 12 /r", "MOVLPS Vq:w Mq", "sse"),
  move("NP 0F 12 /r", "MOVHLPS Vq:w Ux", "sse", takeHigh),
  move("NP 0F 13 /r", "MOVLPS Mq:w Vq", "sse"),
  move("66 0F 12 /r", "MOVLPD Vq:w Mq", "sse2"),
  move("66 0F 13 /r", "MOVLPD Mq:w Vq", "sse2"),
  move("NP 0F 16 /r", "MOVHPS Vx:rw Mq", "sse", insertHigh),
  move("NP 0F 16 /r", "MOVLHPS Vx:rw Uq", "sse", insertHigh),
  move("NP 0F 17 /r", "MOVHPS Mq:w Vx", "sse", takeHigh),
  move("66 0F 16 /r", "MOVHPD Vx:rw Mq", "sse2", insertHigh),
  move("66 0F 17 /r", "MOVHPD Mq:w Vx", "sse2", takeHigh),
  move("F3 0F 12 /r", "MOVSLDUP Vx:w Wx", "sse3", duplicate([0, 0, 2, 2]), aligned),
  move("F3 0F 16 /r", "MOVSHDUP Vx:w Wx", "sse3", duplicate([1, 1, 3, 3]), aligned),
  move("F2 0F 12 /r", "MOVDDUP Vx:w Wq", "sse3", (o, v) => o.code.op("i64x2.splat", v)),
  move("F2 0F F0 /r", "LDDQU Vx:w Mx", "sse3"),

  move("NP 0F 6E /r", "MOVD Pq:w Ey", "mmx", widened, mmx),
  move("NP 0F 7E /r", "MOVD Ey:w Pq", "mmx", narrowed, mmx),
  move("66 0F 6E /r", "MOVD Vx:w Ey", "sse2", clearing),
  move("66 0F 7E /r", "MOVD Ey:w Vq", "sse2", narrowed),
  move("NP 0F 6F /r", "MOVQ Pq:w Qq", "mmx", copy, mmx),
  move("NP 0F 7F /r", "MOVQ Qq:w Pq", "mmx", copy, mmx),
  move("F3 0F 7E /r", "MOVQ Vx:w Wq", "sse2", clearing),
  move("66 0F D6 /r", "MOVQ Mq:w Vq", "sse2"),
  move("66 0F D6 /r", "MOVQ Ux:w Vq", "sse2", clearing),
  move("F2 0F D6 /r", "MOVDQ2Q Pq:w Uq", "sse2", copy, mmx),
  move("F3 0F D6 /r", "MOVQ2DQ Vx:w Nq", "sse2", clearing, mmx),

  move("NP 0F 2B /r", "MOVNTPS Mx:w Vx", "sse", copy, aligned),
  move("66 0F 2B /r", "MOVNTPD Mx:w Vx", "sse2", copy, aligned),
  move("66 0F E7 /r", "MOVNTDQ Mx:w Vx", "sse2", copy, aligned),
  move("NP 0F E7 /r", "MOVNTQ Mq:w Pq", "sse", copy, mmx),
  move("66 0F 38 2A /r", "MOVNTDQA Vx:w Mx", "sse4.1", copy, aligned),

  move("NP 0F 50 /r", "MOVMSKPS Gd:w Ux", "sse", signBits("i32x4")),
  move("66 0F 50 /r", "MOVMSKPD Gd:w Ux", "sse2", signBits("i64x2")),
  move("66 0F D7 /r", "PMOVMSKB Gd:w Ux", "sse2", signBits("i8x16")),
  move("NP 0F D7 /r", "PMOVMSKB Gd:w Nq", "sse", (o, v) => signBits("i8x16")(o, lowVector(o, v)), mmx),

  move("NP 0F F7 /r", "MASKMOVQ Pq Nq", "sse", maskedStore, { ...mmx, addressSized: true }),
  move("66 0F F7 /r", "MASKMOVDQU Vx Ux", "sse2", maskedStore, { addressSized: true }),

  move("NP 0F AE /2", "LDMXCSR Md", "sse", loadMxcsr),
  move("NP 0F AE /3", "STMXCSR Md:w", "sse", (o) => o.state32(S.mxcsr)),
  // The register in r/m has no meaning.
  ins("NP 0F AE /5", "LFENCE Rd", "", nothing, { feature: "sse2" }),
  ins("NP 0F AE /6", "MFENCE Rd", "", nothing, { feature: "sse2" }),
  ins("NP 0F AE /7", "SFENCE Rd", "", nothing, { feature: "sse" }),

  // All registers become empty.
  ins(
    "NP 0F 77",
    "EMMS",
    "",
    (o) => {
      o.setState32(S.ftags, o.i32(0));
      o.setState32(S.ftop, o.i32(0));
    },
    { feature: "mmx", unit: "mmx" },
  ),
];

/** Hints that never fault and change nothing here; unassigned ones of the group likewise. */
const prefetchRows: Row[] = [
  ...["PREFETCHNTA", "PREFETCHT0", "PREFETCHT1", "PREFETCHT2", "NOP", "NOP", "NOP", "NOP"].map((mnemonic, digit) =>
    ins(`0F 18 /${digit}`, mnemonic, "", nothing),
  ),
  ins("0F 0D /0", "PREFETCH L", "", nothing, { feature: "prefetchw" }),
  ins("0F 0D /1", "PREFETCHW L", "", nothing, { feature: "prefetchw" }),
];

/** AND, OR, XOR and AND NOT of packed floating-point values, which are those of integers. */
const logicRows: Row[] = (
  [
    ["54", "AND", "v128.and"],
    ["55", "ANDN", "v128.andnot"],
    ["56", "OR", "v128.or"],
    ["57", "XOR", "v128.xor"],
  ] as const
).flatMap(([code, mnemonic, name]) => {
  const semantics: Semantics = (o, a, b) => (name === "v128.andnot" ? o.code.op(name, b, a) : o.code.op(name, a, b));
  return [
    move(`NP 0F ${code} /r`, `${mnemonic}PS Vx:rw Wx`, "sse", semantics, aligned),
    move(`66 0F ${code} /r`, `${mnemonic}PD Vx:rw Wx`, "sse2", semantics, aligned),
  ];
});

/** Rows of MMX and SSE data movement, bitwise logic on floating-point vectors, fences and prefetches. */
export const sseMoveRows: Row[] = [...dataMoveRows, ...prefetchRows, ...logicRows];
