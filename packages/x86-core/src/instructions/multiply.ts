import { type Ops, VECTOR } from "../semantics/ops.js";
import { ins, type Row, type Semantics } from "../table/row.js";
import type { Val } from "../wasm/code.js";

/** High half of the unsigned 128-bit product, from 32-bit partial products. */
export function mulHighU(o: Ops, a: Val, b: Val): Val {
  const low = (v: Val) => o.and(64, v, o.i64(0xffffffffn));
  const high = (v: Val) => o.shrU(64, v, 32);
  const ll = o.mul(64, low(a), low(b));
  const lh = o.mul(64, low(a), high(b));
  const hl = o.mul(64, high(a), low(b));
  const hh = o.mul(64, high(a), high(b));
  const middle = o.add(64, o.add(64, high(ll), low(lh)), low(hl));
  return o.add(64, o.add(64, hh, high(lh)), o.add(64, high(hl), high(middle)));
}

/** High half of the signed product: the unsigned one less each operand where the other is negative. */
function mulHighS(o: Ops, a: Val, b: Val): Val {
  const correction = (x: Val, y: Val) => o.and(64, o.shrS(64, x, 63), y);
  return o.sub(64, o.sub(64, mulHighU(o, a, b), correction(a, b)), correction(b, a));
}

/** Both halves of a * b. */
function product(o: Ops, a: Val, b: Val, signed: boolean): { low: Val; high: Val } {
  const { w } = o;
  if (w === 64) return { low: o.mul(64, a, b), high: signed ? mulHighS(o, a, b) : mulHighU(o, a, b) };
  const wide = (v: Val) => (signed ? o.sext(w, 64, v) : o.zext(w, 64, v));
  const full = o.mul(64, wide(a), wide(b));
  return { low: o.trunc(64, w, full), high: o.trunc(64, w, o.shrU(64, full, w)) };
}

/** CF = OF = "the high half matters". SF, ZF, AF and PF are undefined; they follow the low half. */
function productFlags(o: Ops, low: Val, high: Val, signed: boolean): void {
  const expected = signed ? o.shrS(o.w, low, o.w - 1) : o.const(o.w, 0);
  const overflow = o.ne(o.w, high, expected);
  o.setResult(o.w, low);
  o.setCarryOverflow(overflow, overflow);
}

/** MUL and one-operand IMUL: rDX:rAX (AX for bytes) = rAX * r/m. */
const multiplyAccumulator =
  (signed: boolean): Semantics =>
  (o, b) => {
    const { w } = o;
    const { low, high } = product(o, o.gpr(w, 0), b, signed);
    productFlags(o, low, high, signed);
    if (w === 8) return o.setGpr(16, 0, o.or(32, low, o.shl(32, high, 8)));
    o.setGpr(w, 0, low);
    o.setGpr(w, 2, high);
  };

/** Two- and three-operand IMUL. */
const imul: Semantics = (o, a, b) => {
  const { low, high } = product(o, a, b, true);
  productFlags(o, low, high, true);
  return low;
};

const mulx: Semantics = (o, b) => {
  const { low, high } = product(o, o.gpr(o.w, 2), b, false);
  return [high, low];
};

/** DIV and IDIV of at most 32 bits: the dividend fits an i64. */
function divideNarrow(o: Ops, divisor: Val, signed: boolean): void {
  const { w } = o;
  const dividend =
    w === 8
      ? signed
        ? o.sext(16, 64, o.gpr(16, 0))
        : o.zext(16, 64, o.gpr(16, 0))
      : w === 16
        ? signed
          ? o.sext(32, 64, pair16(o))
          : o.zext(32, 64, pair16(o))
        : o.or(64, o.zext(32, 64, o.gpr(32, 0)), o.shl(64, o.zext(32, 64, o.gpr(32, 2)), 32));
  const by = signed ? o.sext(w, 64, divisor) : o.zext(w, 64, divisor);
  o.raiseIf(o.eqz(64, by), VECTOR.DE);
  if (signed && w === 32) {
    // The one division that overflows 64 bits, and traps in WebAssembly.
    const minimum = o.eq(64, dividend, o.i64(-(1n << 63n)));
    o.raiseIf(o.both(minimum, o.eq(64, by, o.i64(-1))), VECTOR.DE);
  }
  const quotient = o.code.op(signed ? "i64.div_s" : "i64.div_u", dividend, by);
  const remainder = o.code.op(signed ? "i64.rem_s" : "i64.rem_u", dividend, by);
  const result = o.trunc(64, w, quotient);
  const back = signed ? o.sext(w, 64, result) : o.zext(w, 64, result);
  o.raiseIf(o.ne(64, back, quotient), VECTOR.DE);
  const rest = o.trunc(64, w, remainder);
  if (w === 8) return o.setGpr(16, 0, o.or(32, result, o.shl(32, rest, 8)));
  o.setGpr(w, 0, result);
  o.setGpr(w, 2, rest);
}
const pair16 = (o: Ops) => o.or(32, o.gpr(16, 0), o.shl(32, o.gpr(16, 2), 16));

/** |v|, and the value itself negated back where `negative`. */
const negateIf = (o: Ops, negative: Val, v: Val) => o.select(negative, o.neg(64, v), v);

/**
 * 128 by 64 bits, unsigned, high < divisor: schoolbook with 32-bit digits (Knuth's algorithm D for two digits), or one
 * hardware division when the high half is 0.
 */
