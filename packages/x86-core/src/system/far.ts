import type { CpuContext } from "../cpu/context.js";
import { raise } from "../cpu/fault.js";
import { VECTOR } from "../semantics/ops.js";
import { CS, gprOffset, SS } from "../state/layout.js";
import { isCanonical, isLongActive, isProtected } from "./modes.js";
import { ATTRIBUTE, TYPE } from "./registers.js";
import {
  checkCodeOffset,
  checkCodeSize,
  checkStackSegment,
  type Descriptor,
  descriptorBase,
  descriptorDpl,
  descriptorLimit,
  descriptorType,
  dropInnerSegments,
  fetchDescriptor,
  isCode,
  isCode64,
  isConforming,
  isNull,
  isPresent,
  isSystem,
  markAccessed,
  selectorError,
  setCode,
  setFromDescriptor,
  setNullStack,
  setRealSegment,
} from "./segmentation.js";
import { innerStack, longStack, Stack } from "./stack.js";
import { checkAvailableTss, checkTaskGateTarget, switchTaskByInstruction } from "./tasks.js";

type Bytes = 2 | 4 | 8;

/** JMP to a far pointer, in every mode (SDM vol. 2, JMP). */
export function farJump(cpu: CpuContext, selector: number, offset: bigint): void {
  const { state } = cpu;
  if (!isProtected(state)) return jumpReal(cpu, selector, offset);
  if (isNull(selector)) raise(VECTOR.GP, 0);
  const d = fetchDescriptor(cpu, selector, VECTOR.GP);
  if (isSystem(d)) {
    const gate = checkGate(cpu, d);
    if (!gate) return;
    const code = gateTarget(cpu, gate.selector, true);
    enterCode(cpu, code, gate.offset);
  } else {
    checkDirectTarget(cpu, d);
    enterCode(cpu, d, offset);
  }
}

/** CALL to a far pointer: as the jump, with a return address of `bytes` each for CS and RIP on the stack. */
export function farCall(cpu: CpuContext, selector: number, offset: bigint, bytes: Bytes): void {
  const { state } = cpu;
  if (!isProtected(state)) {
    checkRealOffset(cpu, offset);
    pushReturn(cpu, Stack.current(cpu), bytes).commit();
    return jumpReal(cpu, selector, offset);
  }
  if (isNull(selector)) raise(VECTOR.GP, 0);
  const d = fetchDescriptor(cpu, selector, VECTOR.GP);
  if (!isSystem(d)) {
    checkDirectTarget(cpu, d);
    callSameLevel(cpu, d, offset, bytes);
    return;
  }
  const gate = checkGate(cpu, d, "call");
  if (!gate) return;
  const code = gateTarget(cpu, gate.selector, false);
  if (!isConforming(code) && descriptorDpl(code) < state.cpl) callInner(cpu, gate, code);
  else callSameLevel(cpu, code, gate.offset, gate.bytes);
}

function checkRealOffset(cpu: CpuContext, offset: bigint): void {
  if (offset > BigInt(cpu.state.limit(CS))) raise(VECTOR.GP, 0);
}
function jumpReal(cpu: CpuContext, selector: number, offset: bigint): void {
  checkRealOffset(cpu, offset);
  setRealSegment(cpu.state, CS, selector);
  cpu.modeChanged();
  cpu.jump(offset);
}

function pushReturn(cpu: CpuContext, stack: Stack, bytes: Bytes): Stack {
  stack.reserve(2, bytes);
  stack.push(bytes, cpu.state.selector(CS));
  stack.push(bytes, cpu.nextIp);
  return stack;
}

/** Checks a code segment that a far jump or call names directly: same level, or conforming. */
function checkDirectTarget(cpu: CpuContext, d: Descriptor): void {
  const error = selectorError(d.selector);
  const dpl = descriptorDpl(d);
  const { cpl } = cpu.state;
  if (!isCode(d)) raise(VECTOR.GP, error);
  if (isConforming(d) ? dpl > cpl : (d.selector & 3) > cpl || dpl !== cpl) raise(VECTOR.GP, error);
  checkCodeSize(cpu, d, VECTOR.GP);
  if (!isPresent(d)) raise(VECTOR.NP, error);
}

function enterCode(cpu: CpuContext, d: Descriptor, offset: bigint): void {
  checkCodeOffset(cpu, d, offset);
  markAccessed(cpu, d);
  setCode(cpu, d, cpu.state.cpl);
  cpu.modeChanged();
  cpu.jump(offset);
}

