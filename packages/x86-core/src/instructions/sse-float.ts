import type { Ops } from "../semantics/ops.js";
import { arithmeticCode, FLOAT_FORMATS, type FloatFormat, type FloatOperation } from "../semantics/sse-codes.js";
import {
  allTrue,
  fastOr,
  floatConst,
  helperResult,
  inexactIsSilent,
  isOrdinary,
  isPacked,
  isSafeResult,
  isZero,
  maskAnd,
  maskOr,
  ordinaryMode,
  roundingMode,
  toBits,
  toFloat,
} from "../semantics/sse-float.js";
import { vectorConst } from "../semantics/vectors.js";
import type { Feature } from "../table/features.js";
import { ins, type Row, type Semantics } from "../table/row.js";
import type { Val } from "../wasm/code.js";

const single = { unit: "sse", feature: "sse" } as const;
const double = { unit: "sse", feature: "sse2" } as const;
const aligned = { aligned: true } as const;

/** The four forms of one operation. */
function forms(
  code: string,
  mnemonic: string,
  semantics: (format: FloatFormat) => Semantics,
  access: "w" | "rw",
): Row[] {
  return [
    ins(`NP 0F ${code} /r`, `${mnemonic}PS Vx:${access} Wx`, "", semantics("f32x4"), { ...single, ...aligned }),
    ins(`66 0F ${code} /r`, `${mnemonic}PD Vx:${access} Wx`, "", semantics("f64x2"), { ...double, ...aligned }),
    ins(`F3 0F ${code} /r`, `${mnemonic}SS Vd:${access} Wd`, "", semantics("f32"), single),
    ins(`F2 0F ${code} /r`, `${mnemonic}SD Vq:${access} Wq`, "", semantics("f64"), double),
  ];
}

function viaHelper(o: Ops, operation: FloatOperation, format: FloatFormat, a: Val, b: Val): Val {
  o.call("sseArithmetic", o.i32(arithmeticCode(operation, format)), a, b);
  return helperResult(o, format);
}

/** ADD, SUB, MUL, DIV on already arranged operands; `fastB` is the second operand of the fast path. */
function compute(
  o: Ops,
  operation: "add" | "sub" | "mul" | "div",
  format: FloatFormat,
  a: Val,
  b: Val,
  slow: FloatOperation = operation,
  fastB = b,
): Val {
  const x = toFloat(o, format, a);
  const y = toFloat(o, format, fastB);
  const r = o.code.op(`${format}.${operation}`, x, y);
  const zero = (v: Val) => isZero(o, format, v);
  // A sum of numbers is 0 only exactly; a product or quotient of numbers may have vanished.
  const exactZero = operation === "mul" ? maskOr(o, zero(x), zero(y)) : operation === "div" ? zero(x) : undefined;
  const zeroResult = exactZero ? maskAnd(o, exactZero, zero(r)) : zero(r);
  const operands = maskAnd(o, isOrdinary(o, format, x), isOrdinary(o, format, y));
  const fine = maskAnd(o, operands, maskOr(o, isSafeResult(o, format, r), zeroResult));
  const condition = o.both(ordinaryMode(o), allTrue(o, fine));
  return fastOr(o, condition, toBits(o, format, r), () => viaHelper(o, slow, format, a, b));
}
const arithmetic =
  (operation: "add" | "sub" | "mul" | "div") =>
  (format: FloatFormat): Semantics =>
  (o, a, b) =>
    compute(o, operation, format, a, b);

const squareRoot =
  (format: FloatFormat): Semantics =>
  (o, a) => {
    const x = toFloat(o, format, a);
    const r = o.code.op(`${format}.sqrt`, x);
    const fine = maskAnd(o, isOrdinary(o, format, x), maskOr(o, isSafeResult(o, format, r), isZero(o, format, x)));
    const condition = o.both(ordinaryMode(o), allTrue(o, fine));
    return fastOr(o, condition, toBits(o, format, r), () => viaHelper(o, "sqrt", format, a, a));
  };

