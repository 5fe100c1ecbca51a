import type { CpuContext } from "../cpu/context.js";

/** MASKMOVQ and MASKMOVDQU. All bytes must be writable, also those that are not chosen. */
export function sseMaskedStore(cpu: CpuContext): void {
  const linear = cpu.arg64(0);
  const bytes = cpu.arg32(1);
  const { u8 } = cpu.state;
  const value = u8.slice(cpu.argAddress(2), cpu.argAddress(2) + bytes);
  const mask = u8.slice(cpu.argAddress(3), cpu.argAddress(3) + bytes);
  cpu.probeWrite(linear, bytes);
  for (let byte = 0; byte < bytes; byte++) {
    if (mask[byte] & 0x80) cpu.write(BigInt.asUintN(64, linear + BigInt(byte)), 1, value[byte]);
  }
}
