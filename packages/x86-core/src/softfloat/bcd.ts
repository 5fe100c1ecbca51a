import { big } from "./bits.js";
import { type FloatContext, IE } from "./context.js";
import { toInteger } from "./convert.js";
import { f80FromInteger } from "./f80-convert.js";
import { type Float80, Unpacked, unpackF80 } from "./format.js";

/** The 80 bits of a packed BCD integer: 18 digits of four bits, sign in bit 79 (SDM vol. 1, 4.7). */
export interface PackedBcd {
  /** Bits 63..0. */
  low: bigint;
  /** Bits 79..64. */
  high: number;
}

const DIGITS = 18;
const LIMIT = 10n ** 18n;
const u = new Unpacked();

/** FBLD. Digits above 9, which the manual leaves undefined, count with their value. */
export function f80FromBcd(bcd: PackedBcd, out: Float80): void {
  let value = 0n;
  const bits = bcd.low | (BigInt(bcd.high & 0xff) << 64n);
  for (let digit = DIGITS - 1; digit >= 0; digit--) value = value * 10n + ((bits >> big(4 * digit)) & 15n);
  f80FromInteger(value, out);
  if (bcd.high & 0x8000) out.signExponent |= 0x8000;
}

/**
 * FBSTP: `a` rounded to an integer. Beyond 18 digits IE gives the packed BCD indefinite; when it is unmasked nothing
 * is to be written and nothing popped.
 */
export function f80ToBcd(context: FloatContext, a: Float80, out: PackedBcd): void {
  context.roundedUp = false;
  const before = context.flags;
  unpackF80(a, u);
  const value = toInteger(context, u, 64, context.rounding);
  const magnitude = value < 0n ? -value : value;
  if (magnitude >= LIMIT) {
    context.flags = before | IE;
    context.roundedUp = false;
    out.low = 0xc000000000000000n;
    out.high = 0xffff;
    return;
  }
  let rest = magnitude;
  let bits = 0n;
  for (let digit = 0; digit < DIGITS; digit++) {
    bits |= (rest % 10n) << big(4 * digit);
    rest /= 10n;
  }
  out.low = BigInt.asUintN(64, bits);
  out.high = Number(bits >> 64n) | (u.negative ? 0x8000 : 0);
}
