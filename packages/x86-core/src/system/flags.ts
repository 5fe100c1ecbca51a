import type { CpuContext } from "../cpu/context.js";
import { FLAG } from "../semantics/flags.js";
import { S } from "../state/layout.js";
import { DR7 } from "./registers.js";

/**
 * Replaces the bits of RFLAGS in `mask` and has the run loop look at the next boundary when that can matter: TF, RF, or
 * IF with something waiting.
 */
export function loadFlags(cpu: CpuContext, flags: number, mask: number): void {
  const { state } = cpu;
  // RF only holds off instruction breakpoints; without any it would be cleared by the next instruction unseen.
  if (!(state.get32(S.dr + 7 * 8) & DR7.ENABLES)) mask &= ~FLAG.RF;
  const old = state.rflags;
  const value = (old & ~mask & ~FLAG.RF) | (flags & mask);
  state.rflags = value;
  if (value & (FLAG.TF | FLAG.RF) || (value & FLAG.IF && state.get32(S.attention))) cpu.attention();
}
