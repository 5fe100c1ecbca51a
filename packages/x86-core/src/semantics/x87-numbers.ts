import { S } from "../state/layout.js";
import type { Val } from "../wasm/code.js";
import type { Ops } from "./ops.js";
import { setFull, setSignExponent, setSignificand, signExponent, significand } from "./x87.js";

// Exact 80-bit arithmetic in WebAssembly for the usual case: normal operands far from overflow and underflow, rounding
// to nearest with 64 or 53 bits, inexact results masked. Everything else is left to the helpers in fpu/.

/** A value as its parts: significand (i64), sign and exponent (i32). */
export interface Parts {
  readonly low: Val;
  readonly high: Val;
}
/** A result, and the status bits it raises: PE, and C1 when it was rounded up. */
export interface Rounded extends Parts {
  readonly raised: Val;
}

const BIAS = 0x3fff;
const SIGN = 0x8000;
const PE = 0x20;
const C1 = 0x200;
/** Fields of the control word: rounding, precision, mask of PE. */
const MODE = { mask: 0xe20, usual: 0x220, rounding: 0xc20, nearest: 0x020, zero: 0xc20 } as const;

export function readParts(o: Ops, index: Val): Parts {
  return { low: significand(o, index), high: signExponent(o, index) };
}
export function writeParts(o: Ops, index: Val, value: Parts): void {
  setSignificand(o, index, value.low);
  setSignExponent(o, index, value.high);
  setFull(o, index);
}
/** Ends an instruction: C1 is replaced, PE added. */
export function raiseStatus(o: Ops, raised: Val): void {
  o.setState32(S.fsw, o.or(32, o.and(32, o.state32(S.fsw), o.i32(~C1)), raised));
}

/** Rounding to nearest with 64 or 53 bits, PE masked. */
export function inUsualMode(o: Ops): Val {
  return o.eq(32, o.and(32, o.state32(S.fcw), o.i32(MODE.mask)), o.i32(MODE.usual));
}
/** The same where precision control does not count. */
export function inNearestMode(o: Ops): Val {
  return o.eq(32, o.and(32, o.state32(S.fcw), o.i32(MODE.rounding)), o.i32(MODE.nearest));
}
export function inTruncatingMode(o: Ops): Val {
  return o.eq(32, o.and(32, o.state32(S.fcw), o.i32(MODE.rounding)), o.i32(MODE.zero));
}

export const exponent = (o: Ops, x: Parts): Val => o.and(32, x.high, o.i32(0x7fff));
export const isNegative = (o: Ops, x: Parts): Val => o.shrU(32, x.high, 15);
const sign64 = (o: Ops, value: Val): Val => o.code.op("i64.lt_s", value, o.i64(0));

/** A normal number whose exponent is so far from both ends that no operation leaves the range. */
export function isOrdinary(o: Ops, x: Parts): Val {
  const inRange = o.ltU(32, o.sub(32, exponent(o, x), o.i32(0x2000)), o.i32(0x3f00));
  return o.both(inRange, sign64(o, x.low));
}
/** A normal number or a zero. */
export function isNormalOrZero(o: Ops, x: Parts): Val {
  const e = exponent(o, x);
  const normal = o.both(o.ltU(32, o.sub(32, e, o.i32(1)), o.i32(0x7ffe)), sign64(o, x.low));
  return o.either(normal, o.both(o.eqz(32, e), o.eqz(64, x.low)));
}

const zext = (o: Ops, value: Val): Val => o.zext(32, 64, value);

/**
 * Rounds hi.lo (128 bits, the top one set, value hi + lo / 2^64) to 64 or 53 bits; `e` is its biased exponent, `sign`
 * the sign in its place.
 */
function round(o: Ops, hi: Val, lo: Val, e: Val, sign: Val): Rounded {
  // Bit 8 of the control word is 1 for 64 bits, 0 for 53: then 11 bits more are cut off.
  const full = o.bit(32, o.state32(S.fcw), 8);
  const cut = o.or(64, o.shl(64, hi, 53), zext(o, o.nez(64, lo)));
  const fraction = o.select(full, lo, cut);
  const kept = o.select(full, hi, o.and(64, hi, o.i64(-0x800)));
  const unit = o.select(full, o.i64(1), o.i64(0x800));
  // Above the half, or on it with an odd significand.
  const odd = o.nez(64, o.and(64, kept, unit));
  const rest = o.nez(64, o.shl(64, fraction, 1));
  const up = o.both(sign64(o, fraction), o.either(rest, odd));
  const sum = o.add(64, kept, o.select(up, unit, o.i64(0)));
  const carried = o.eqz(64, sum);
  return {
    low: o.or(64, sum, o.shl(64, zext(o, carried), 63)),
    high: o.or(32, o.add(32, e, carried), sign),
    raised: o.or(32, o.shl(32, o.nez(64, fraction), 5), o.shl(32, up, 9)),
  };
}