/** MIN and MAX: the second operand when both are zeros; NaNs and denormals raise flags. */
const extreme =
  (operation: "min" | "max") =>
  (format: FloatFormat): Semantics =>
  (o, a, b) => {
    const x = toFloat(o, format, a);
    const y = toFloat(o, format, b);
    const fine = allTrue(o, maskAnd(o, isOrdinary(o, format, x), isOrdinary(o, format, y)));
    const name = operation === "min" ? "lt" : "gt";
    const first = o.code.op(`${format}.${name}`, x, y);
    const chosen = isPacked(format) ? o.code.op("v128.bitselect", a, b, first) : o.select(first, a, b);
    return fastOr(o, fine, chosen, () => viaHelper(o, operation, format, a, b));
  };

/** CMPxx: immediate bits 0-1 choose equal, less, less or equal, unordered; bit 2 inverts. */
const compare =
  (format: FloatFormat): Semantics =>
  (o, a, b, immediate) => {
    const { code } = o;
    const x = toFloat(o, format, a);
    const y = toFloat(o, format, b);
    const fine = allTrue(o, maskAnd(o, isOrdinary(o, format, x), isOrdinary(o, format, y)));
    const equal = code.op(`${format}.eq`, x, y);
    const less = code.op(`${format}.lt`, x, y);
    const wantEqual = o.isNot(o.bit(8, immediate, 0));
    const wantLess = o.differ(o.bit(8, immediate, 0), o.bit(8, immediate, 1));
    const invert = o.bit(8, immediate, 2);
    const spread = (condition: Val) => code.op("i32x4.splat", o.sub(32, o.i32(0), condition));
    let mask: Val;
    if (isPacked(format)) {
      const chosen = code.op(
        "v128.or",
        code.op("v128.and", equal, spread(wantEqual)),
        code.op("v128.and", less, spread(wantLess)),
      );
      mask = code.op("v128.xor", chosen, spread(invert));
    } else {
      const holds = o.differ(o.either(o.both(equal, wantEqual), o.both(less, wantLess)), invert);
      const bits = o.sub(32, o.i32(0), holds);
      mask = format === "f32" ? bits : o.sext(32, 64, bits);
    }
    return fastOr(o, fine, mask, () => {
      const kind = o.or(32, o.shl(32, o.and(32, immediate, o.i32(7)), 2), o.i32(FLOAT_FORMATS.indexOf(format)));
      o.call("sseCompare", kind, a, b);
      return helperResult(o, format);
    });
  };

/** COMISx and UCOMISx: CF less, ZF equal, all of ZF PF CF unordered. */
const order =
  (format: "f32" | "f64", signaling: boolean): Semantics =>
  (o, a, b) => {
    const x = toFloat(o, format, a);
    const y = toFloat(o, format, b);
    const fine = o.both(isOrdinary(o, format, x), isOrdinary(o, format, y));
    const equal = o.code.op(`${format}.eq`, x, y);
    const image = o.or(32, o.shl(32, equal, 6), o.code.op(`${format}.lt`, x, y));
    o.setImage(
      fastOr(o, fine, image, () => {
        o.call("sseOrder", o.i32(FLOAT_FORMATS.indexOf(format) | (signaling ? 4 : 0)), a, b);
        return o.result(32);
      }),
    );
  };

/** Even and odd elements of two vectors. */
const EVEN = { f32x4: [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27], f64x2: [0, 1, 2, 3, 4, 5, 6, 7] };
const evenLanes = (format: "f32x4" | "f64x2") =>
  format === "f32x4" ? EVEN.f32x4 : [...EVEN.f64x2, ...EVEN.f64x2.map((byte) => byte + 16)];
const horizontal =
  (operation: "add" | "sub", format: "f32x4" | "f64x2"): Semantics =>
  (o, a, b) => {
    const even = evenLanes(format);
    const odd = even.map((byte) => byte + (format === "f32x4" ? 4 : 8));
    return compute(o, operation, format, o.code.shuffle(a, b, even), o.code.shuffle(a, b, odd));
  };
