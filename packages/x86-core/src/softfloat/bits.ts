const doubles = new Float64Array(1);
const words = new Uint32Array(doubles.buffer);

const TABLE = 320;
/** `big(n)` without a conversion for the usual shift counts. */
const counts: bigint[] = Array.from({ length: TABLE }, (_, n) => BigInt(n));
const powers: bigint[] = counts.map((n) => 1n << n);
const lowMasks: bigint[] = powers.map((p) => p - 1n);

/** `n` as a BigInt. */
export function big(n: number): bigint {
  return n >= 0 && n < TABLE ? counts[n] : BigInt(n);
}

/** 2 to the power of `n`, for n >= 0. */
export function power(n: number): bigint {
  return n < TABLE ? powers[n] : 1n << BigInt(n);
}

/** The `n` low bits set, for n >= 0. */
export function lowMask(n: number): bigint {
  return n < TABLE ? lowMasks[n] : (1n << BigInt(n)) - 1n;
}

/** Number of bits of a positive integer. */
export function bitLength(x: bigint): number {
  doubles[0] = Number(x);
  const high = words[1];
  const exponent = (high >>> 20) - 1023;
  if (exponent >= 1023) return x.toString(2).length;
  // Number() rounds to nearest and can therefore reach the next power of two.
  if ((high & 0xfffff) === 0 && words[0] === 0 && x < power(exponent)) return exponent;
  return exponent + 1;
}

/** x shifted left, or right (dropping bits) for a negative count. */
export function shift(x: bigint, count: number): bigint {
  if (count === 0) return x;
  return count > 0 ? x << big(count) : x >> big(-count);
}

/** Integer square root, rounded down, by Newton's iteration from a double-precision start. */
export function integerSquareRoot(x: bigint): bigint {
  if (x === 0n) return 0n;
  const n = bitLength(x);
  const even = n <= 1000 ? 0 : (n - 1000) & ~1;
  let root = (BigInt(Math.floor(Math.sqrt(Number(shift(x, -even))))) + 1n) << big(even / 2);
  // Any start settles after one step on the upper side; from there the sequence decreases to the floor.
  root = (root + x / root) >> 1n;
  for (;;) {
    const next = (root + x / root) >> 1n;
    if (next >= root) break;
    root = next;
  }
  while (root * root > x) root -= 1n;
  while ((root + 1n) * (root + 1n) <= x) root += 1n;
  return root;
}