const MASK32 = 0xffffffffn;

/** The product of two ordinary numbers. */
export function multiply(o: Ops, a: Parts, b: Parts): Rounded {
  const low = (x: Val) => o.and(64, x, o.i64(MASK32));
  const high = (x: Val) => o.shrU(64, x, 32);
  const [a0, a1, b0, b1] = [low(a.low), high(a.low), low(b.low), high(b.low)];
  const p00 = o.mul(64, a0, b0);
  const middle = o.add(64, o.mul(64, a1, b0), high(p00));
  const middle2 = o.add(64, o.mul(64, a0, b1), low(middle));
  const top = o.add(64, o.mul(64, a1, b1), o.add(64, high(middle), high(middle2)));
  const bottom = o.or(64, o.shl(64, middle2, 32), low(p00));
  // The product of two numbers in 1..2 may need a shift by one.
  const short = o.isNot(sign64(o, top));
  const hi = o.select(short, o.or(64, o.shl(64, top, 1), o.shrU(64, bottom, 63)), top);
  const lo = o.shl(64, bottom, zext(o, short));
  const e = o.sub(32, o.add(32, exponent(o, a), exponent(o, b)), o.add(32, o.i32(BIAS - 1), short));
  return round(o, hi, lo, e, signOfProduct(o, a, b));
}

function signOfProduct(o: Ops, a: Parts, b: Parts): Val {
  return o.and(32, o.xor(32, a.high, b.high), o.i32(SIGN));
}

/** The quotient of two ordinary numbers: schoolbook division of 128 by 64 bits in two digits. */
export function divide(o: Ops, a: Parts, b: Parts): Rounded {
  const divisor = b.low;
  // The dividend's upper half must be below the divisor.
  const large = o.leU(64, divisor, a.low);
  const upper = o.shrU(64, a.low, zext(o, large));
  const lower = o.and(64, o.shl(64, a.low, 63), o.shl(64, zext(o, large), 63));
  const d1 = o.shrU(64, divisor, 32);
  const d0 = o.and(64, divisor, o.i64(MASK32));
  const digit = (rest: Val, next: Val): Val => {
    const guess = o.code.variable("i64", o.code.op("i64.div_u", rest, d1));
    const left = o.code.variable("i64", o.sub(64, rest, o.mul(64, guess.get(), d1)));
    // The guess is too large by two at most.
    const correct = () => {
      const q = guess.get();
      const r = left.get();
      const tooWide = o.nez(64, o.shrU(64, q, 32));
      const tooLarge = o.ltU(64, o.or(64, o.shl(64, r, 32), next), o.mul(64, q, d0));
      const fits = o.eqz(64, o.shrU(64, r, 32));
      const one = zext(o, o.both(fits, o.either(tooWide, tooLarge)));
      guess.set(o.sub(64, q, one));
      left.set(o.add(64, r, o.mul(64, one, d1)));
    };
    correct();
    correct();
    return guess.get();
  };
  const after = (rest: Val, next: Val, q: Val) => o.sub(64, o.or(64, o.shl(64, rest, 32), next), o.mul(64, q, divisor));
  const next1 = o.shrU(64, lower, 32);
  const q1 = digit(upper, next1);
  const rest1 = after(upper, next1, q1);
  const q0 = digit(rest1, o.i64(0));
  const rest = after(rest1, o.i64(0), q0);
  const quotient = o.add(64, o.shl(64, q1, 32), q0);
  // The rest decides as the fraction behind the quotient would: a half cannot occur.
  const aboveHalf = o.ltU(64, o.sub(64, divisor, rest), rest);
  const fraction = o.or(64, o.shl(64, zext(o, aboveHalf), 63), zext(o, o.nez(64, rest)));
  const e = o.add(32, o.sub(32, exponent(o, a), exponent(o, b)), o.add(32, o.i32(BIAS - 1), large));
  return round(o, quotient, fraction, e, signOfProduct(o, a, b));
}