function callSameLevel(cpu: CpuContext, d: Descriptor, offset: bigint, bytes: Bytes): void {
  const stack = pushReturn(cpu, Stack.current(cpu), bytes);
  checkCodeOffset(cpu, d, offset);
  markAccessed(cpu, d);
  stack.commit();
  setCode(cpu, d, cpu.state.cpl);
  cpu.modeChanged();
  cpu.jump(offset);
}

// --- gates ---

interface CallGate {
  readonly selector: number;
  readonly offset: bigint;
  readonly bytes: Bytes;
  readonly parameters: number;
}

/** Checks a system descriptor as a target; task switches happen here and give undefined. */
function checkGate(cpu: CpuContext, d: Descriptor, how: "jump" | "call" = "jump"): CallGate | undefined {
  const { state } = cpu;
  const error = selectorError(d.selector);
  const type = descriptorType(d);
  const long = isLongActive(state);
  const dpl = descriptorDpl(d);
  const call = type === TYPE.CALL32 || (type === TYPE.CALL16 && !long);
  const task = !long && (type === TYPE.TASK || type === TYPE.TSS16 || type === TYPE.TSS32);
  if (!call && !task) raise(VECTOR.GP, error);
  if (dpl < state.cpl || dpl < (d.selector & 3)) raise(VECTOR.GP, error);
  if (call) return readCallGate(cpu, d, long);
  if (type === TYPE.TASK) {
    if (!isPresent(d)) raise(VECTOR.NP, error);
    switchTaskByInstruction(cpu, checkTaskGateTarget(cpu, d.low >>> 16), how, cpu.nextIp);
  } else {
    if (d.selector & 4) raise(VECTOR.GP, error);
    switchTaskByInstruction(cpu, checkAvailableTss(d), how, cpu.nextIp);
  }
  return undefined;
}

function readCallGate(cpu: CpuContext, d: Descriptor, long: boolean): CallGate {
  const error = selectorError(d.selector);
  const low = descriptorType(d) === TYPE.CALL16 ? d.low & 0xffff : ((d.high & 0xffff0000) | (d.low & 0xffff)) >>> 0;
  let offset = BigInt(low);
  if (!isPresent(d)) raise(VECTOR.NP, error);
  if (long) {
    fetchDescriptor(cpu, d.selector, VECTOR.GP, 16);
    const upper = cpu.readSystem(d.address + 8n, 4) >>> 0;
    // The type field of the second half must be 0, so that it cannot be taken for a descriptor.
    if (cpu.readSystem(d.address + 12n, 4) & 0x1f00) raise(VECTOR.GP, error);
    offset |= BigInt(upper) << 32n;
  }
  const bytes = long ? 8 : descriptorType(d) === TYPE.CALL16 ? 2 : 4;
  return { selector: d.low >>> 16, offset, bytes, parameters: d.high & 31 };
}

function gateTarget(cpu: CpuContext, selector: number, jump: boolean): Descriptor {
  if (isNull(selector)) raise(VECTOR.GP, 0);
  const d = fetchDescriptor(cpu, selector, VECTOR.GP);
  const error = selectorError(selector);
  const dpl = descriptorDpl(d);
  const { cpl } = cpu.state;
  if (!isCode(d) || dpl > cpl || (jump && !isConforming(d) && dpl !== cpl)) raise(VECTOR.GP, error);
  if (isLongActive(cpu.state) && (d.high & (ATTRIBUTE.L | ATTRIBUTE.DB)) !== ATTRIBUTE.L) raise(VECTOR.GP, error);
  if (!isPresent(d)) raise(VECTOR.NP, error);
  return d;
}

/** A call through a gate to a more privileged level: new stack, parameters copied (SDM vol. 3, 5.8.5). */
function callInner(cpu: CpuContext, gate: CallGate, code: Descriptor): void {
  const { state } = cpu;
  const dpl = descriptorDpl(code);
  const { bytes } = gate;
  const old = Stack.current(cpu);
  const oldPointer = state.get64(gprOffset(4));
  let stack: Stack;
  let segment: Descriptor | undefined;
  let parameters: bigint[] = [];
  if (bytes === 8) {
    stack = Stack.flat(cpu, longStack(cpu, dpl), dpl);
    stack.reserve(4, bytes);
    if (!isCanonical(gate.offset)) raise(VECTOR.GP, 0);
  } else {
    const { selector, pointer } = innerStack(cpu, dpl);
    if (isNull(selector)) raise(VECTOR.TS, 0);
    segment = checkStackSegment(cpu, selector, dpl, VECTOR.TS);
    const place = {
      base: BigInt(descriptorBase(segment)),
      limit: descriptorLimit(segment),
      attributes: segment.high,
    };
    stack = new Stack(cpu, place, pointer, dpl, false, selectorError(selector));
    stack.reserve(4 + gate.parameters, bytes);
    checkCodeOffset(cpu, code, gate.offset);
    parameters = Array.from({ length: gate.parameters }, (_, index) => old.peek(bytes, index * bytes));
  }
  stack.push(bytes, state.selector(SS));
  stack.push(bytes, oldPointer);
  for (const value of parameters.reverse()) stack.push(bytes, value);
  stack.push(bytes, state.selector(CS));
  stack.push(bytes, cpu.nextIp);
  markAccessed(cpu, code);
  if (segment) {
    markAccessed(cpu, segment);
    setFromDescriptor(state, SS, segment.selector, segment);
  } else setNullStack(state, dpl, dpl);
  setCode(cpu, code, dpl);
  stack.commit();
  cpu.modeChanged();
  cpu.jump(gate.offset);
}

