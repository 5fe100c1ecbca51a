import type { CpuContext } from "../cpu/context.js";
import { raise } from "../cpu/fault.js";
import { VECTOR } from "../semantics/ops.js";
import { LDTR, S, TR } from "../state/layout.js";
import { requirePrivilege } from "./control-registers.js";
import { isCanonical, isLongActive, isProtected } from "./modes.js";
import { ATTRIBUTE, ATTRIBUTES, TYPE } from "./registers.js";
import {
  type Descriptor,
  descriptorDpl,
  descriptorLimit,
  descriptorType,
  fetchDescriptor,
  isCode,
  isConforming,
  isNull,
  isPresent,
  isSystem,
  isWritableData,
  longBase,
  lookUpDescriptor,
  selectorError,
  setNull,
} from "./segmentation.js";
import { setSystemSegment } from "./tasks.js";

/** LGDT and LIDT: (0 GDT, 1 IDT; limit; base). */
export function loadTable(cpu: CpuContext): void {
  const { state } = cpu;
  const interrupt = cpu.arg32(0) !== 0;
  const base = cpu.arg64(2);
  requirePrivilege(cpu);
  if (state.codeIs64 && !isCanonical(base)) raise(VECTOR.GP, 0);
  state.set64(interrupt ? S.idtBase : S.gdtBase, base);
  state.set32(interrupt ? S.idtLimit : S.gdtLimit, cpu.arg32(1) & 0xffff);
}

/** LLDT: (selector). */
export function loadLdt(cpu: CpuContext): void {
  const { state } = cpu;
  const selector = cpu.arg32(0) & 0xffff;
  if (!isProtected(state)) raise(VECTOR.UD);
  requirePrivilege(cpu);
  if (isNull(selector)) return setNull(state, LDTR, selector);
  loadSystem(cpu, selector, LDTR, (type) => type === TYPE.LDT);
}

/** LTR: (selector). The TSS becomes busy. */
export function loadTaskRegister(cpu: CpuContext): void {
  const { state } = cpu;
  const selector = cpu.arg32(0) & 0xffff;
  if (!isProtected(state)) raise(VECTOR.UD);
  requirePrivilege(cpu);
  if (isNull(selector)) raise(VECTOR.GP, 0);
  const long = isLongActive(state);
  loadSystem(cpu, selector, TR, (type) => type === TYPE.TSS32 || (type === TYPE.TSS16 && !long));
}

function loadSystem(
  cpu: CpuContext,
  selector: number,
  segment: typeof LDTR | typeof TR,
  valid: (type: number) => boolean,
) {
  const { state } = cpu;
  const error = selectorError(selector);
  if (selector & 4) raise(VECTOR.GP, error);
  const long = isLongActive(state);
  const d = fetchDescriptor(cpu, selector, VECTOR.GP, long ? 16 : 8);
  if (!isSystem(d) || !valid(descriptorType(d))) raise(VECTOR.GP, error);
  if (!isPresent(d)) raise(VECTOR.NP, error);
  const base = long ? longBase(cpu, d) : undefined;
  if (base !== undefined && !isCanonical(base)) raise(VECTOR.GP, 0);
  if (segment === TR) {
    // The busy bit is bit 1 of the type.
    cpu.writeSystem(d.address + 5n, 1, ((d.high >> 8) & 0xff) | 2);
    const busy = { ...d, high: d.high | (2 << 8) };
    setSystemSegment(cpu, TR, busy);
  } else setSystemSegment(cpu, LDTR, d);
  if (base !== undefined) state.setSegment(segment, selector, base, descriptorLimit(d), state.attributes(segment));
}

/** Types of system descriptors that LAR and LSL can see, outside and in IA-32e mode. */
const LAR_TYPES = new Set([1, 2, 3, 4, 5, 9, 11, 12]);
const LAR_TYPES_LONG = new Set([2, 9, 11, 12]);
const LSL_TYPES = new Set([1, 2, 3, 9, 11]);
const LSL_TYPES_LONG = new Set([2, 9, 11]);

/** The descriptor, when the code could use it with the selector's RPL. */
function visible(cpu: CpuContext, selector: number, types: Set<number>): Descriptor | undefined {
  if (!isProtected(cpu.state)) raise(VECTOR.UD);
  if (isNull(selector)) return undefined;
  const d = lookUpDescriptor(cpu, selector);
  if (!d || (isSystem(d) && !types.has(descriptorType(d)))) return undefined;
  if (isCode(d) && isConforming(d)) return d;
  const dpl = descriptorDpl(d);
  return dpl < cpu.state.cpl || dpl < (selector & 3) ? undefined : d;
}

/** LAR: (selector) -> access rights, and whether they are valid (the new ZF). */
export function loadAccessRights(cpu: CpuContext): void {
  const types = isLongActive(cpu.state) ? LAR_TYPES_LONG : LAR_TYPES;
  const d = visible(cpu, cpu.arg32(0) & 0xffff, types);
  cpu.setResult32(d ? d.high & ATTRIBUTES : 0, 0);
  cpu.setResult32(d ? 1 : 0, 1);
}

/** LSL: (selector) -> limit in bytes, and whether it is valid. */
export function loadSegmentLimit(cpu: CpuContext): void {
  const types = isLongActive(cpu.state) ? LSL_TYPES_LONG : LSL_TYPES;
  const d = visible(cpu, cpu.arg32(0) & 0xffff, types);
  cpu.setResult32(d ? descriptorLimit(d) : 0, 0);
  cpu.setResult32(d ? 1 : 0, 1);
}

/** VERR and VERW: (selector, 0 read or 1 write) -> ZF. */
export function verify(cpu: CpuContext): void {
  const write = cpu.arg32(1) !== 0;
  const d = visible(cpu, cpu.arg32(0) & 0xffff, new Set());
  const permitted = d && (write ? isWritableData(d) : !isCode(d) || (d.high & ATTRIBUTE.RW) !== 0);
  cpu.setResult32(permitted ? 1 : 0);
}

/** Raises #UD in real-address and virtual-8086 mode, for SLDT, STR and ARPL. */
export function requireProtected(cpu: CpuContext): void {
  if (!isProtected(cpu.state)) raise(VECTOR.UD);
}
