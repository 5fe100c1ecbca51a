import { type FloatContext, PE, Rounding } from "./context.js";

// Single precision on the host's double arithmetic, for normal operands and results. Rounding the double result of
// +, -, *, / and square root to single gives the correctly rounded single (53 >= 2 * 24 + 2 bits), and the sign of
// what was lost is computed exactly; it decides PE and the directed roundings. Every function returns -1 when it
// does not apply: then the general implementation has to be asked.

const floats = new Float32Array(2);
const bits = new Uint32Array(floats.buffer);

function isNormal(pattern: number): boolean {
  const biased = (pattern >>> 23) & 0xff;
  return biased !== 0 && biased !== 0xff;
}

/** Loads two patterns; false unless both are normal numbers. */
function load(a: number, b: number): boolean {
  bits[0] = a;
  bits[1] = b;
  return isNormal(a) && isNormal(b);
}

/** `value` as a pattern, where the exact result is `value` plus something of the sign of `lost`. */
function finish(context: FloatContext, value: number, lost: number): number {
  floats[0] = value;
  let pattern = bits[0];
  const biased = (pattern >>> 23) & 0xff;
  // One binade of distance to the ends, so that no step leaves the normal range.
  if (biased < 2 || biased > 0xfd) return -1;
  if (lost !== 0) {
    context.flags |= PE;
    if (context.rounding !== Rounding.Nearest) pattern += step(context.rounding, value < 0, lost > 0);
  }
  return pattern;
}

/** By how many units the magnitude of the nearest value changes under a directed rounding. */
export function step(rounding: number, negative: boolean, exactIsAbove: boolean): -1 | 0 | 1 {
  const exactIsOutside = exactIsAbove !== negative;
  const outward = rounding !== Rounding.Zero && (rounding === Rounding.Down) === negative;
  if (exactIsOutside) return outward ? 1 : 0;
  return outward ? 0 : -1;
}

/** a + b. */
export function nativeAdd32(context: FloatContext, a: number, b: number): number {
  if (!load(a, b)) return -1;
  return sum(context, floats[0], floats[1]);
}

/** a - b. */
export function nativeSub32(context: FloatContext, a: number, b: number): number {
  if (!load(a, b)) return -1;
  return sum(context, floats[0], -floats[1]);
}

function sum(context: FloatContext, x: number, y: number): number {
  const s = x + y;
  const value = Math.fround(s);
  const back = s - x;
  // What the double lost (Knuth's TwoSum) only matters when the single lost nothing of the double.
  const lost = s === value ? x - (s - back) + (y - back) : s - value;
  return finish(context, value, lost);
}

/** a * b. */
export function nativeMul32(context: FloatContext, a: number, b: number): number {
  if (!load(a, b)) return -1;
  const product = floats[0] * floats[1];
  const value = Math.fround(product);
  return finish(context, value, product - value);
}

/** a / b. */
export function nativeDiv32(context: FloatContext, a: number, b: number): number {
  if (!load(a, b)) return -1;
  const x = floats[0];
  const y = floats[1];
  const value = Math.fround(x / y);
  const rest = x - value * y;
  return finish(context, value, y < 0 ? -rest : rest);
}

/** The square root of a. */
export function nativeSqrt32(context: FloatContext, a: number): number {
  if (!load(a, a) || a >= 0x80000000) return -1;
  const x = floats[0];
  const value = Math.fround(Math.sqrt(x));
  return finish(context, value, x - value * value);
}

/** The double `x` rounded to single. */
export function nativeRoundTo32(context: FloatContext, x: number): number {
  const value = Math.fround(x);
  return finish(context, value, x - value);
}

/** The value of a normal or zero pattern; NaN for any other. */
export function nativeValue32(a: number): number {
  if (!isNormal(a) && (a & 0x7fffffff) !== 0) return Number.NaN;
  bits[0] = a;
  return floats[0];
}