// --- returns ---

/** RETF, dropping `extra` bytes of parameters from both stacks (SDM vol. 2, RET). */
export function farReturn(cpu: CpuContext, bytes: Bytes, extra: number): void {
  const { state } = cpu;
  const stack = Stack.current(cpu);
  const offset = stack.peek(bytes, 0);
  const selector = Number(stack.peek(bytes, bytes) & 0xffffn);
  stack.drop(2 * bytes + extra);
  if (!isProtected(state)) {
    checkRealOffset(cpu, offset);
    stack.commit();
    return jumpReal(cpu, selector, offset);
  }
  const code = checkReturnCode(cpu, selector);
  if ((selector & 3) === state.cpl) {
    checkCodeOffset(cpu, code, offset);
    markAccessed(cpu, code);
    stack.commit();
    setCode(cpu, code, state.cpl);
    cpu.modeChanged();
    cpu.jump(offset);
    return;
  }
  const pointer = stack.peek(bytes, 0);
  const stackSelector = Number(stack.peek(bytes, bytes) & 0xffffn);
  returnOuter(cpu, code, offset, stackSelector, pointer + BigInt(extra));
}

/** Checks the code segment of RETF or IRET: not more privileged than the current level. */
export function checkReturnCode(cpu: CpuContext, selector: number): Descriptor {
  if (isNull(selector)) raise(VECTOR.GP, 0);
  const code = fetchDescriptor(cpu, selector, VECTOR.GP);
  const error = selectorError(selector);
  const rpl = selector & 3;
  const dpl = descriptorDpl(code);
  if (!isCode(code) || rpl < cpu.state.cpl || (isConforming(code) ? dpl > rpl : dpl !== rpl)) raise(VECTOR.GP, error);
  checkCodeSize(cpu, code, VECTOR.GP);
  if (!isPresent(code)) raise(VECTOR.NP, error);
  return code;
}

/** Goes on at an outer privilege level, that of the code selector's RPL, with the stack given. */
export function returnOuter(
  cpu: CpuContext,
  code: Descriptor,
  offset: bigint,
  selector: number,
  pointer: bigint,
): void {
  const { state } = cpu;
  const cpl = code.selector & 3;
  const stack = checkReturnStack(cpu, code, selector);
  checkCodeOffset(cpu, code, offset);
  markAccessed(cpu, code);
  if (stack) markAccessed(cpu, stack);
  setReturnStack(cpu, code, selector, stack, pointer);
  setCode(cpu, code, cpl);
  dropInnerSegments(state, cpl);
  cpu.modeChanged();
  cpu.jump(offset);
}

/** Checks SS of a return; null (undefined) is allowed on the way to 64-bit code above level 3. */
export function checkReturnStack(cpu: CpuContext, code: Descriptor, selector: number): Descriptor | undefined {
  const cpl = code.selector & 3;
  if (!isNull(selector)) return checkStackSegment(cpu, selector, cpl, VECTOR.GP);
  if (!isCode64(cpu.state, code) || cpl === 3 || (selector & 3) !== cpl) raise(VECTOR.GP, 0);
  return undefined;
}
export function setReturnStack(
  cpu: CpuContext,
  code: Descriptor,
  selector: number,
  stack: Descriptor | undefined,
  pointer: bigint,
): void {
  const { state } = cpu;
  if (stack) setFromDescriptor(state, SS, selector, stack);
  else setNullStack(state, selector, code.selector & 3);
  const wide = isCode64(state, code);
  const mask = wide ? 0xffffffffffffffffn : state.attributes(SS) & ATTRIBUTE.DB ? 0xffffffffn : 0xffffn;
  const kept = wide ? 0n : state.get64(gprOffset(4)) & ~mask & 0xffffffffn;
  state.set64(gprOffset(4), kept | (pointer & mask));
}
