import type { CpuContext } from "../cpu/context.js";
import { FLAG } from "../semantics/flags.js";
import { S } from "../state/layout.js";
import type { State } from "../state/state.js";
import { CR4, DR7 } from "./registers.js";

/** What a breakpoint watches: the R/W field of DR7 (SDM vol. 3, 18.2.4). */
const KIND = { EXECUTE: 0, WRITE: 1, IO: 2, ACCESS: 3 } as const;

const control = (state: State): number => state.get32(S.dr + 7 * 8);
const enabled = (dr7: number, index: number): boolean => ((dr7 >> (index * 2)) & 3) !== 0;
const kind = (dr7: number, index: number): number => (dr7 >> (16 + index * 4)) & 3;
/** LEN: 1, 2, 8 or 4 bytes. */
const length = (dr7: number, index: number): number => [1, 2, 8, 4][(dr7 >> (18 + index * 4)) & 3];

function anyOf(state: State, wanted: (kind: number) => boolean): boolean {
  const dr7 = control(state);
  if (!(dr7 & DR7.ENABLES)) return false;
  for (let index = 0; index < 4; index++) if (enabled(dr7, index) && wanted(kind(dr7, index))) return true;
  return false;
}

/** Whether any data breakpoint is set: then memory accesses go the slow way and call `noteAccess`. */
export const hasDataBreakpoints = (state: State): boolean => anyOf(state, (k) => k === KIND.WRITE || k === KIND.ACCESS);

/** DR6 bits of the enabled instruction breakpoints at a linear address; 0 while RF holds them off. */
export function instructionBreakpoint(state: State, linear: bigint): number {
  if (state.get32(S.systemFlags) & FLAG.RF) return 0;
  return match(state, linear, 1, (k) => k === KIND.EXECUTE);
}

/** DR6 bits of the breakpoints whose range overlaps an access; only if at least one of them is enabled. */
function match(state: State, address: bigint, bytes: number, wanted: (kind: number) => boolean): number {
  const dr7 = control(state);
  let hits = 0;
  let report = false;
  for (let index = 0; index < 4; index++) {
    if (!wanted(kind(dr7, index))) continue;
    const size = BigInt(length(dr7, index));
    const start = state.get64(S.dr + index * 8) & ~(size - 1n);
    if (address >= start + size || address + BigInt(bytes) <= start) continue;
    hits |= 1 << index;
    report ||= enabled(dr7, index);
  }
  return report ? hits : 0;
}

function note(cpu: CpuContext, hits: number): void {
  if (!hits) return;
  cpu.state.set32(S.debugPending, cpu.state.get32(S.debugPending) | hits);
  cpu.attention();
}

/** Tells of a data access on the slow path: a trap follows the instruction when a breakpoint watches it. */
export function noteAccess(cpu: CpuContext, linear: bigint, bytes: number, write: boolean): void {
  if (!(control(cpu.state) & DR7.ENABLES)) return;
  note(
    cpu,
    match(cpu.state, linear, bytes, (k) => k === KIND.ACCESS || (write && k === KIND.WRITE)),
  );
}

/** Likewise for ports, which are watched only with CR4.DE. */
export function noteIo(cpu: CpuContext, port: number, bytes: number): void {
  const { state } = cpu;
  if (!(control(state) & DR7.ENABLES) || !(state.low(S.cr4) & CR4.DE)) return;
  note(
    cpu,
    match(state, BigInt(port), bytes, (k) => k === KIND.IO),
  );
}
