import type { CpuContext } from "../cpu/context.js";
import { GS, gprOffset, S, SS, STATE } from "../state/layout.js";
import { loadSegment } from "./segmentation.js";
import { setStackPointer } from "./stack.js";

/**
 * Loads a segment register and says whether the code must leave its block: outside 64-bit mode decoding depends on the
 * data segments being flat.
 */
function load(cpu: CpuContext, segment: number, selector: number): boolean {
  const { state } = cpu;
  const mode = state.get32(S.mode);
  loadSegment(cpu, segment, selector);
  if (segment === SS) state.set32(S.shadow, 2);
  else if (!state.codeIs64 && segment < GS - 1) cpu.modeChanged();
  return state.get32(S.mode) !== mode || segment === SS;
}

/** MOV to a segment register: (segment, selector). */
export function moveSegment(cpu: CpuContext): void {
  if (load(cpu, cpu.arg32(0), cpu.arg32(1) & 0xffff)) leave(cpu);
}

/** POP to one: (segment, selector, bytes). The stack pointer moves by the width of the old stack. */
export function popSegment(cpu: CpuContext): void {
  const { state } = cpu;
  const mask = state.get64(S.stackMask);
  const pointer = state.get64(gprOffset(4)) + BigInt(cpu.arg32(2));
  const leaves = load(cpu, cpu.arg32(0), cpu.arg32(1) & 0xffff);
  setStackPointer(cpu, pointer, mask);
  if (leaves) leave(cpu);
}

/** LDS, LES, LSS, LFS, LGS: (segment and bytes * 256, selector, state offset of the register, value). */
export function loadFarPointer(cpu: CpuContext): void {
  const { state } = cpu;
  const first = cpu.arg32(0);
  const register = cpu.arg32(2);
  const value = cpu.arg64(3);
  const leaves = load(cpu, first & 0xff, cpu.arg32(1) & 0xffff);
  if (first >> 8 === 2) state.u16[(STATE + register) >> 1] = Number(value);
  else state.set64(register, value);
  // LSS does not hold off interrupts.
  if ((first & 0xff) === SS) state.set32(S.shadow, 0);
  if (leaves) cpu.jump(cpu.nextIp);
}

/** After a load of SS the next instruction must be seen alone when a trap or interrupt waits. */
function leave(cpu: CpuContext): void {
  if (cpu.state.get32(S.shadow) && cpu.state.get32(S.attention)) cpu.attention();
  cpu.jump(cpu.nextIp);
}