function divideWide(o: Ops, high: Val, low: Val, divisor: Val): { quotient: Val; remainder: Val } {
  const { code } = o;
  const quotient = o.variable(64, o.i64(0));
  const remainder = o.variable(64, o.i64(0));
  code.if(
    o.eqz(64, high),
    () => {
      quotient.set(code.op("i64.div_u", low, divisor));
      remainder.set(code.op("i64.rem_u", low, divisor));
    },
    () => {
      const shift = o.clz(64, divisor);
      const d = o.shl(64, divisor, shift);
      const dHigh = o.shrU(64, d, 32);
      const dLow = o.and(64, d, o.i64(0xffffffffn));
      // (high:low) << shift; the part that moves across is low >> (64 - shift), in two steps because shift may be 0.
      const across = o.shrU(64, o.shrU(64, low, 1), o.sub(64, o.i64(63), shift));
      const top = o.or(64, o.shl(64, high, shift), across);
      const bottom = o.shl(64, low, shift);
      /** One quotient digit: (rest * 2^32 + digit) / d, estimated from the top halves and corrected at most twice. */
      const step = (rest: Val, digit: Val): { q: Val; rest: Val } => {
        const q = o.variable(64, code.op("i64.div_u", rest, dHigh));
        const r = o.variable(64, code.op("i64.rem_u", rest, dHigh));
        for (let i = 0; i < 2; i++) {
          const tooLarge = o.either(
            o.isNot(o.eqz(64, o.shrU(64, q.get(), 32))),
            o.ltU(64, o.or(64, o.shl(64, r.get(), 32), digit), o.mul(64, q.get(), dLow)),
          );
          const smallRest = o.eqz(64, o.shrU(64, r.get(), 32));
          code.if(o.both(tooLarge, smallRest), () => {
            q.set(o.sub(64, q.get(), o.i64(1)));
            r.set(o.add(64, r.get(), dHigh));
          });
        }
        const digitQ = q.get();
        return { q: digitQ, rest: o.sub(64, o.or(64, o.shl(64, rest, 32), digit), o.mul(64, digitQ, d)) };
      };
      const first = step(top, o.shrU(64, bottom, 32));
      const second = step(first.rest, o.and(64, bottom, o.i64(0xffffffffn)));
      quotient.set(o.or(64, o.shl(64, first.q, 32), second.q));
      remainder.set(o.shrU(64, second.rest, shift));
    },
  );
  return { quotient: quotient.get(), remainder: remainder.get() };
}

function divide64(o: Ops, divisor: Val, signed: boolean): void {
  const low = o.gpr(64, 0);
  const high = o.gpr(64, 2);
  o.raiseIf(o.eqz(64, divisor), VECTOR.DE);
  if (!signed) {
    o.raiseIf(o.leU(64, divisor, high), VECTOR.DE);
    const { quotient, remainder } = divideWide(o, high, low, divisor);
    o.setGpr(64, 0, quotient);
    o.setGpr(64, 2, remainder);
    return;
  }
  const negative = o.code.op("i64.lt_s", high, o.i64(0));
  const divisorNegative = o.code.op("i64.lt_s", divisor, o.i64(0));
  const lowMagnitude = negateIf(o, negative, low);
  // -(high:low): the high half is ~high, plus 1 when the low half is 0.
  const borrowed = o.add(64, o.not(64, high), o.zext(32, 64, o.eqz(64, low)));
  const highMagnitude = o.select(negative, borrowed, high);
  const by = negateIf(o, divisorNegative, divisor);
  o.raiseIf(o.leU(64, by, highMagnitude), VECTOR.DE);
  const { quotient, remainder } = divideWide(o, highMagnitude, lowMagnitude, by);
  const quotientNegative = o.differ(negative, divisorNegative);
  const result = negateIf(o, quotientNegative, quotient);
  // The magnitude must fit: its sign bit may be set only for the most negative quotient.
  const limit = o.add(64, o.i64((1n << 63n) - 1n), o.zext(32, 64, quotientNegative));
  o.raiseIf(o.ltU(64, limit, quotient), VECTOR.DE);
  o.setGpr(64, 0, result);
  o.setGpr(64, 2, negateIf(o, negative, remainder));
}

const divide =
  (signed: boolean): Semantics =>
  (o, divisor) => {
    if (o.w === 64) divide64(o, divisor, signed);
    else divideNarrow(o, divisor, signed);
  };

const product1 = "MUUUUM";
const undefinedFlags = "UUUUUU";

export const multiplyRows: Row[] = [
  ins("F6 /4", "MUL Eb", product1, multiplyAccumulator(false)),
  ins("F7 /4", "MUL Ev", product1, multiplyAccumulator(false)),
  ins("F6 /5", "IMUL Eb", product1, multiplyAccumulator(true)),
  ins("F7 /5", "IMUL Ev", product1, multiplyAccumulator(true)),
  ins("0F AF /r", "IMUL Gv:rw Ev", product1, imul),
  ins("69 /r", "IMUL Gv:w Ev Iz", product1, imul),
  ins("6B /r", "IMUL Gv:w Ev Is", product1, imul),
  ins("F6 /6", "DIV Eb", undefinedFlags, divide(false)),
  ins("F7 /6", "DIV Ev", undefinedFlags, divide(false)),
  ins("F6 /7", "IDIV Eb", undefinedFlags, divide(true)),
  ins("F7 /7", "IDIV Ev", undefinedFlags, divide(true)),
  ins("VEX.0F38.WIG.F2 F6 /r", "MULX Gy:w By:w Ey", "", mulx, { feature: "bmi2" }),
];
