import { big, bitLength, shift } from "./bits.js";

// The power series beneath the transcendental instructions, in fixed point with WIDTH fraction bits: twice the 64
// bits of a result and as many again as guard, so that rounding the sum is rounding the function's value.

/** Fraction bits of fixed-point values. */
export const WIDTH = 192;
const COUNT = big(WIDTH);
/** 1 in fixed point. */
export const ONE = 1n << COUNT;

/** A positive number significand * 2^exponent, for values whose relative error matters. */
export interface Real {
  significand: bigint;
  exponent: number;
}

/** numerator / denominator (both positive) with more than WIDTH significant bits. */
export function ratio(numerator: bigint, denominator: bigint, exponent: number): Real {
  const lift = Math.max(0, WIDTH + 8 + bitLength(denominator) - bitLength(numerator));
  return { significand: (numerator << big(lift)) / denominator, exponent: exponent - lift };
}

/** A Real as fixed point, truncated. */
export function toFixed(x: Real): bigint {
  const count = x.exponent + WIDTH;
  return count < -2 * WIDTH - 512 ? 0n : shift(x.significand, count);
}

/** The square of a Real as fixed point, truncated. */
export function squareFixed(x: Real): bigint {
  return toFixed({ significand: x.significand * x.significand, exponent: 2 * x.exponent });
}

/** sin(r) / r and cos(r) from r squared; below 1 for every r but 0, however small. */
export function sineCosine(square: bigint): { sine: bigint; cosine: bigint } {
  let sine = 0n;
  let cosine = 0n;
  let term = ONE;
  for (let n = 1; term !== 0n; n += 2) {
    // term is r^(n-1) / (n-1)! with its sign
    cosine += term;
    const next = term / BigInt(n);
    sine += next;
    term = -((next * square) >> COUNT) / BigInt(n + 1);
  }
  return { sine: sine === ONE ? ONE - 1n : sine, cosine: cosine === ONE ? ONE - 1n : cosine };
}

/** atanh(z) / z (`sign` 1n) or atan(z) / z (`sign` -1n) from z squared; never exactly 1. */
export function inverseTangent(square: bigint, sign: 1n | -1n): bigint {
  let sum = 0n;
  let power = ONE;
  for (let n = 1; power !== 0n; n += 2) {
    sum += power / BigInt(n);
    power = sign * ((power * square) >> COUNT);
  }
  return sum === ONE ? ONE + sign : sum;
}

/** (e^t - 1) / t for a fixed-point t of either sign. */
export function exponentialMinusOne(t: bigint): bigint {
  let sum = 0n;
  let term = ONE;
  for (let n = 2; term !== 0n && term !== -1n; n++) {
    sum += term;
    term = (term * t) >> COUNT;
    term /= BigInt(n);
  }
  return sum;
}

/** atan(n / d) in fixed point by Euler's series, which converges for every argument up to 1 and beyond. */
function eulerArcTangent(n: bigint, d: bigint): bigint {
  const guard = 32n;
  const sum2 = n * n + d * d;
  let term = ((n * d) << (COUNT + guard)) / sum2;
  let sum = 0n;
  for (let k = 1n; term !== 0n; k++) {
    sum += term;
    term = (term * 2n * k * n * n) / ((2n * k + 1n) * sum2);
  }
  return sum >> guard;
}

function lazy<T>(compute: () => T): () => T {
  let value: T | undefined;
  return () => {
    value ??= compute();
    return value;
  };
}

/** atan(i / 8) for i = 0..8. */
const eighths = lazy(() => Array.from({ length: 9 }, (_, i) => eulerArcTangent(BigInt(i), 8n)));

/** pi in fixed point. */
export const pi = lazy(() => eulerArcTangent(1n, 1n) << 2n);

/** ln 2 in fixed point: 2 atanh(1/3). */
export const ln2 = lazy(() => (2n * inverseTangent(ONE / 9n, 1n)) / 3n);

/** log2 e in fixed point. */
export const log2e = lazy(() => (ONE << COUNT) / ln2());

/** atan(q) for 0 < q <= 1. */
export function arcTangent(q: Real): Real {
  const fixed = toFixed(q);
  const index = Number((fixed * 16n + ONE) >> (COUNT + 1n));
  if (index === 0) {
    const factor = inverseTangent(squareFixed(q), -1n);
    return { significand: q.significand * factor, exponent: q.exponent - WIDTH };
  }
  // atan q = atan c + atan((q - c) / (1 + q c)) with c = index / 8
  const c = BigInt(index);
  const rest = ((8n * fixed - c * ONE) << COUNT) / (8n * ONE + c * fixed);
  const factor = inverseTangent((rest * rest) >> COUNT, -1n);
  return { significand: eighths()[index] + ((rest * factor) >> COUNT), exponent: -WIDTH };
}