/** The sum of two ordinary numbers. */
export function add(o: Ops, a: Parts, b: Parts): Rounded {
  const { code } = o;
  const ea = exponent(o, a);
  const eb = exponent(o, b);
  const aIsLarger = o.either(o.ltU(32, eb, ea), o.both(o.eq(32, ea, eb), o.leU(64, b.low, a.low)));
  const x = o.select(aIsLarger, a.low, b.low);
  const y = o.select(aIsLarger, b.low, a.low);
  const e = o.select(aIsLarger, ea, eb);
  const distance = o.sub(32, e, o.select(aIsLarger, eb, ea));
  const sign = o.and(32, o.select(aIsLarger, a.high, b.high), o.i32(SIGN));

  // The smaller one moved right, 128 bits; what falls off below them stays as a sticky bit.
  const count = zext(o, o.and(32, distance, o.i32(63)));
  const kept = o.shrU(64, y, count);
  const back = o.shl(64, y, o.and(64, o.sub(64, o.i64(64), count), o.i64(63)));
  const lost = o.select(o.eqz(64, count), o.i64(0), back);
  const near = o.ltU(32, distance, o.i32(64));
  const far = o.select(o.ltU(32, distance, o.i32(128)), o.or(64, kept, zext(o, o.nez(64, lost))), o.i64(1));
  const yHigh = o.select(near, kept, o.i64(0));
  const yLow = o.select(near, lost, far);

  const hi = code.variable("i64");
  const lo = code.variable("i64");
  const exponentOut = code.variable("i32");
  code.if(
    o.and(32, o.xor(32, a.high, b.high), o.i32(SIGN)),
    () => {
      const low = o.sub(64, o.i64(0), yLow);
      const high = o.sub(64, o.sub(64, x, yHigh), zext(o, o.nez(64, yLow)));
      // After cancellation of all 64 bits at most one bit is left, in the lower half.
      const shift = o.clz(64, high);
      const whole = o.eqz(64, high);
      const into = o.select(
        o.eqz(64, shift),
        o.i64(0),
        o.shrU(64, low, o.and(64, o.sub(64, o.i64(64), shift), o.i64(63))),
      );
      hi.set(o.select(whole, low, o.or(64, o.shl(64, high, o.and(64, shift, o.i64(63))), into)));
      lo.set(o.select(whole, o.i64(0), o.shl(64, low, o.and(64, shift, o.i64(63)))));
      exponentOut.set(o.sub(32, e, o.trunc(64, 32, shift)));
    },
    () => {
      const sum = o.add(64, x, yHigh);
      const carry = o.ltU(64, sum, x);
      const wide = zext(o, carry);
      const sticky = o.and(64, yLow, wide);
      hi.set(o.or(64, o.shrU(64, sum, wide), o.shl(64, wide, 63)));
      const moved = o.and(64, o.shl(64, sum, 63), o.shl(64, wide, 63));
      lo.set(o.or(64, o.or(64, o.shrU(64, yLow, wide), moved), sticky));
      exponentOut.set(o.add(32, e, carry));
    },
  );
  const high = hi.get();
  const rounded = round(o, high, lo.get(), exponentOut.get(), sign);
  // Equal numbers cancel to +0. The significand is 0 only then; `round` has taken that for a carry.
  const zero = o.eqz(64, high);
  return {
    low: o.select(zero, o.i64(0), rounded.low),
    high: o.select(zero, o.i32(0), rounded.high),
    raised: rounded.raised,
  };
}

/** The same number with the other sign. */
export const negated = (o: Ops, x: Parts): Parts => ({ low: x.low, high: o.xor(32, x.high, o.i32(SIGN)) });

/** Orders two numbers that are normal or zero: conditions for less and equal. */
export function order(o: Ops, a: Parts, b: Parts): { less: Val; equal: Val } {
  const ea = exponent(o, a);
  const eb = exponent(o, b);
  const sameExponent = o.eq(32, ea, eb);
  const smaller = o.either(o.ltU(32, ea, eb), o.both(sameExponent, o.ltU(64, a.low, b.low)));
  const same = o.both(sameExponent, o.eq(64, a.low, b.low));
  const na = isNegative(o, a);
  const nb = isNegative(o, b);
  const sameSign = o.eq(32, na, nb);
  const bothZero = o.eqz(64, o.or(64, a.low, b.low));
  const equal = o.either(bothZero, o.both(sameSign, same));
  // Of two negative numbers the one of larger magnitude is less.
  const within = o.differ(smaller, na);
  return { less: o.both(o.isNot(equal), o.select(sameSign, within, na)), equal };
}

/** binary32 or binary64 as 80 bits, and whether it is a normal number or a zero. */
export function widen(o: Ops, w: 32 | 64, bits: Val): Parts & { fine: Val } {
  const value = o.zext(w, 64, bits);
  const fractionBits = w === 32 ? 23 : 52;
  const top = w === 32 ? 0xff : 0x7ff;
  const biased = o.and(32, o.trunc(64, 32, o.shrU(64, value, fractionBits)), o.i32(top));
  const sign = o.shl(32, o.trunc(64, 32, o.shrU(64, value, w - 1)), 15);
  const zero = o.eqz(64, o.shl(64, value, 65 - w));
  const fraction = o.shl(64, value, 63 - fractionBits);
  const full = o.or(64, o.and(64, fraction, o.i64(0x7fffffffffffffffn)), o.i64(1n << 63n));
  const e = o.add(32, biased, o.i32(BIAS - (top >> 1)));
  return {
    low: o.select(zero, o.i64(0), full),
    high: o.or(32, sign, o.select(zero, o.i32(0), e)),
    fine: o.either(zero, o.ltU(32, o.sub(32, biased, o.i32(1)), o.i32(top - 1))),
  };
}

