import type { CpuContext } from "../cpu/context.js";

/** PCLMULQDQ: the 127-bit product of two polynomials over GF(2). */
export function sseCarrylessMultiply(cpu: CpuContext): void {
  const a = cpu.arg64(0);
  let product = 0n;
  for (let b = cpu.arg64(1), shift = 0n; b !== 0n; b >>= 1n, shift++) {
    if (b & 1n) product ^= a << shift;
  }
  const { u64 } = cpu.state;
  const result = cpu.resultAddress() >> 3;
  u64[result] = BigInt.asUintN(64, product);
  u64[result + 1] = product >> 64n;
}
