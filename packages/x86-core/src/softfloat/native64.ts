import { type FloatContext, PE, Rounding } from "./context.js";
import { step } from "./native32.js";

// Double precision on the host's arithmetic: the result rounded to nearest comes from the host, and an error-free
// transformation gives the sign of what was lost, which decides PE and the directed roundings. Operands are kept
// where the transformation is exact: no overflow, no underflow of any intermediate. Every function returns
// undefined when it does not apply: then the general implementation has to be asked.

const doubles = new Float64Array(2);
const bits = new BigUint64Array(doubles.buffer);
const words = new Uint32Array(doubles.buffer);

/** Whether the biased exponents of both loaded operands lie in the range. */
function within(low: number, high: number): boolean {
  const a = (words[1] >>> 20) & 0x7ff;
  const b = (words[3] >>> 20) & 0x7ff;
  return a >= low && a <= high && b >= low && b <= high;
}

/** Exponents for products: 2^-450 .. 2^450, whose products' last bits are far above the smallest denormal. */
const LOW = 1023 - 450;
const HIGH = 1023 + 450;

/** `value` as a pattern, where the exact result is `value` plus something of the sign of `lost`. */
function finish(context: FloatContext, value: number, lost: number): bigint {
  doubles[0] = value;
  if (lost === 0) return bits[0];
  context.flags |= PE;
  if (context.rounding === Rounding.Nearest) return bits[0];
  return bits[0] + BigInt(step(context.rounding, value < 0, lost > 0));
}

/** a + b. */
export function nativeAdd64(context: FloatContext, a: bigint, b: bigint): bigint | undefined {
  bits[0] = a;
  bits[1] = b;
  return sum(context, doubles[0], doubles[1]);
}

/** a - b. */
export function nativeSub64(context: FloatContext, a: bigint, b: bigint): bigint | undefined {
  bits[0] = a;
  bits[1] = b;
  return sum(context, doubles[0], -doubles[1]);
}

function sum(context: FloatContext, x: number, y: number): bigint | undefined {
  if (!within(1, 0x7fb)) return undefined;
  const s = x + y;
  const magnitude = Math.abs(s);
  // Zero results have rules for their sign; near the smallest normal a step could become denormal.
  if (magnitude < 2 ** -1021) return undefined;
  const back = s - x;
  return finish(context, s, x - (s - back) + (y - back));
}

/** x * y - p, for p = x * y rounded (Dekker's product with Veltkamp's splitting). */
function productError(x: number, y: number, p: number): number {
  const xs = x * 134217729;
  const xh = xs - (xs - x);
  const xl = x - xh;
  const ys = y * 134217729;
  const yh = ys - (ys - y);
  const yl = y - yh;
  return xl * yl - (p - xh * yh - xl * yh - xh * yl);
}

/** a * b. */
export function nativeMul64(context: FloatContext, a: bigint, b: bigint): bigint | undefined {
  bits[0] = a;
  bits[1] = b;
  if (!within(LOW, HIGH)) return undefined;
  const x = doubles[0];
  const y = doubles[1];
  const p = x * y;
  return finish(context, p, productError(x, y, p));
}

/** a / b. */
export function nativeDiv64(context: FloatContext, a: bigint, b: bigint): bigint | undefined {
  bits[0] = a;
  bits[1] = b;
  if (!within(LOW, HIGH)) return undefined;
  const x = doubles[0];
  const y = doubles[1];
  const q = x / y;
  const p = q * y;
  const rest = x - p - productError(q, y, p);
  return finish(context, q, y < 0 ? -rest : rest);
}

/** The square root of a. */
export function nativeSqrt64(context: FloatContext, a: bigint): bigint | undefined {
  bits[0] = a;
  bits[1] = a;
  const x = doubles[0];
  if (x < 0 || !within(LOW, HIGH)) return undefined;
  const root = Math.sqrt(x);
  const p = root * root;
  return finish(context, root, x - p - productError(root, root, p));
}

/** The value of a normal or zero pattern; NaN for any other. */
export function nativeValue64(a: bigint): number {
  bits[0] = a;
  const high = words[1] & 0x7ff00000;
  if (high === 0x7ff00000 || (high === 0 && ((words[1] & 0xfffff) | words[0]) !== 0)) return Number.NaN;
  return doubles[0];
}

/** The pattern of a number that is not NaN. */
export function nativePattern64(value: number): bigint {
  doubles[0] = value;
  return bits[0];
}

/** `x` rounded to an integer of at most 53 bits; `x` itself may be any finite number in that range. */
export function nativeRound(rounding: number, x: number): number {
  if (rounding === Rounding.Zero) return Math.trunc(x);
  const below = Math.floor(x);
  if (rounding === Rounding.Down || below === x) return below;
  if (rounding === Rounding.Up) return below + 1;
  const rest = x - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 !== 0) ? below + 1 : below;
}
