import type { CpuContext } from "../cpu/context.js";
import { raise } from "../cpu/fault.js";
import { FLAG } from "../semantics/flags.js";
import { VECTOR } from "../semantics/ops.js";
import { CS, DS, ES, FS, GS, gprOffset, S, SS, TR } from "../state/layout.js";
import { enterRealHandler } from "./interrupt-real.js";
import { checkIdtLimit, type Delivery, idtError, setDeliveredFlags } from "./interrupts.js";
import { iopl, isVirtual8086, wrapLinear } from "./modes.js";
import { ATTRIBUTE, CR4, TYPE } from "./registers.js";
import {
  checkCodeOffset,
  checkStackSegment,
  type Descriptor,
  descriptorBase,
  descriptorDpl,
  descriptorLimit,
  fetchDescriptor,
  isCode,
  isConforming,
  isNull,
  isPresent,
  markAccessed,
  selectorError,
  setCode,
  setFromDescriptor,
  setNull,
} from "./segmentation.js";
import { innerStack, Stack } from "./stack.js";
import { checkTaskGateTarget, switchTask } from "./tasks.js";

/** Protected and virtual-8086 mode outside IA-32e mode (SDM vol. 2, INT n, and vol. 3, 6.12). */
export function deliverProtected(cpu: CpuContext, delivery: Delivery): void {
  const { state } = cpu;
  const { vector, kind } = delivery.event;
  if (isVirtual8086(state) && kind === "software") {
    if (redirected(cpu, vector)) return deliverVirtual8086(cpu, delivery);
    if (iopl(state) < 3) raise(VECTOR.GP, 0);
  }
  checkIdtLimit(cpu, vector, 8);
  const address = state.get64(S.idtBase) + BigInt(vector * 8);
  const low = cpu.readSystem(wrapLinear(state, address), 4) >>> 0;
  const high = cpu.readSystem(wrapLinear(state, address + 4n), 4) >>> 0;
  const type = (high >> 8) & 0x1f;
  const known =
    type === TYPE.TASK ||
    type === TYPE.INTERRUPT16 ||
    type === TYPE.TRAP16 ||
    type === TYPE.INTERRUPT32 ||
    type === TYPE.TRAP32;
  if (!known) raise(VECTOR.GP, idtError(vector));
  if (delivery.software && ((high >> 13) & 3) < state.cpl) raise(VECTOR.GP, idtError(vector));
  if (!(high & ATTRIBUTE.P)) raise(VECTOR.NP, idtError(vector));
  const selector = low >>> 16;
  if (type === TYPE.TASK) return throughTaskGate(cpu, delivery, selector);
  const size = type & 8 ? 4 : 2;
  const target = BigInt(size === 4 ? ((high & 0xffff0000) | (low & 0xffff)) >>> 0 : low & 0xffff);
  enterHandler(cpu, delivery, checkHandler(cpu, selector), target, size);
  const interrupt = (type & 1) === 0 ? FLAG.IF : 0;
  setDeliveredFlags(cpu, FLAG.TF | FLAG.NT | FLAG.RF | FLAG.VM | interrupt);
  cpu.modeChanged();
}

/** The handler's code segment: present code at this privilege level or a more privileged one. */
export function checkHandler(cpu: CpuContext, selector: number): Descriptor {
  if (isNull(selector)) raise(VECTOR.GP, 0);
  const code = fetchDescriptor(cpu, selector, VECTOR.GP);
  if (!isCode(code) || descriptorDpl(code) > cpu.state.cpl) raise(VECTOR.GP, selectorError(selector));
  if (!isPresent(code)) raise(VECTOR.NP, selectorError(selector));
  return code;
}

