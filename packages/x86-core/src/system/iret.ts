import type { CpuContext } from "../cpu/context.js";
import { raise } from "../cpu/fault.js";
import { FLAG } from "../semantics/flags.js";
import { VECTOR } from "../semantics/ops.js";
import { LONG_FRAME } from "../semantics/system-helpers.js";
import { CS, DS, ES, FS, GS, S, SS } from "../state/layout.js";
import { checkReturnCode, checkReturnStack, returnOuter, setReturnStack } from "./far.js";
import { loadFlags } from "./flags.js";
import { iopl, isLongActive, isReal, isVirtual8086 } from "./modes.js";
import { CR4 } from "./registers.js";
import { checkCodeOffset, dropInnerSegments, markAccessed, setCode, setRealSegment } from "./segmentation.js";
import { Stack, setStackPointer } from "./stack.js";
import { returnFromTask } from "./tasks.js";

const POPPED = FLAG.CF | FLAG.PF | FLAG.AF | FLAG.ZF | FLAG.SF | FLAG.TF | FLAG.DF | FLAG.OF | FLAG.NT;
const POPPED_WIDE = POPPED | FLAG.RF | FLAG.AC | FLAG.ID;

/** The bits of RFLAGS that IRET restores, by privilege of the code that executes it. */
function restored(cpu: CpuContext, bytes: 2 | 4 | 8): number {
  const { cpl } = cpu.state;
  const wide = bytes > 2;
  let mask: number = wide ? POPPED_WIDE : POPPED;
  if (cpl <= iopl(cpu.state)) mask |= FLAG.IF;
  if (cpl === 0) mask |= wide ? FLAG.IOPL | FLAG.VIF | FLAG.VIP : FLAG.IOPL;
  return mask;
}

/** IRET ends the handling of an NMI: another may come. */
function endNmi(cpu: CpuContext): void {
  const { state } = cpu;
  if (!state.get32(S.nmiBlocked)) return;
  state.set32(S.nmiBlocked, 0);
  if (state.get32(S.nmiPending)) cpu.attention();
}

/** IRET outside 64-bit mode (SDM vol. 2, IRET). */
export function interruptReturn(cpu: CpuContext, bytes: 2 | 4): void {
  const { state } = cpu;
  endNmi(cpu);
  if (isReal(state)) return returnReal(cpu, bytes, POPPED_WIDE | FLAG.IF | FLAG.IOPL);
  if (isVirtual8086(state)) return returnWithinVirtual8086(cpu, bytes);
  if (state.get32(S.systemFlags) & FLAG.NT) {
    if (isLongActive(state)) raise(VECTOR.GP, 0);
    return returnFromTask(cpu, cpu.nextIp);
  }
  const stack = Stack.current(cpu);
  const ip = stack.peek(bytes, 0);
  const selector = Number(stack.peek(bytes, bytes) & 0xffffn);
  const flags = Number(stack.peek(bytes, 2 * bytes));
  stack.drop(3 * bytes);
  if (bytes === 4 && flags & FLAG.VM && state.cpl === 0 && !isLongActive(state)) {
    return returnToVirtual8086(cpu, stack, ip, selector, flags);
  }
  const code = checkReturnCode(cpu, selector);
  const mask = restored(cpu, bytes);
  if ((selector & 3) > state.cpl) {
    const pointer = stack.peek(bytes, 0);
    const stackSelector = Number(stack.peek(bytes, bytes) & 0xffffn);
    returnOuter(cpu, code, ip, stackSelector, pointer);
  } else {
    checkCodeOffset(cpu, code, ip);
    markAccessed(cpu, code);
    stack.commit();
    setCode(cpu, code, state.cpl);
    cpu.jump(ip);
  }
  loadFlags(cpu, flags, mask);
  cpu.modeChanged();
}

function returnReal(cpu: CpuContext, bytes: 2 | 4, mask: number): void {
  const { state } = cpu;
  const stack = Stack.current(cpu);
  const ip = stack.peek(bytes, 0);
  const selector = Number(stack.peek(bytes, bytes) & 0xffffn);
  const flags = Number(stack.peek(bytes, 2 * bytes));
  if (ip > BigInt(state.limit(CS))) raise(VECTOR.GP, 0);
  stack.drop(3 * bytes);
  stack.commit();
  setRealSegment(state, CS, selector);
  loadFlags(cpu, flags, bytes === 2 ? mask & 0xffff : mask);
  cpu.modeChanged();
  cpu.jump(ip);
}

/** In virtual-8086 mode: with IOPL 3 directly, else by the virtual interrupt flag or not at all. */
function returnWithinVirtual8086(cpu: CpuContext, bytes: 2 | 4): void {
  const { state } = cpu;
  if (iopl(state) === 3) return returnReal(cpu, bytes, POPPED_WIDE | FLAG.IF);
  if (bytes !== 2 || !(state.low(S.cr4) & CR4.VME)) raise(VECTOR.GP, 0);
  const flags = Number(Stack.current(cpu).peek(2, 4));
  if (flags & FLAG.TF || (flags & FLAG.IF && state.get32(S.systemFlags) & FLAG.VIP)) raise(VECTOR.GP, 0);
  returnReal(cpu, 2, POPPED);
  loadFlags(cpu, flags & FLAG.IF ? FLAG.VIF : 0, FLAG.VIF);
}

function returnToVirtual8086(cpu: CpuContext, stack: Stack, ip: bigint, selector: number, flags: number): void {
  const { state } = cpu;
  const [pointer, ...selectors] = [0, 1, 2, 3, 4, 5].map((index) => stack.peek(4, index * 4));
  // The offset is not checked against the limit here: fetching does (SDM vol. 2, IRET).
  loadFlags(cpu, flags, POPPED_WIDE | FLAG.IF | FLAG.IOPL | FLAG.VIF | FLAG.VIP | FLAG.VM);
  setRealSegment(state, CS, selector);
  [SS, ES, DS, FS, GS].forEach((segment, index) => {
    setRealSegment(state, segment, Number(selectors[index] & 0xffffn));
  });
  setStackPointer(cpu, pointer, 0xffffffffn);
  cpu.modeChanged();
  cpu.jump(ip & 0xffffn);
}

/**
 * IRET in 64-bit mode, where SS and RSP are always popped. Generated code has read the frame: RIP, CS, RFLAGS, RSP and
 * SS stand 8 bytes apart from the second argument on; the first is the operand size in bytes.
 */
export function interruptReturnLong(cpu: CpuContext): void {
  const { state } = cpu;
  const bytes = cpu.arg32(0) as 2 | 4 | 8;
  endNmi(cpu);
  if (state.get32(S.systemFlags) & FLAG.NT) raise(VECTOR.GP, 0);
  const ip = state.get64(LONG_FRAME);
  const selector = state.get32(LONG_FRAME + 8) & 0xffff;
  const flags = state.get32(LONG_FRAME + 16);
  const pointer = state.get64(LONG_FRAME + 24);
  const stackSelector = state.get32(LONG_FRAME + 32) & 0xffff;
  const code = checkReturnCode(cpu, selector);
  const stack = checkReturnStack(cpu, code, stackSelector);
  checkCodeOffset(cpu, code, ip);
  markAccessed(cpu, code);
  if (stack) markAccessed(cpu, stack);
  const mask = restored(cpu, bytes);
  const outer = (selector & 3) > state.cpl;
  setReturnStack(cpu, code, stackSelector, stack, pointer);
  setCode(cpu, code, selector & 3);
  if (outer) dropInnerSegments(state, selector & 3);
  loadFlags(cpu, flags, mask);
  cpu.modeChanged();
  cpu.jump(ip);
}
