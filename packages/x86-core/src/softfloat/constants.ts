import type { FloatContext } from "./context.js";
import { Encoded, F80, type Float80 } from "./format.js";
import { roundFinite } from "./round.js";

/** The constants with enough bits that no rounding mode can err: value = significand * 2^exponent. */
const CONSTANTS = {
  /** FLDL2T: log2(10). */
  L2T: { exponent: -126, significand: 0xd49a784bcd1b8afe492bf6ff4dafdb4cn },
  /** FLDL2E: log2(e). */
  L2E: { exponent: -127, significand: 0xb8aa3b295c17f0bbbe87fed0691d3e88n },
  /** FLDPI. */
  PI: { exponent: -126, significand: 0xc90fdaa22168c234c4c6628b80dc1cd1n },
  /** FLDLG2: log10(2). */
  LG2: { exponent: -129, significand: 0x9a209a84fbcff7988f8959ac0b7c9178n },
  /** FLDLN2: ln(2). */
  LN2: { exponent: -128, significand: 0xb17217f7d1cf79abc9e3b39803f2f6afn },
} as const;

const scratch = { flags: 0, roundedUp: false, precision: 64, flushToZero: false, denormalsAreZero: false, masks: 0x3f };
const r = new Encoded();

/**
 * FLDL2T, FLDL2E, FLDPI, FLDLG2 and FLDLN2: the constant rounded to 64 bits under the context's rounding control.
 * Precision control has no influence and no exception is raised (SDM vol. 1, 8.3.8).
 */
export function f80Constant(context: FloatContext, name: keyof typeof CONSTANTS, out: Float80): void {
  const { exponent, significand } = CONSTANTS[name];
  context.roundedUp = false;
  roundFinite({ ...scratch, rounding: context.rounding }, F80, 64, false, exponent, significand, r).toF80(out);
}

/** FLD1. */
export function f80One(out: Float80): void {
  out.signExponent = 0x3fff;
  out.significand = 0x8000000000000000n;
  out.fromDenormal = false;
}

/** FLDZ. */
export function f80Zero(out: Float80): void {
  out.signExponent = 0;
  out.significand = 0n;
  out.fromDenormal = false;
}

/**
 * The QNaN floating-point indefinite: the masked response to an invalid operation, and what the caller delivers for a
 * masked stack fault.
 */
export function f80Indefinite(out: Float80): void {
  out.signExponent = 0xffff;
  out.significand = 0xc000000000000000n;
  out.fromDenormal = false;
}