function enterHandler(cpu: CpuContext, delivery: Delivery, code: Descriptor, target: bigint, size: 2 | 4): void {
  const { state } = cpu;
  const virtual = isVirtual8086(state);
  const dpl = descriptorDpl(code);
  const inner = !isConforming(code) && dpl < state.cpl;
  if (virtual && (!inner || dpl !== 0)) raise(VECTOR.GP, selectorError(code.selector));
  const cpl = inner ? dpl : state.cpl;
  const errorWords = delivery.errorCode === undefined ? 0 : 1;
  let stack: Stack;
  let stackDescriptor: Descriptor | undefined;
  if (inner) {
    const { selector, pointer } = innerStack(cpu, dpl);
    if (isNull(selector)) raise(VECTOR.TS, 0);
    stackDescriptor = checkStackSegment(cpu, selector, dpl, VECTOR.TS);
    const segment = {
      base: BigInt(descriptorBase(stackDescriptor)),
      limit: descriptorLimit(stackDescriptor),
      attributes: stackDescriptor.high,
    };
    stack = new Stack(cpu, segment, pointer, dpl, false, selectorError(selector));
    stack.reserve((virtual ? 9 : 5) + errorWords, size);
  } else {
    stack = Stack.current(cpu);
    stack.reserve(3 + errorWords, size);
  }
  checkCodeOffset(cpu, code, target);
  if (virtual) for (const segment of [GS, FS, DS, ES]) stack.push(size, state.selector(segment));
  if (inner) {
    stack.push(size, state.selector(SS));
    stack.push(size, state.get64(gprOffset(4)));
  }
  stack.push(size, delivery.flags);
  stack.push(size, state.selector(CS));
  stack.push(size, delivery.returnIp);
  if (delivery.errorCode !== undefined) stack.push(size, delivery.errorCode);
  markAccessed(cpu, code);
  if (stackDescriptor) {
    markAccessed(cpu, stackDescriptor);
    setFromDescriptor(state, SS, stackDescriptor.selector, stackDescriptor);
  }
  if (virtual) for (const segment of [GS, FS, DS, ES]) setNull(state, segment);
  setCode(cpu, code, cpl);
  stack.commit();
  cpu.jump(target);
}

function throughTaskGate(cpu: CpuContext, delivery: Delivery, selector: number): void {
  const tss = checkTaskGateTarget(cpu, selector);
  switchTask(cpu, tss, "interrupt", delivery.returnIp, delivery.flags);
  if (delivery.errorCode === undefined) return;
  const stack = Stack.current(cpu);
  stack.push(cpu.state.attributes(TR) & (1 << 11) ? 4 : 2, delivery.errorCode);
  stack.commit();
}

// --- virtual-8086 mode extensions (SDM vol. 3, 21.3) ---

/** Whether INT n of virtual-8086 mode goes to the 8086 program's own handler, by the bitmap in the TSS. */
function redirected(cpu: CpuContext, vector: number): boolean {
  const { state } = cpu;
  if (!(state.low(S.cr4) & CR4.VME)) return false;
  const limit = state.limit(TR);
  if (limit < 103) raise(VECTOR.GP, 0);
  const map = cpu.readSystem(wrapLinear(state, state.base(TR) + 102n), 2);
  const offset = map - 32 + (vector >> 3);
  if (offset < 0 || offset > limit) raise(VECTOR.GP, 0);
  return ((cpu.readSystem(wrapLinear(state, state.base(TR) + BigInt(offset)), 1) >> (vector & 7)) & 1) === 0;
}

function deliverVirtual8086(cpu: CpuContext, delivery: Delivery): void {
  const { state } = cpu;
  const entry = cpu.readSystem(BigInt(delivery.event.vector * 4), 4) >>> 0;
  const trusted = iopl(state) === 3;
  let { flags } = delivery;
  if (!trusted) {
    // The program sees VIF as its IF, and IOPL 3.
    flags = (flags & ~FLAG.IF) | (flags & FLAG.VIF ? FLAG.IF : 0) | FLAG.IOPL;
  }
  enterRealHandler(cpu, entry, flags, delivery.returnIp);
  setDeliveredFlags(cpu, FLAG.TF | FLAG.NT | FLAG.RF | (trusted ? FLAG.IF : FLAG.VIF));
}
