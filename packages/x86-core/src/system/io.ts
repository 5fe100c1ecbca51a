import type { CpuContext } from "../cpu/context.js";
import { raise } from "../cpu/fault.js";
import { VECTOR } from "../semantics/ops.js";
import { TR } from "../state/layout.js";
import { noteIo } from "./breakpoints.js";
import { iopl, isReal, isVirtual8086, wrapLinear } from "./modes.js";
import { ATTRIBUTE, TYPE } from "./registers.js";

/** Raises #GP(0) unless the code may use these ports: by IOPL, or by the bitmap in the TSS (SDM vol. 1, 19.5). */
export function ioPermission(cpu: CpuContext, port: number, bytes: number): void {
  const { state } = cpu;
  if (isReal(state)) return;
  if (!isVirtual8086(state) && state.cpl <= iopl(state)) return;
  const attributes = state.attributes(TR);
  const limit = state.limit(TR);
  // Only a TSS of 32 or 64 bits has a bitmap.
  const type = (attributes >> 8) & 15 & ~2;
  if (!(attributes & ATTRIBUTE.P) || type !== TYPE.TSS32 || limit < 103) raise(VECTOR.GP, 0);
  const base = state.base(TR);
  const map = cpu.readSystem(wrapLinear(state, base + 102n), 2);
  const offset = map + (port >> 3);
  // Two bytes are always read: the map ends in a byte of ones.
  if (offset + 1 > limit) raise(VECTOR.GP, 0);
  const bits = cpu.readSystem(wrapLinear(state, base + BigInt(offset)), 2) >> (port & 7);
  if (bits & ((1 << bytes) - 1)) raise(VECTOR.GP, 0);
}

/** (port, bytes): INS and OUTS check their port before anything else, also when they are repeated no times. */
export function ioCheck(cpu: CpuContext): void {
  ioPermission(cpu, cpu.arg32(0) & 0xffff, cpu.arg32(1));
}

/** IN: (port, bytes) -> value. */
export function ioIn(cpu: CpuContext): void {
  const port = cpu.arg32(0) & 0xffff;
  const bytes = cpu.arg32(1);
  ioPermission(cpu, port, bytes);
  cpu.setResult32(cpu.bus.readPort(port, bytes));
  noteIo(cpu, port, bytes);
}

/** OUT: (port, bytes, value). */
export function ioOut(cpu: CpuContext): void {
  const port = cpu.arg32(0) & 0xffff;
  const bytes = cpu.arg32(1);
  ioPermission(cpu, port, bytes);
  cpu.bus.writePort(port, bytes, cpu.arg32(2) >>> 0);
  noteIo(cpu, port, bytes);
}
