import type { CpuContext } from "../cpu/context.js";
import { raise } from "../cpu/fault.js";
import { FLAG } from "../semantics/flags.js";
import { VECTOR } from "../semantics/ops.js";
import { gprOffset, S } from "../state/layout.js";
import { requirePrivilege } from "./control-registers.js";
import { isCanonical, isReal, isVirtual8086 } from "./modes.js";
import { readTsc, setEdxEax } from "./msr.js";
import { CR4 } from "./registers.js";
import { Stack } from "./stack.js";

/** HLT: execution stops until an interrupt. */
export function halt(cpu: CpuContext): void {
  requirePrivilege(cpu);
  waitForInterrupt(cpu);
}

/** Halts behind this instruction, which ends the shadow of an STI before it. */
function waitForInterrupt(cpu: CpuContext): void {
  cpu.state.set32(S.shadow, 0);
  cpu.state.set32(S.activity, 1);
  cpu.attention();
  cpu.jump(cpu.nextIp);
}

/** MONITOR: reads a byte of the range; nothing is watched, since waking up early is always allowed. */
export function monitor(cpu: CpuContext): void {
  requirePrivilegeOrUndefined(cpu);
  if (cpu.state.get32(gprOffset(1)) !== 0) raise(VECTOR.GP, 0);
  cpu.probeRead(cpu.arg64(0), 1);
}

/**
 * MWAIT: with one processor nothing but an interrupt can end the wait, so it halts. With interrupts disabled it returns
 * at once, which is allowed at any time.
 */
export function mwait(cpu: CpuContext): void {
  const { state } = cpu;
  requirePrivilegeOrUndefined(cpu);
  if (state.get32(gprOffset(1)) & ~1) raise(VECTOR.GP, 0);
  if (state.get32(S.systemFlags) & FLAG.IF) waitForInterrupt(cpu);
}

function requirePrivilegeOrUndefined(cpu: CpuContext): void {
  if (cpu.state.cpl !== 0) raise(VECTOR.UD);
}

/** RDTSC and RDTSCP: (1 for RDTSCP). */
export function readTimeStamp(cpu: CpuContext): void {
  const { state } = cpu;
  if (state.low(S.cr4) & CR4.TSD && state.cpl !== 0) raise(VECTOR.GP, 0);
  setEdxEax(cpu, readTsc(cpu));
  if (cpu.arg32(0)) state.set64(gprOffset(1), BigInt(state.low(S.tscAux)));
}

/** INVLPG: (linear address). */
export function invalidatePage(cpu: CpuContext): void {
  requirePrivilege(cpu);
  const linear = cpu.arg64(0);
  if (isCanonical(linear)) cpu.flushPage(linear);
}

/** INVPCID: (type, linear address of the descriptor). The TLB does not tell address spaces apart: more is dropped. */
export function invalidateContext(cpu: CpuContext): void {
  const { state } = cpu;
  requirePrivilege(cpu);
  if (isVirtual8086(state)) raise(VECTOR.GP, 0);
  const type = cpu.arg64(0);
  const address = cpu.arg64(1);
  const pcid = cpu.read64(address);
  const linear = cpu.read64(address + 8n);
  if (type > 3n) raise(VECTOR.GP, 0);
  if (type < 2n) {
    if (pcid >> 12n) raise(VECTOR.GP, 0);
    if (pcid !== 0n && !(state.low(S.cr4) & CR4.PCIDE)) raise(VECTOR.GP, 0);
    if (type === 0n && !isCanonical(linear)) raise(VECTOR.GP, 0);
  }
  if (type === 0n) cpu.flushPage(linear);
  else cpu.flushTlb(type === 2n);
}

/** CLI when CPL exceeds IOPL: virtual-8086 mode and protected mode extensions, else #GP(0). */
export function clearInterruptFlag(cpu: CpuContext): void {
  requireVirtualInterrupts(cpu);
  cpu.state.set32(S.systemFlags, cpu.state.get32(S.systemFlags) & ~FLAG.VIF);
}
/** STI likewise. */
export function setInterruptFlag(cpu: CpuContext): void {
  requireVirtualInterrupts(cpu);
  const flags = cpu.state.get32(S.systemFlags);
  if (flags & FLAG.VIP) raise(VECTOR.GP, 0);
  cpu.state.set32(S.systemFlags, flags | FLAG.VIF);
}
function requireVirtualInterrupts(cpu: CpuContext): void {
  const { state } = cpu;
  const cr4 = state.low(S.cr4);
  const extended = isVirtual8086(state) ? cr4 & CR4.VME : !isReal(state) && state.cpl === 3 && cr4 & CR4.PVI;
  if (!extended) raise(VECTOR.GP, 0);
}

/** PUSHF in virtual-8086 mode with IOPL below 3: (bytes) -> the image to push. */
export function virtualFlagsImage(cpu: CpuContext): void {
  const { state } = cpu;
  if (cpu.arg32(0) !== 2 || !(state.low(S.cr4) & CR4.VME)) raise(VECTOR.GP, 0);
  const flags = state.rflags;
  cpu.setResult32((flags & ~FLAG.IF) | (flags & FLAG.VIF ? FLAG.IF : 0) | FLAG.IOPL);
}

/** POPF there: (bytes, image). The stack pointer has not moved yet. */
export function popVirtualFlags(cpu: CpuContext): void {
  const { state } = cpu;
  if (cpu.arg32(0) !== 2 || !(state.low(S.cr4) & CR4.VME)) raise(VECTOR.GP, 0);
  const image = cpu.arg32(1);
  const old = state.rflags;
  if (image & FLAG.TF || (image & FLAG.IF && old & FLAG.VIP)) raise(VECTOR.GP, 0);
  const kept = 0xffff0000 | FLAG.IF | FLAG.IOPL;
  state.rflags = (old & kept & ~FLAG.VIF) | (image & ~kept) | (image & FLAG.IF ? FLAG.VIF : 0);
}

/** The flags that semantics have just changed may need more: (1 when the mode depends on them). */
export function flagsChanged(cpu: CpuContext): void {
  if (cpu.arg32(0)) cpu.modeChanged();
  cpu.attention();
  cpu.jump(cpu.nextIp);
}

/** Bits for RDRAND and RDSEED: () -> 64 random bits. */
const random = new BigUint64Array(64);
let used = random.length;
export function randomNumber(cpu: CpuContext): void {
  if (used === random.length) {
    crypto.getRandomValues(random);
    used = 0;
  }
  cpu.setResult64(random[used++]);
}

/** ENTER with a nesting level of 1-31: (bytes, size of the frame, level). */
export function enterNested(cpu: CpuContext): void {
  const { state } = cpu;
  const bytes = cpu.arg32(0) as 2 | 4 | 8;
  const size = cpu.arg32(1) & 0xffff;
  const level = cpu.arg32(2) & 31;
  const stack = Stack.current(cpu);
  const old = state.get64(gprOffset(5));
  stack.push(bytes, old);
  const frame = stack.pointer;
  for (let index = 1; index < level; index++) {
    stack.push(bytes, stack.readAt(bytes, old - BigInt(index * bytes)));
  }
  stack.push(bytes, frame);
  stack.drop(-size);
  // The new frame must be writable at its end (SDM vol. 2, ENTER).
  stack.probe(bytes);
  const mask = (1n << BigInt(bytes * 8)) - 1n;
  state.set64(gprOffset(5), bytes === 4 ? frame & mask : (old & ~mask) | (frame & mask));
  stack.commit();
}
