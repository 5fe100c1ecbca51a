import type { CpuContext } from "../cpu/context.js";
import { FAULT, raise } from "../cpu/fault.js";
import { FLAG } from "../semantics/flags.js";
import { VECTOR } from "../semantics/ops.js";
import { CS, DS, ES, FS, GS, gprOffset, LDTR, S, type SegmentIndex, SS, TR } from "../state/layout.js";
import { deliver, exceptionEvent } from "./interrupts.js";
import { wrapLinear } from "./modes.js";
import { ATTRIBUTE, ATTRIBUTES, CR0, DR6, TYPE } from "./registers.js";
import {
  checkDataSegment,
  checkStackSegment,
  type Descriptor,
  descriptorBase,
  descriptorDpl,
  descriptorLimit,
  descriptorType,
  fetchDescriptor,
  isCode,
  isConforming,
  isNull,
  isPresent,
  lookUpDescriptor,
  markAccessed,
  selectorError,
  setFromDescriptor,
  setNull,
} from "./segmentation.js";

/** What switches the task; it decides about the busy bits, the back link and NT (SDM vol. 3, table 8-2). */
export type TaskSwitch = "jump" | "call" | "iret" | "interrupt";

/** Where a TSS keeps its fields (SDM vol. 3, 8.2.1 and 8.6). */
interface TssFormat {
  readonly bytes: 2 | 4;
  readonly limit: number;
  readonly ip: number;
  readonly flags: number;
  /** AX CX DX BX SP BP SI DI. */
  readonly registers: number;
  readonly segments: readonly SegmentIndex[];
  readonly segment: number;
  readonly ldt: number;
}
const TSS16: TssFormat = {
  bytes: 2,
  limit: 0x2b,
  ip: 0x0e,
  flags: 0x10,
  registers: 0x12,
  segments: [ES, CS, SS, DS],
  segment: 0x22,
  ldt: 0x2a,
};
const TSS32: TssFormat = {
  bytes: 4,
  limit: 0x67,
  ip: 0x20,
  flags: 0x24,
  registers: 0x28,
  segments: [ES, CS, SS, DS, FS, GS],
  segment: 0x48,
  ldt: 0x60,
};
const TSS32_CR3 = 0x1c;
const TSS32_TRAP = 0x64;

/** Checks the TSS that a task gate in the interrupt table or a far transfer names. */
export function checkTaskGateTarget(cpu: CpuContext, selector: number): Descriptor {
  if (selector & 4) raise(VECTOR.GP, selectorError(selector));
  const d = fetchDescriptor(cpu, selector, VECTOR.GP);
  return checkAvailableTss(d);
}

/** Raises unless the descriptor is a present TSS that is not busy. */
export function checkAvailableTss(d: Descriptor): Descriptor {
  const type = systemType(d);
  if (type !== TYPE.TSS16 && type !== TYPE.TSS32) raise(VECTOR.GP, selectorError(d.selector));
  if (!isPresent(d)) raise(VECTOR.NP, selectorError(d.selector));
  return d;
}

const systemType = (d: Descriptor): number => (d.high & ATTRIBUTE.S ? -1 : descriptorType(d));

/**
 * Switches to the task of a TSS whose type and presence have been checked (SDM vol. 3, 8.3). Exceptions up to the
 * change of the task register leave everything as it was; later ones belong to the new task: then `S.rip` is its EIP.
 */
export function switchTask(
  cpu: CpuContext,
  tss: Descriptor,
  how: TaskSwitch,
  returnIp: bigint,
  flags = cpu.state.rflags,
): void {
  const { state } = cpu;
  const format = descriptorType(tss) & 8 ? TSS32 : TSS16;
  const base = BigInt(descriptorBase(tss));
  if (descriptorLimit(tss) < format.limit) raise(VECTOR.TS, selectorError(tss.selector));
  const incoming = readTss(cpu, format, base);
  saveTask(cpu, how === "iret" ? flags & ~FLAG.NT : flags, returnIp);

  const oldSelector = state.selector(TR);
  if (how === "jump" || how === "iret") {
    const old = lookUpDescriptor(cpu, oldSelector);
    if (old) cpu.writeSystem(old.address + 5n, 1, (old.high >> 8) & 0xff & ~2);
  }
  const nested = how === "call" || how === "interrupt";
  if (nested) cpu.writeSystem(wrapLinear(state, base), 2, oldSelector);
  if (how !== "iret") cpu.writeSystem(tss.address + 5n, 1, ((tss.high >> 8) & 0xff) | 2);
  state.setSegment(TR, tss.selector, base, descriptorLimit(tss), (tss.high & ATTRIBUTES) | (2 << 8));
  state.set32(S.cr0, state.get32(S.cr0) | CR0.TS);
  enterTask(cpu, format, incoming, nested);
}