/** ADDSUBPx: even elements are subtracted, odd ones added. */
const addSubtract =
  (format: "f32x4" | "f64x2"): Semantics =>
  (o, a, b) => {
    const signs =
      format === "f32x4" ? vectorConst(o, "i64x2", 0x80000000n) : vectorConst(o, "i64x2", [0x8000000000000000n, 0n]);
    return compute(o, "add", format, a, b, "addsub", o.code.op("v128.xor", b, signs));
  };

/** ROUNDxx: immediate bits 0-1 rounding, or MXCSR's with bit 2; bit 3 suppresses PE. */
const round =
  (format: FloatFormat): Semantics =>
  (o, a, immediate) => {
    const x = toFloat(o, format, a);
    const mode = o.select(o.bit(8, immediate, 2), roundingMode(o), o.and(32, immediate, o.i32(3)));
    const silent = o.either(o.bit(8, immediate, 3), inexactIsSilent(o, false));
    const fine = o.both(silent, allTrue(o, isOrdinary(o, format, x)));
    const result = o.code.variable(a.type);
    o.if(
      fine,
      () => {
        const choose = (bit: number, one: () => void, zero: () => void) => o.if(o.bit(32, mode, bit), one, zero);
        const by = (name: string) => () => result.set(toBits(o, format, o.code.op(`${format}.${name}`, x)));
        choose(
          1,
          () => choose(0, by("trunc"), by("ceil")),
          () => choose(0, by("floor"), by("nearest")),
        );
      },
      () => {
        o.call("sseRound", o.i32(FLOAT_FORMATS.indexOf(format)), a, immediate);
        result.set(helperResult(o, format));
      },
    );
    return result.get();
  };

const dotProduct =
  (format: "f32x4" | "f64x2"): Semantics =>
  (o, a, b, immediate) => {
    o.call("sseDotProduct", o.i32(FLOAT_FORMATS.indexOf(format)), a, b, immediate);
    return o.resultVector();
  };

/**
 * RCPxx and RSQRTxx: approximations of 12 bits without exceptions. Denormals count as zeros, tiny results become zeros,
 * NaNs are made quiet; RSQRT of a negative number is the default NaN. See DIVERGENCES.md about the approximated bits.
 */
function approximate(o: Ops, root: boolean, a: Val): Val {
  const { code } = o;
  const sign = code.op("v128.and", a, floatConst(o, "f32x4", -0));
  const size = code.op("f32x4.abs", a);
  const normal = code.op("f32x4.ge", size, floatConst(o, "f32x4", 2 ** -126));
  const flushed = code.op("v128.or", code.op("v128.and", a, normal), sign);
  const one = floatConst(o, "f32x4", 1);
  const exact = code.op("f32x4.div", one, root ? code.op("f32x4.sqrt", flushed) : flushed);
  const kept = code.op(
    "v128.and",
    code.op("i32x4.add", exact, vectorConst(o, "i32x4", 0x400)),
    vectorConst(o, "i32x4", 0xfffff800),
  );
  const tiny = code.op("f32x4.lt", code.op("f32x4.abs", kept), floatConst(o, "f32x4", 2 ** -126));
  const result = code.op("v128.bitselect", sign, kept, tiny);
  const quiet = code.op("v128.or", a, vectorConst(o, "i32x4", 0x400000));
  const isNan = code.op("f32x4.ne", a, a);
  if (!root) return code.op("v128.bitselect", quiet, result, isNan);
  const negative = code.op("f32x4.lt", flushed, floatConst(o, "f32x4", 0));
  const valid = code.op("v128.bitselect", vectorConst(o, "i32x4", 0xffc00000), result, negative);
  return code.op("v128.bitselect", quiet, valid, isNan);
}
const packedApproximation =
  (root: boolean): Semantics =>
  (o, a) =>
    approximate(o, root, a);
const scalarApproximation =
  (root: boolean): Semantics =>
  (o, a) =>
    o.code.lane("i32x4.extract_lane", 0, approximate(o, root, o.code.op("i32x4.splat", a)));

