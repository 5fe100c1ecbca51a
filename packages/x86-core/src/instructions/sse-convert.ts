import type { Ops } from "../semantics/ops.js";
import { type ConversionName, conversionCode } from "../semantics/sse-codes.js";
import {
  allTrue,
  fastOr,
  inexactIsSilent,
  isBelow,
  isOrdinary,
  isSafeResult,
  isZero,
  maskAnd,
  maskOr,
  ordinaryMode,
  toBits,
  toFloat,
} from "../semantics/sse-float.js";
import { lowHalf, lowVector } from "../semantics/vectors.js";
import { ins, type Row, type Semantics } from "../table/row.js";
import type { Val } from "../wasm/code.js";

function convertByHelper(o: Ops, name: ConversionName, source: Val, result: "i32" | "i64" | "v128"): Val {
  o.call("sseConvert", o.i32(conversionCode(name)), source);
  return result === "v128" ? o.resultVector() : o.result(result === "i32" ? 32 : 64);
}

/** The conversion to a general register is that to 64 bits with REX.W. */
const bySize = (o: Ops, name: "CVTSS2SI" | "CVTSD2SI" | "CVTTSS2SI" | "CVTTSD2SI" | "CVTSI2SS"): ConversionName =>
  o.w === 64 ? `${name}Q` : name;

/** CVT(T)SS2SI and CVT(T)SD2SI. */
const toInteger =
  (format: "f32" | "f64", truncate: boolean): Semantics =>
  (o, source) => {
    const { code } = o;
    const type = o.w === 64 ? "i64" : "i32";
    const x = toFloat(o, format, source);
    const rounded = truncate ? x : code.op(`${format}.nearest`, x);
    // Whether the limit itself fits does not matter: the slow path decides there.
    const inRange = isBelow(o, format, rounded, o.w === 64 ? 2 ** 63 : 2 ** 31);
    const fast = code.op(`${type}.trunc_sat_${format}_s`, rounded);
    const name = bySize(
      o,
      format === "f32" ? (truncate ? "CVTTSS2SI" : "CVTSS2SI") : truncate ? "CVTTSD2SI" : "CVTSD2SI",
    );
    const condition = o.both(inexactIsSilent(o, !truncate), inRange);
    return fastOr(o, condition, fast, () => convertByHelper(o, name, source, type));
  };

/** CVTSI2SS, and CVTSI2SD from 64 bits: may be inexact. */
const singleFromInteger: Semantics = (o, source) => {
  const fast = o.code.op("i32.reinterpret_f32", o.code.op(`f32.convert_i${o.w}_s`, source));
  return fastOr(o, inexactIsSilent(o, true), fast, () => convertByHelper(o, bySize(o, "CVTSI2SS"), source, "i32"));
};
const doubleFromInteger: Semantics = (o, source) => {
  const fast = o.code.op("i64.reinterpret_f64", o.code.op(`f64.convert_i${o.w}_s`, source));
  if (o.w === 32) return fast;
  return fastOr(o, inexactIsSilent(o, true), fast, () => convertByHelper(o, "CVTSI2SDQ", source, "i64"));
};

const widenSingle: Semantics = (o, source) => {
  const x = toFloat(o, "f32", source);
  const fast = o.code.op("i64.reinterpret_f64", o.code.op("f64.promote_f32", x));
  return fastOr(o, isOrdinary(o, "f32", x), fast, () => convertByHelper(o, "CVTSS2SD", source, "i64"));
};
const widenPair: Semantics = (o, source) => {
  const x = lowVector(o, source);
  const fast = o.code.op("f64x2.promote_low_f32x4", x);
  return fastOr(o, allTrue(o, isOrdinary(o, "f32x4", x)), fast, () => convertByHelper(o, "CVTPS2PD", source, "v128"));
};
const narrowDouble: Semantics = (o, source) => {
  const x = toFloat(o, "f64", source);
  const r = o.code.op("f32.demote_f64", x);
  const fine = maskOr(o, isSafeResult(o, "f32", r), isZero(o, "f64", x));
  const condition = o.both(ordinaryMode(o), fine);
  return fastOr(o, condition, toBits(o, "f32", r), () => convertByHelper(o, "CVTSD2SS", source, "i32"));
};
const narrowPair: Semantics = (o, source) => {
  const r = o.code.op("f32x4.demote_f64x2_zero", source);
  const again = o.code.op("f64x2.promote_low_f32x4", r);
  // Judged on the result, widened so that its lanes stand beside those of the source.
  const limits = isSafeResult(o, "f64x2", again);
  const above = o.code.op(
    "f64x2.gt",
    o.code.op("f64x2.abs", again),
    o.code.op("f64x2.splat", o.code.constant("f64", 2 ** -126)),
  );
  const fine = maskOr(o, maskAnd(o, limits, above), isZero(o, "f64x2", source));
  const condition = o.both(ordinaryMode(o), allTrue(o, fine));
  return fastOr(o, condition, r, () => convertByHelper(o, "CVTPD2PS", source, "v128"));
};

