import type { CpuContext } from "../cpu/context.js";
import { AES_OPERATIONS } from "../semantics/sse-codes.js";

/** Multiplication in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1 (FIPS 197, 4.2). */
function multiply(a: number, b: number): number {
  let product = 0;
  for (let x = a, y = b; y; y >>= 1) {
    if (y & 1) product ^= x;
    x = ((x << 1) ^ (x & 0x80 ? 0x11b : 0)) & 0xff;
  }
  return product;
}

/** The substitution box and its inverse (FIPS 197, 5.1.1): the multiplicative inverse, then an affine map. */
const SBOX = new Uint8Array(256);
const INVERSE_SBOX = new Uint8Array(256);
for (let value = 0; value < 256; value++) {
  let inverse = 0;
  for (let candidate = 1; value && candidate < 256; candidate++) {
    if (multiply(value, candidate) === 1) inverse = candidate;
  }
  const rotate = (count: number) => (inverse << count) | (inverse >> (8 - count));
  const mapped = (inverse ^ rotate(1) ^ rotate(2) ^ rotate(3) ^ rotate(4) ^ 0x63) & 0xff;
  SBOX[value] = mapped;
  INVERSE_SBOX[mapped] = value;
}
const table = (factor: number) => Uint8Array.from({ length: 256 }, (_, value) => multiply(value, factor));
const TIMES = { 2: table(2), 3: table(3), 9: table(9), 11: table(11), 13: table(13), 14: table(14) };

const work = new Uint8Array(16);

/** SubBytes after ShiftRows; `direction` 1 for encryption, -1 for decryption. Byte r + 4 c is row r, column c. */
function substituteShifted(source: Uint8Array, box: Uint8Array, direction: 1 | -1): void {
  for (let byte = 0; byte < 16; byte++) {
    const row = byte & 3;
    const column = ((byte >> 2) + direction * row) & 3;
    work[byte] = box[source[row + 4 * column]];
  }
}

function mixColumns(state: Uint8Array): void {
  for (let c = 0; c < 16; c += 4) {
    const [a, b, d, e] = [state[c], state[c + 1], state[c + 2], state[c + 3]];
    state[c] = TIMES[2][a] ^ TIMES[3][b] ^ d ^ e;
    state[c + 1] = a ^ TIMES[2][b] ^ TIMES[3][d] ^ e;
    state[c + 2] = a ^ b ^ TIMES[2][d] ^ TIMES[3][e];
    state[c + 3] = TIMES[3][a] ^ b ^ d ^ TIMES[2][e];
  }
}
function inverseMixColumns(state: Uint8Array): void {
  for (let c = 0; c < 16; c += 4) {
    const column = state.slice(c, c + 4);
    for (let row = 0; row < 4; row++) {
      state[c + row] =
        TIMES[14][column[row]] ^
        TIMES[11][column[(row + 1) & 3]] ^
        TIMES[13][column[(row + 2) & 3]] ^
        TIMES[9][column[(row + 3) & 3]];
    }
  }
}

/** AESENC, AESENCLAST, AESDEC, AESDECLAST, AESIMC, AESKEYGENASSIST. */
export function sseAes(cpu: CpuContext): void {
  const kind = cpu.arg32(0);
  const operation = AES_OPERATIONS[kind & 0xff];
  const { u8 } = cpu.state;
  const a = u8.subarray(cpu.argAddress(1), cpu.argAddress(1) + 16);
  const key = u8.subarray(cpu.argAddress(2), cpu.argAddress(2) + 16);
  const result = cpu.resultAddress();
  switch (operation) {
    case "enc":
    case "enclast":
      substituteShifted(a, SBOX, 1);
      if (operation === "enc") mixColumns(work);
      break;
    case "dec":
    case "declast":
      substituteShifted(a, INVERSE_SBOX, -1);
      if (operation === "dec") inverseMixColumns(work);
      break;
    case "imc":
      work.set(a);
      inverseMixColumns(work);
      break;
    case "keygen": {
      // Words 1 and 3, substituted; then rotated with the round constant.
      for (let byte = 0; byte < 4; byte++) {
        work[byte] = SBOX[a[4 + byte]];
        work[8 + byte] = SBOX[a[12 + byte]];
        work[4 + byte] = SBOX[a[4 + ((byte + 1) & 3)]];
        work[12 + byte] = SBOX[a[12 + ((byte + 1) & 3)]];
      }
      work[4] ^= kind >>> 8;
      work[12] ^= kind >>> 8;
      break;
    }
  }
  u8.set(work, result);
  if (operation !== "imc" && operation !== "keygen") {
    for (let byte = 0; byte < 16; byte++) u8[result + byte] ^= key[byte];
  }
}