const sse3 = { unit: "sse", feature: "sse3", aligned: true } as const;
/** OF SF AF are cleared. */
const COMI = "00M0MM";
const sse41: { unit: "sse"; feature: Feature } = { unit: "sse", feature: "sse4.1" };

/** Rows of SSE floating-point arithmetic, comparison and rounding. */
export const sseFloatRows: Row[] = [
  ...forms("51", "SQRT", squareRoot, "w"),
  ...forms("58", "ADD", arithmetic("add"), "rw"),
  ...forms("59", "MUL", arithmetic("mul"), "rw"),
  ...forms("5C", "SUB", arithmetic("sub"), "rw"),
  ...forms("5D", "MIN", extreme("min"), "rw"),
  ...forms("5E", "DIV", arithmetic("div"), "rw"),
  ...forms("5F", "MAX", extreme("max"), "rw"),
  ins("NP 0F C2 /r", "CMPPS Vx:rw Wx Ib", "", compare("f32x4"), { ...single, ...aligned }),
  ins("66 0F C2 /r", "CMPPD Vx:rw Wx Ib", "", compare("f64x2"), { ...double, ...aligned }),
  ins("F3 0F C2 /r", "CMPSS Vd:rw Wd Ib", "", compare("f32"), single),
  ins("F2 0F C2 /r", "CMPSD Vq:rw Wq Ib", "", compare("f64"), double),
  ins("NP 0F 2E /r", "UCOMISS Vd Wd", COMI, order("f32", false), single),
  ins("66 0F 2E /r", "UCOMISD Vq Wq", COMI, order("f64", false), double),
  ins("NP 0F 2F /r", "COMISS Vd Wd", COMI, order("f32", true), single),
  ins("66 0F 2F /r", "COMISD Vq Wq", COMI, order("f64", true), double),
  ins("NP 0F 52 /r", "RSQRTPS Vx:w Wx", "", packedApproximation(true), { ...single, ...aligned }),
  ins("F3 0F 52 /r", "RSQRTSS Vd:w Wd", "", scalarApproximation(true), single),
  ins("NP 0F 53 /r", "RCPPS Vx:w Wx", "", packedApproximation(false), { ...single, ...aligned }),
  ins("F3 0F 53 /r", "RCPSS Vd:w Wd", "", scalarApproximation(false), single),
  ins("F2 0F 7C /r", "HADDPS Vx:rw Wx", "", horizontal("add", "f32x4"), sse3),
  ins("66 0F 7C /r", "HADDPD Vx:rw Wx", "", horizontal("add", "f64x2"), sse3),
  ins("F2 0F 7D /r", "HSUBPS Vx:rw Wx", "", horizontal("sub", "f32x4"), sse3),
  ins("66 0F 7D /r", "HSUBPD Vx:rw Wx", "", horizontal("sub", "f64x2"), sse3),
  ins("F2 0F D0 /r", "ADDSUBPS Vx:rw Wx", "", addSubtract("f32x4"), sse3),
  ins("66 0F D0 /r", "ADDSUBPD Vx:rw Wx", "", addSubtract("f64x2"), sse3),
  ins("66 0F 3A 08 /r", "ROUNDPS Vx:w Wx Ib", "", round("f32x4"), { ...sse41, ...aligned }),
  ins("66 0F 3A 09 /r", "ROUNDPD Vx:w Wx Ib", "", round("f64x2"), { ...sse41, ...aligned }),
  ins("66 0F 3A 0A /r", "ROUNDSS Vd:w Wd Ib", "", round("f32"), sse41),
  ins("66 0F 3A 0B /r", "ROUNDSD Vq:w Wq Ib", "", round("f64"), sse41),
  ins("66 0F 3A 40 /r", "DPPS Vx:rw Wx Ib", "", dotProduct("f32x4"), { ...sse41, ...aligned }),
  ins("66 0F 3A 41 /r", "DPPD Vx:rw Wx Ib", "", dotProduct("f64x2"), { ...sse41, ...aligned }),
];
