import type { CpuContext } from "../cpu/context.js";
import { SHA_OPERATIONS } from "../semantics/sse-codes.js";

const rotl = (x: number, n: number) => (x << n) | (x >>> (32 - n));
const rotr = (x: number, n: number) => (x >>> n) | (x << (32 - n));
const choose = (x: number, y: number, z: number) => (x & y) ^ (~x & z);
const majority = (x: number, y: number, z: number) => (x & y) ^ (x & z) ^ (y & z);
const parity = (x: number, y: number, z: number) => x ^ y ^ z;

/** Function and constant of each group of 20 rounds of SHA-1 (FIPS 180-4, 4.1.1 and 4.2.1). */
const SHA1 = [
  { f: choose, k: 0x5a827999 },
  { f: parity, k: 0x6ed9eba1 },
  { f: majority, k: 0x8f1bbcdc },
  { f: parity, k: 0xca62c1d6 },
] as const;

const sigma0 = (x: number) => rotr(x, 7) ^ rotr(x, 18) ^ (x >>> 3);
const sigma1 = (x: number) => rotr(x, 17) ^ rotr(x, 19) ^ (x >>> 10);

/** A vector as words, the lowest first. */
type Words = readonly number[];

function sha1Rounds(a: Words, b: Words, group: number): number[] {
  const { f, k } = SHA1[group];
  let [A, B, C, D] = [a[3], a[2], a[1], a[0]];
  // E of the first round has already been added to the highest word (SHA1NEXTE).
  let E = 0;
  for (let round = 0; round < 4; round++) {
    const next = (f(B, C, D) + rotl(A, 5) + b[3 - round] + E + k) | 0;
    [A, B, C, D, E] = [next, A, rotl(B, 30), C, D];
  }
  return [D, C, B, A];
}

function sha256Rounds(a: Words, b: Words, wk: Words): number[] {
  let [A, B, C, D, E, F, G, H] = [b[3], b[2], a[3], a[2], b[1], b[0], a[1], a[0]];
  for (let round = 0; round < 2; round++) {
    const t1 = (choose(E, F, G) + (rotr(E, 6) ^ rotr(E, 11) ^ rotr(E, 25)) + wk[round] + H) | 0;
    const t2 = (majority(A, B, C) + (rotr(A, 2) ^ rotr(A, 13) ^ rotr(A, 22))) | 0;
    [A, B, C, D, E, F, G, H] = [(t1 + t2) | 0, A, B, C, (D + t1) | 0, E, F, G];
  }
  return [F, E, B, A];
}

const OPERATIONS: Record<(typeof SHA_OPERATIONS)[number], (a: Words, b: Words, extra: Words, group: number) => Words> =
  {
    sha1rnds4: (a, b, _extra, group) => sha1Rounds(a, b, group),
    sha1nexte: (a, b) => [b[0], b[1], b[2], b[3] + rotl(a[3], 30)],
    sha1msg1: (a, b) => [b[2] ^ a[0], b[3] ^ a[1], a[0] ^ a[2], a[1] ^ a[3]],
    sha1msg2: (a, b) => {
      const w16 = rotl(a[3] ^ b[2], 1);
      return [rotl(a[0] ^ w16, 1), rotl(a[1] ^ b[0], 1), rotl(a[2] ^ b[1], 1), w16];
    },
    sha256rnds2: (a, b, extra) => sha256Rounds(a, b, extra),
    sha256msg1: (a, b) => [a[0] + sigma0(a[1]), a[1] + sigma0(a[2]), a[2] + sigma0(a[3]), a[3] + sigma0(b[0])],
    sha256msg2: (a, b) => {
      const w16 = (a[0] + sigma1(b[2])) | 0;
      const w17 = (a[1] + sigma1(b[3])) | 0;
      return [w16, w17, a[2] + sigma1(w16), a[3] + sigma1(w17)];
    },
  };

/** The SHA-1 and SHA-256 steps: arguments are the operation (bits 8-9: SHA-1 group), two vectors and XMM0. */
export function sseSha(cpu: CpuContext): void {
  const kind = cpu.arg32(0);
  const { i32 } = cpu.state;
  const words = (argument: number): Words => {
    const first = cpu.argAddress(argument) >> 2;
    return [i32[first], i32[first + 1], i32[first + 2], i32[first + 3]];
  };
  const result = OPERATIONS[SHA_OPERATIONS[kind & 0xff]](words(1), words(2), words(3), kind >> 8);
  result.forEach((word, lane) => {
    i32[(cpu.resultAddress() >> 2) + lane] = word;
  });
}