interface TaskState {
  readonly cr3: number;
  readonly ip: number;
  readonly flags: number;
  readonly registers: number[];
  readonly segments: number[];
  readonly ldt: number;
  readonly trap: boolean;
}

function readTss(cpu: CpuContext, format: TssFormat, base: bigint): TaskState {
  const read = (offset: number, bytes: 2 | 4) =>
    cpu.readSystem(wrapLinear(cpu.state, base + BigInt(offset)), bytes) >>> 0;
  const { bytes } = format;
  const wide = format === TSS32;
  return {
    cr3: wide ? read(TSS32_CR3, 4) : 0,
    ip: read(format.ip, bytes),
    flags: read(format.flags, bytes),
    registers: Array.from({ length: 8 }, (_, index) => read(format.registers + index * bytes, bytes)),
    segments: format.segments.map((_, index) => read(format.segment + index * bytes, 2)),
    ldt: read(format.ldt, 2),
    trap: wide && (read(TSS32_TRAP, 2) & 1) !== 0,
  };
}

/** Writes the registers of the task that ends into its TSS. */
function saveTask(cpu: CpuContext, flags: number, ip: bigint): void {
  const { state } = cpu;
  const format = state.attributes(TR) & (8 << 8) ? TSS32 : TSS16;
  const { bytes } = format;
  const base = state.base(TR);
  const at = (offset: number) => wrapLinear(state, base + BigInt(offset));
  const last = format.segment + format.segments.length * bytes - 1;
  cpu.probeWriteAt(0, at(format.ip), bytes);
  cpu.probeWriteAt(0, at(last), 1);
  cpu.writeSystem(at(format.ip), bytes, Number(BigInt.asUintN(bytes * 8, ip)));
  cpu.writeSystem(at(format.flags), bytes, bytes === 2 ? flags & 0xffff : flags);
  for (let index = 0; index < 8; index++) {
    const value = state.get32(gprOffset(index));
    cpu.writeSystem(at(format.registers + index * bytes), bytes, bytes === 2 ? value & 0xffff : value);
  }
  format.segments.forEach((segment, index) => {
    cpu.writeSystem(at(format.segment + index * bytes), 2, state.selector(segment));
  });
}

/** Loads the registers of the new task; its segments may raise exceptions, which are its own. */
function enterTask(cpu: CpuContext, format: TssFormat, task: TaskState, nested: boolean): void {
  const { state } = cpu;
  if (format === TSS32 && state.get32(S.cr0) & CR0.PG && state.get32(S.cr3) !== task.cr3) {
    state.set64(S.cr3, BigInt(task.cr3));
    cpu.flushTlb(false);
  }
  state.rflags = nested ? task.flags | FLAG.NT : task.flags;
  task.registers.forEach((value, index) => {
    // A 16-bit TSS leaves the upper halves undefined: 0 here.
    state.set64(gprOffset(index), BigInt(value));
  });
  state.set64(S.dr + 7 * 8, state.get64(S.dr + 7 * 8) & ~0x155n);
  const virtual = (state.get32(S.systemFlags) & FLAG.VM) !== 0;
  const selectors = format.segments.map((segment, index) => [segment, task.segments[index]] as const);
  for (const segment of [ES, CS, SS, DS, FS, GS]) setNull(state, segment);
  // Selectors first: an exception shows them, with segments that cannot be used yet.
  for (const [segment, selector] of selectors) {
    if (virtual) state.setSegment(segment, selector, BigInt(selector << 4), 0xffff, 0xf300);
    else state.setSegment(segment, selector, 0n, 0, 0);
  }
  const cpl = virtual ? 3 : state.selector(CS) & 3;
  if (!virtual) state.setSegment(SS, state.selector(SS), 0n, 0, cpl << 13);
  setNull(state, LDTR, task.ldt);
  cpu.modeChanged();
  cpu.jump(BigInt(task.ip));
  if (task.trap) {
    state.set32(S.debugPending, state.get32(S.debugPending) | DR6.BT);
    cpu.attention();
  }
  loadTaskLdt(cpu, task.ldt);
  if (!virtual) loadTaskSegments(cpu, selectors, cpl);
  cpu.modeChanged();
  if (BigInt(task.ip) > BigInt(state.limit(CS))) raise(VECTOR.GP, 0);
}