const singlesFromIntegers: Semantics = (o, source) =>
  fastOr(o, inexactIsSilent(o, true), o.code.op("f32x4.convert_i32x4_s", source), () =>
    convertByHelper(o, "CVTDQ2PS", source, "v128"),
  );
const doublesFromIntegers: Semantics = (o, source) => o.code.op("f64x2.convert_low_i32x4_s", lowVector(o, source));

/** Packed conversions to 32-bit integers; the double forms clear the upper half. */
const toIntegers =
  (format: "f32x4" | "f64x2", name: ConversionName, truncate: boolean): Semantics =>
  (o, source) => {
    const rounded = truncate ? source : o.code.op(`${format}.nearest`, source);
    const operation = format === "f32x4" ? "i32x4.trunc_sat_f32x4_s" : "i32x4.trunc_sat_f64x2_s_zero";
    const condition = o.both(inexactIsSilent(o, !truncate), isBelow(o, format, rounded, 2 ** 31));
    return fastOr(o, condition, o.code.op(operation, rounded), () => convertByHelper(o, name, source, "v128"));
  };

/** The MMX forms: two elements in the low half of what the XMM form does. */
const pairToMmx =
  (format: "f32x4" | "f64x2", name: ConversionName, truncate: boolean): Semantics =>
  (o, source) => {
    const vector = source.type === "i64" ? lowVector(o, source) : source;
    return lowHalf(o, toIntegers(format, name, truncate)(o, vector) as Val);
  };
const singlesFromMmx: Semantics = (o, source) => {
  const fast = lowHalf(o, o.code.op("f32x4.convert_i32x4_s", lowVector(o, source)));
  return fastOr(o, inexactIsSilent(o, true), fast, () => convertByHelper(o, "CVTPI2PS", source, "i64"));
};

const single = { unit: "sse", feature: "sse" } as const;
const double = { unit: "sse", feature: "sse2" } as const;
const packed = { ...double, aligned: true } as const;
const mmx = { unit: "mmx", feature: "sse" } as const;
const mmx2 = { unit: "mmx", feature: "sse2" } as const;

/** Rows of conversions between integers, single and double precision. */
export const sseConvertRows: Row[] = [
  ins("F3 0F 2A /r", "CVTSI2SS Vd:w Ey", "", singleFromInteger, single),
  ins("F2 0F 2A /r", "CVTSI2SD Vq:w Ey", "", doubleFromInteger, double),
  ins("F3 0F 2C /r", "CVTTSS2SI Gy:w Wd", "", toInteger("f32", true), single),
  ins("F2 0F 2C /r", "CVTTSD2SI Gy:w Wq", "", toInteger("f64", true), double),
  ins("F3 0F 2D /r", "CVTSS2SI Gy:w Wd", "", toInteger("f32", false), single),
  ins("F2 0F 2D /r", "CVTSD2SI Gy:w Wq", "", toInteger("f64", false), double),
  ins("F3 0F 5A /r", "CVTSS2SD Vq:w Wd", "", widenSingle, double),
  ins("F2 0F 5A /r", "CVTSD2SS Vd:w Wq", "", narrowDouble, double),
  ins("NP 0F 5A /r", "CVTPS2PD Vx:w Wq", "", widenPair, double),
  ins("66 0F 5A /r", "CVTPD2PS Vx:w Wx", "", narrowPair, packed),
  ins("NP 0F 5B /r", "CVTDQ2PS Vx:w Wx", "", singlesFromIntegers, packed),
  ins("66 0F 5B /r", "CVTPS2DQ Vx:w Wx", "", toIntegers("f32x4", "CVTPS2DQ", false), packed),
  ins("F3 0F 5B /r", "CVTTPS2DQ Vx:w Wx", "", toIntegers("f32x4", "CVTTPS2DQ", true), packed),
  ins("F2 0F E6 /r", "CVTPD2DQ Vx:w Wx", "", toIntegers("f64x2", "CVTPD2DQ", false), packed),
  ins("66 0F E6 /r", "CVTTPD2DQ Vx:w Wx", "", toIntegers("f64x2", "CVTTPD2DQ", true), packed),
  ins("F3 0F E6 /r", "CVTDQ2PD Vx:w Wq", "", doublesFromIntegers, double),
  ins("NP 0F 2A /r", "CVTPI2PS Vq:w Qq", "", singlesFromMmx, mmx),
  ins("66 0F 2A /r", "CVTPI2PD Vx:w Qq", "", doublesFromIntegers, mmx2),
  ins("NP 0F 2C /r", "CVTTPS2PI Pq:w Wq", "", pairToMmx("f32x4", "CVTTPS2PI", true), mmx),
  ins("NP 0F 2D /r", "CVTPS2PI Pq:w Wq", "", pairToMmx("f32x4", "CVTPS2PI", false), mmx),
  ins("66 0F 2C /r", "CVTTPD2PI Pq:w Wx", "", pairToMmx("f64x2", "CVTTPD2DQ", true), { ...mmx2, aligned: true }),
  ins("66 0F 2D /r", "CVTPD2PI Pq:w Wx", "", pairToMmx("f64x2", "CVTPD2DQ", false), { ...mmx2, aligned: true }),
];
