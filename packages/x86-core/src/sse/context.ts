import type { CpuContext } from "../cpu/context.js";
import { raise } from "../cpu/fault.js";
import { createContext, type FloatContext, PRE_COMPUTATION } from "../softfloat/index.js";
import { S } from "../state/layout.js";

const UD = 6;
const XM = 19;
const CR4_OSXMMEXCPT = 1n << 10n;

const context = createContext();

/** What MXCSR says, with no flag raised yet. One object is reused. */
export function begin(cpu: CpuContext): FloatContext {
  const mxcsr = cpu.state.get32(S.mxcsr);
  context.flags = 0;
  context.rounding = (mxcsr >> 13) & 3;
  context.masks = (mxcsr >> 7) & 0x3f;
  context.denormalsAreZero = (mxcsr & 0x40) !== 0;
  context.flushToZero = (mxcsr & 0x8000) !== 0;
  return context;
}

/**
 * Adds the raised flags to MXCSR and raises #XM (#UD when the system does not support it) for unmasked ones. An
 * exception found before computing keeps those found after from being reported (SDM vol. 1, 11.5.3).
 */
export function finish(cpu: CpuContext): void {
  let { flags } = context;
  if (flags === 0) return;
  if (flags & ~context.masks & PRE_COMPUTATION) flags &= PRE_COMPUTATION;
  cpu.state.set32(S.mxcsr, cpu.state.get32(S.mxcsr) | flags);
  if (flags & ~context.masks) raise(cpu.state.get64(S.cr4) & CR4_OSXMMEXCPT ? XM : UD);
}