function loadTaskLdt(cpu: CpuContext, selector: number): void {
  if (isNull(selector)) return;
  if (selector & 4) raise(VECTOR.TS, selectorError(selector));
  const d = fetchDescriptor(cpu, selector, VECTOR.TS);
  if (systemType(d) !== TYPE.LDT || !isPresent(d)) raise(VECTOR.TS, selectorError(selector));
  setSystemSegment(cpu, LDTR, d);
}

/** Puts a system descriptor of 8 bytes into LDTR or TR. */
export function setSystemSegment(cpu: CpuContext, segment: typeof LDTR | typeof TR, d: Descriptor): void {
  cpu.state.setSegment(segment, d.selector, BigInt(descriptorBase(d)), descriptorLimit(d), d.high & ATTRIBUTES);
}

function loadTaskSegments(cpu: CpuContext, selectors: (readonly [SegmentIndex, number])[], cpl: number): void {
  const { state } = cpu;
  const selectorOf = new Map<number, number>(selectors);
  const cs = selectorOf.get(CS)!;
  if (isNull(cs)) raise(VECTOR.TS, selectorError(cs));
  const code = fetchDescriptor(cpu, cs, VECTOR.TS);
  const dpl = descriptorDpl(code);
  if (!isCode(code) || (isConforming(code) ? dpl > cpl : dpl !== cpl)) raise(VECTOR.TS, selectorError(cs));
  if (!isPresent(code)) raise(VECTOR.NP, selectorError(cs));
  markAccessed(cpu, code);
  setFromDescriptor(state, CS, cs, code);
  const ss = selectorOf.get(SS)!;
  if (isNull(ss)) raise(VECTOR.TS, selectorError(ss));
  const stack = checkStackSegment(cpu, ss, cpl, VECTOR.TS);
  markAccessed(cpu, stack);
  setFromDescriptor(state, SS, ss, stack);
  for (const segment of [DS, ES, FS, GS]) {
    const selector = selectorOf.get(segment);
    if (selector === undefined || isNull(selector)) continue;
    const d = checkDataSegment(cpu, selector, cpl, VECTOR.TS);
    markAccessed(cpu, d);
    setFromDescriptor(state, segment, selector, d);
  }
}

/**
 * A task switch by an instruction. Exceptions in the new task are delivered here: for the engine the instruction that
 * switched has succeeded.
 */
export function switchTaskByInstruction(cpu: CpuContext, tss: Descriptor, how: TaskSwitch, returnIp: bigint): void {
  const oldTask = cpu.state.selector(TR);
  try {
    switchTask(cpu, tss, how, returnIp);
  } catch (error) {
    if (error !== FAULT || cpu.state.selector(TR) === oldTask) throw error;
    deliver(cpu, exceptionEvent(FAULT));
  }
}

/** IRET with NT set: back to the task whose TSS the current one links to. */
export function returnFromTask(cpu: CpuContext, returnIp: bigint): void {
  const { state } = cpu;
  const selector = cpu.readSystem(wrapLinear(state, state.base(TR)), 2);
  if (selector & 4) raise(VECTOR.TS, selectorError(selector));
  const d = fetchDescriptor(cpu, selector, VECTOR.TS);
  const type = systemType(d);
  if (type !== TYPE.TSS16_BUSY && type !== TYPE.TSS32_BUSY) raise(VECTOR.TS, selectorError(selector));
  if (!isPresent(d)) raise(VECTOR.NP, selectorError(selector));
  switchTaskByInstruction(cpu, d, "iret", returnIp);
}
