/** A small repeatable generator (xorshift128). */
export class Random {
  private s: Uint32Array;

  constructor(seed: number) {
    this.s = new Uint32Array([seed ^ 0x9e3779b9, 0x243f6a88, 0xb7e15162, seed | 1]);
    for (let i = 0; i < 20; i++) this.next();
  }

  /** 32 random bits. */
  next(): number {
    const s = this.s;
    let t = s[3];
    t ^= t << 11;
    t ^= t >>> 8;
    s[3] = s[2];
    s[2] = s[1];
    s[1] = s[0];
    s[0] = t ^ s[0] ^ (s[0] >>> 19);
    return s[0];
  }

  below(n: number): number {
    return this.next() % n;
  }

  bits(n: number): bigint {
    let x = 0n;
    for (let i = 0; i < n; i += 32) x = (x << 32n) | BigInt(this.next());
    return BigInt.asUintN(n, x);
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)];
  }
}

/** Interesting fraction fields of `n` bits: full, empty, sparse, runs of ones, few leading bits (exact ties). */
export function fraction(random: Random, n: number): bigint {
  const mask = (1n << BigInt(n)) - 1n;
  const k = BigInt(random.below(n));
  switch (random.below(9)) {
    case 0:
      return 0n;
    case 1:
      return mask;
    case 2:
      return 1n << k;
    case 3:
      return (mask << k) & mask;
    case 4:
      return mask >> k;
    case 5:
      return (random.bits(n) >> k) << k;
    case 6:
      return ((1n << BigInt(n - 1)) | (1n << k)) & mask;
    default:
      return random.bits(n);
  }
}

function exponent(random: Random, bits: number): number {
  const max = (1 << bits) - 1;
  const bias = max >> 1;
  switch (random.below(10)) {
    case 0:
      return 0;
    case 1:
      return max;
    case 2:
      return 1 + random.below(70) <= max ? 1 + random.below(Math.min(70, max)) : 1;
    case 3:
      return max - 1 - random.below(Math.min(70, max - 1));
    case 4:
    case 5:
      return Math.min(max, Math.max(0, bias + random.below(140) - 70));
    case 6:
      return bias + random.below(3) - 1;
    case 7:
      return bias >> 1;
    default:
      return random.below(max + 1);
  }
}

/** A pattern of an interchange format with `e` exponent and `f` fraction bits. */
export function pattern(random: Random, e: number, f: number): bigint {
  const sign = BigInt(random.below(2));
  return (sign << BigInt(e + f)) | (BigInt(exponent(random, e)) << BigInt(f)) | fraction(random, f);
}

/** An 80-bit pattern; one in sixteen has the other integer bit (pseudo-denormals and unsupported encodings). */
export function pattern80(random: Random): bigint {
  const sign = BigInt(random.below(2));
  const biased = exponent(random, 15);
  let integer = biased === 0 ? 0n : 1n;
  if (random.below(16) === 0) integer ^= 1n;
  return (sign << 79n) | (BigInt(biased) << 64n) | (integer << 63n) | fraction(random, 63);
}

/** A second operand: unrelated, or near `a` in value so that sums cancel and quotients come close to one. */
export function partner(random: Random, a: bigint, width: number, make: () => bigint): bigint {
  if (random.below(4) !== 0) return make();
  const sign = BigInt(random.below(2)) << BigInt(width - 1);
  return BigInt.asUintN(width, (a ^ sign) + BigInt(random.below(9) - 4));
}

/** An integer of up to `width` bits as a pattern, with small and nearly full ones frequent. */
export function integer(random: Random, width: number): bigint {
  const magnitude = random.bits(width) >> BigInt(random.below(width));
  return BigInt.asUintN(width, random.below(2) ? -magnitude : magnitude);
}
