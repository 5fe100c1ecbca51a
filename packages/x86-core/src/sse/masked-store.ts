import type { CpuContext } from "../cpu/context.js";

/** MASKMOVQ and MASKMOVDQU. Bytes that are not chosen are not accessed at all. */
export function sseMaskedStore(cpu: CpuContext): void {
  const linear = cpu.arg64(0);
  const bytes = cpu.arg32(1);
  const { u8 } = cpu.state;
  const value = u8.slice(cpu.argAddress(2), cpu.argAddress(2) + bytes);
  const mask = u8.slice(cpu.argAddress(3), cpu.argAddress(3) + bytes);
  const chosen = Array.from(mask.keys()).filter((byte) => mask[byte] & 0x80);
  const at = (byte: number) => BigInt.asUintN(64, linear + BigInt(byte));
  for (const byte of chosen) cpu.probeWrite(at(byte), 1);
  for (const byte of chosen) cpu.write(at(byte), 1, value[byte]);
}
