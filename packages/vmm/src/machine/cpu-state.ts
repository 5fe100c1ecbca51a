import { S, SEGMENTS, type State } from "@softmetal/x86-core";
import type { GeneralRegister, InitialCpuState, SegmentRegister, SegmentState } from "../boot/index.js";

const GENERAL: readonly GeneralRegister[] = ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"];

/** VMX access rights to the attribute bits of a descriptor's second word. */
function attributes(segment: SegmentState): number {
  if (segment.access & 0x10000) return 0;
  return ((segment.access & 0xff) << 8) | ((segment.access & 0xf000) << 8);
}

/** Sets a CPU that has just been reset to the state with which a boot source is entered. */
export function setInitialState(state: State, initial: InitialCpuState): void {
  state.set64(S.rip, BigInt(initial.rip));
  GENERAL.forEach((name, index) => {
    state.set64(S.gpr + index * 8, BigInt(initial.registers[name] ?? 0));
  });
  for (const [name, segment] of Object.entries(initial.segments) as [SegmentRegister, SegmentState][]) {
    state.setSegment(SEGMENTS[name], segment.selector, BigInt(segment.base), segment.limit, attributes(segment));
  }
  state.set64(S.cr0, BigInt(initial.cr0 >>> 0));
  state.set64(S.cr3, BigInt(initial.cr3));
  state.set64(S.cr4, BigInt(initial.cr4));
  state.set64(S.efer, BigInt(initial.efer));
  state.set64(S.gdtBase, BigInt(initial.gdtr.base));
  state.set32(S.gdtLimit, initial.gdtr.limit);
  state.set64(S.idtBase, BigInt(initial.idtr.base));
  state.set32(S.idtLimit, initial.idtr.limit);
  state.rflags = 2;
}