/** A signed integer, sign-extended to 64 bits, as 80 bits. */
export function fromInteger(o: Ops, value: Val): Parts {
  const negative = sign64(o, value);
  const magnitude = o.select(negative, o.sub(64, o.i64(0), value), value);
  const zero = o.eqz(64, value);
  const shift = o.clz(64, magnitude);
  const e = o.sub(32, o.i32(BIAS + 63), o.trunc(64, 32, shift));
  return {
    low: o.shl(64, magnitude, o.and(64, shift, o.i64(63))),
    high: o.select(zero, o.i32(0), o.or(32, o.shl(32, negative, 15), e)),
  };
}

/**
 * 80 bits rounded to nearest to binary32 or binary64: bits and status, and whether the value is zero or stays a normal
 * number.
 */
export function narrow(o: Ops, w: 32 | 64, x: Parts): { bits: Val; raised: Val; fine: Val } {
  const fractionBits = w === 32 ? 23 : 52;
  const top = w === 32 ? 0xff : 0x7ff;
  const drop = 63 - fractionBits;
  const zero = o.both(o.eqz(64, x.low), o.eqz(32, exponent(o, x)));
  const e = o.sub(32, exponent(o, x), o.i32(BIAS - (top >> 1)));
  const fine = o.either(zero, o.both(sign64(o, x.low), o.ltU(32, o.sub(32, e, o.i32(1)), o.i32(top - 2))));
  const kept = o.shrU(64, x.low, drop);
  const rest = o.shl(64, x.low, 64 - drop);
  const odd = o.trunc(64, 32, o.and(64, kept, o.i64(1)));
  const up = o.both(sign64(o, rest), o.either(o.nez(64, o.shl(64, rest, 1)), odd));
  // The integer bit of `kept` adds 1 to the exponent field.
  const field = o.shl(64, zext(o, o.sub(32, e, o.i32(1))), fractionBits);
  const magnitude = o.add(64, o.add(64, field, kept), zext(o, up));
  const sign = o.shl(64, zext(o, isNegative(o, x)), w - 1);
  const bits = o.or(64, o.select(zero, o.i64(0), magnitude), sign);
  const raised = o.or(32, o.shl(32, o.nez(64, rest), 5), o.shl(32, up, 9));
  return { bits: o.trunc(64, w, bits), raised, fine };
}

/**
 * 80 bits to a signed integer of `w` bits, truncated or rounded to nearest: the value and status, and whether the
 * operand is a zero or a normal number whose magnitude stays below 2^(w-1).
 */
export function toInteger(o: Ops, w: 16 | 32 | 64, x: Parts, truncated: Val): { value: Val; raised: Val; fine: Val } {
  const e = exponent(o, x);
  const zero = o.both(o.eqz(64, x.low), o.eqz(32, e));
  const n = o.sub(32, e, o.i32(BIAS));
  const inRange = o.both(sign64(o, x.low), o.ltU(32, o.sub(32, e, o.i32(1)), o.i32(BIAS + w - 2)));
  // Below 1 all bits are behind the point: below 1/2 they only count as not zero.
  const small = o.ltS(32, n, o.i32(0));
  const count = zext(o, o.and(32, o.sub(32, o.i32(63), n), o.i32(63)));
  const kept = o.select(small, o.i64(0), o.shrU(64, x.low, count));
  const below = o.select(o.eq(32, n, o.i32(-1)), x.low, o.i64(1));
  const rest = o.select(small, below, o.shl(64, x.low, o.and(64, o.sub(64, o.i64(64), count), o.i64(63))));
  const odd = o.trunc(64, 32, o.and(64, kept, o.i64(1)));
  const above = o.both(sign64(o, rest), o.either(o.nez(64, o.shl(64, rest, 1)), odd));
  const up = o.both(o.both(above, o.isNot(truncated)), o.isNot(zero));
  const magnitude = o.add(64, kept, zext(o, up));
  const value = o.select(isNegative(o, x), o.sub(64, o.i64(0), magnitude), magnitude);
  const inexact = o.both(o.nez(64, rest), o.isNot(zero));
  return {
    value: o.trunc(64, w, value),
    raised: o.or(32, o.mul(32, inexact, o.i32(PE)), o.shl(32, up, 9)),
    fine: o.either(zero, o.both(inRange, o.ltU(64, magnitude, o.i64(1n << BigInt(w - 1))))),
  };
}
