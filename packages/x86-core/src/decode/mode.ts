import { FLAG } from "../semantics/flags.js";
import { CS, DS, ES, S, SS } from "../state/layout.js";
import type { State } from "../state/state.js";
import { ATTRIBUTE, CR0, CR4 } from "../system/registers.js";

/**
 * Bits of `S.mode`: everything beside the bytes that decoding depends on. Code decoded in one mode is never run in
 * another.
 */
export const MODE = {
  /** 64-bit mode. */
  LONG: 1 << 0,
  /** CS.D outside 64-bit mode: 32-bit operands and addresses by default. */
  CODE32: 1 << 1,
  /** Outside 64-bit mode: DS, ES and SS start at 0, end at 4 GiB and may be read and written. */
  FLAT: 1 << 2,
  /** CPL 3: fetches must be permitted to user mode. */
  USER: 1 << 3,
  /** Virtual-8086 or real mode: no VEX. */
  NO_VEX: 1 << 4,
  /** CR0.TS or CR0.EM: x87 instructions raise #NM. */
  X87_NM: 1 << 5,
  /** CR0.EM: MMX raises #UD. CR0.EM or no CR4.OSFXSR: SSE raises #UD. */
  MMX_UD: 1 << 6,
  SSE_UD: 1 << 7,
  /** CR0.TS: MMX and SSE raise #NM. */
  TASK_SWITCHED: 1 << 8,
} as const;

/** The mode that follows from the state (SDM vol. 3, 2.2 and 2.5). */
export function modeOf(state: State): number {
  const cr0 = state.low(S.cr0);
  let mode = 0;
  if (state.codeIs64) mode |= MODE.LONG;
  else {
    if (state.attributes(CS) & ATTRIBUTE.DB) mode |= MODE.CODE32;
    if ([DS, ES, SS].every((segment) => isFlat(state, segment))) mode |= MODE.FLAT;
    if (!(cr0 & CR0.PE) || state.get32(S.systemFlags) & FLAG.VM) mode |= MODE.NO_VEX;
  }
  if (state.cpl === 3) mode |= MODE.USER;
  if (cr0 & (CR0.TS | CR0.EM)) mode |= MODE.X87_NM;
  if (cr0 & CR0.EM) mode |= MODE.MMX_UD | MODE.SSE_UD;
  if (!(state.low(S.cr4) & CR4.OSFXSR)) mode |= MODE.SSE_UD;
  if (cr0 & CR0.TS) mode |= MODE.TASK_SWITCHED;
  return mode;
}

/** Present, data, writable, expand-up, from 0 to 4 GiB. */
function isFlat(state: State, segment: number): boolean {
  return (
    state.base(segment) === 0n && state.limit(segment) === 0xffffffff && (state.attributes(segment) & 0x9e00) === 0x9200
  );
}
