import type { CpuContext } from "../cpu/context.js";
import { raise } from "../cpu/fault.js";
import { FLAG } from "../semantics/flags.js";
import { VECTOR } from "../semantics/ops.js";
import { CS, gprOffset, S, SEGMENT, SS, segmentOffset } from "../state/layout.js";
import { requirePrivilege } from "./control-registers.js";
import { loadFlags } from "./flags.js";
import { copyField, isCanonical, isCanonicalHalves, isLongActive, isReal } from "./modes.js";
import { EFER } from "./registers.js";

/** Attributes of the segments that fast system calls load without reading descriptors. */
const CODE64 = 0xa09b00;
const CODE32 = 0xc09b00;
const DATA = 0xc09300;
const DPL3 = 0x6000;

/** Loads a flat segment, base 0 and limit 4 GiB, without allocating. */
function setFlat(cpu: CpuContext, segment: number, selector: number, attributes: number): void {
  const { state } = cpu;
  const offset = segmentOffset(segment);
  state.set32(offset + SEGMENT.selector, selector & 0xffff);
  state.set32(offset + SEGMENT.base, 0);
  state.set32(offset + SEGMENT.base + 4, 0);
  state.set32(offset + SEGMENT.limit, 0xffffffff);
  state.set32(offset + SEGMENT.attributes, attributes);
}

/** SYSCALL (SDM vol. 2): only in 64-bit mode. */
export function syscall(cpu: CpuContext): void {
  const { state } = cpu;
  if (!state.codeIs64 || !(state.low(S.efer) & EFER.SCE)) raise(VECTOR.UD);
  state.set64(gprOffset(1), cpu.nextIp);
  const flags = state.rflags & ~FLAG.RF;
  state.set32(gprOffset(11), flags);
  state.set32(gprOffset(11) + 4, 0);
  state.rflags = flags & ~state.low(S.sfmask);
  const selector = state.high(S.star) & 0xfffc;
  setFlat(cpu, CS, selector, CODE64);
  setFlat(cpu, SS, selector + 8, DATA);
  cpu.modeChanged();
  cpu.jump(state.get64(S.lstar));
}

const SYSRET_FLAGS = 0x3c7fd7;

/** SYSRET, to 64-bit code or to compatibility mode. */
export function sysret(cpu: CpuContext, wide: boolean): void {
  const { state } = cpu;
  if (!state.codeIs64 || !(state.low(S.efer) & EFER.SCE)) raise(VECTOR.UD);
  requirePrivilege(cpu);
  if (wide && !isCanonicalHalves(state.high(gprOffset(1)))) raise(VECTOR.GP, 0);
  const target = wide ? state.get64(gprOffset(1)) : BigInt(state.low(gprOffset(1)));
  const selector = state.high(S.star) >>> 16;
  setFlat(cpu, CS, (wide ? selector + 16 : selector) | 3, (wide ? CODE64 : CODE32) | DPL3);
  setFlat(cpu, SS, (selector + 8) | 3, DATA | DPL3);
  loadFlags(cpu, state.low(gprOffset(11)), SYSRET_FLAGS);
  cpu.modeChanged();
  cpu.jump(target);
}

/** SYSENTER. */
export function sysenter(cpu: CpuContext): void {
  const { state } = cpu;
  const selector = state.low(S.sysenterCs) & 0xfffc;
  if (isReal(state) || selector === 0) raise(VECTOR.GP, 0);
  const long = isLongActive(state);
  state.set32(S.systemFlags, state.get32(S.systemFlags) & ~(FLAG.VM | FLAG.IF | FLAG.RF));
  setFlat(cpu, CS, selector, long ? CODE64 : CODE32);
  setFlat(cpu, SS, selector + 8, DATA);
  copyField(state, gprOffset(4), S.sysenterEsp);
  let target = state.get64(S.sysenterEip);
  if (!long) {
    state.set32(gprOffset(4) + 4, 0);
    target &= 0xffffffffn;
  }
  cpu.modeChanged();
  cpu.jump(target);
}

/** SYSEXIT, to 32-bit or 64-bit code. */
export function sysexit(cpu: CpuContext, wide: boolean): void {
  const { state } = cpu;
  const selector = state.low(S.sysenterCs) & 0xfffc;
  if (isReal(state) || selector === 0 || state.cpl !== 0) raise(VECTOR.GP, 0);
  let target = state.get64(gprOffset(2));
  let pointer = state.get64(gprOffset(1));
  if (!wide) {
    target &= 0xffffffffn;
    pointer &= 0xffffffffn;
  } else if (!isCanonical(target) || !isCanonical(pointer)) raise(VECTOR.GP, 0);
  setFlat(cpu, CS, (selector + (wide ? 32 : 16)) | 3, (wide ? CODE64 : CODE32) | DPL3);
  setFlat(cpu, SS, (selector + (wide ? 40 : 24)) | 3, DATA | DPL3);
  state.set64(gprOffset(4), pointer);
  cpu.modeChanged();
  cpu.jump(target);
}
