import type { CpuContext } from "../cpu/context.js";
import { raise } from "../cpu/fault.js";
import { VECTOR } from "../semantics/ops.js";
import { CS, FS, GS, LDTR, S, SS } from "../state/layout.js";
import type { State } from "../state/state.js";
import { isLongActive, isReal, isVirtual8086, wrapLinear } from "./modes.js";
import { ATTRIBUTE, ATTRIBUTES } from "./registers.js";

/** An entry of a descriptor table (SDM vol. 3, 3.4.5). */
export interface Descriptor {
  readonly selector: number;
  /** Linear address of the entry. */
  readonly address: bigint;
  readonly low: number;
  readonly high: number;
}

/** The error code that names a selector: its RPL does not belong to it. */
export const selectorError = (selector: number): number => selector & 0xfffc;
export const isNull = (selector: number): boolean => (selector & 0xfffc) === 0;

export const descriptorBase = (d: Descriptor): number =>
  ((d.low >>> 16) | ((d.high & 0xff) << 16) | (d.high & 0xff000000)) >>> 0;
export const descriptorLimit = (d: Descriptor): number => {
  const limit = (d.low & 0xffff) | (d.high & 0xf0000);
  return d.high & ATTRIBUTE.G ? ((limit << 12) | 0xfff) >>> 0 : limit;
};
export const descriptorDpl = (d: Descriptor): number => (d.high >> 13) & 3;
/** Type of a system descriptor. */
export const descriptorType = (d: Descriptor): number => (d.high >> 8) & 15;
export const isPresent = (d: Descriptor): boolean => (d.high & ATTRIBUTE.P) !== 0;
export const isSystem = (d: Descriptor): boolean => (d.high & ATTRIBUTE.S) === 0;
export const isCode = (d: Descriptor): boolean =>
  (d.high & (ATTRIBUTE.S | ATTRIBUTE.CODE)) === (ATTRIBUTE.S | ATTRIBUTE.CODE);
export const isConforming = (d: Descriptor): boolean => (d.high & ATTRIBUTE.DC) !== 0;
export const isWritableData = (d: Descriptor): boolean =>
  (d.high & (ATTRIBUTE.S | ATTRIBUTE.CODE | ATTRIBUTE.RW)) === (ATTRIBUTE.S | ATTRIBUTE.RW);

/** Reads the descriptor that a selector names; undefined when it lies outside of its table. */
export function lookUpDescriptor(cpu: CpuContext, selector: number, bytes: 8 | 16 = 8): Descriptor | undefined {
  const { state } = cpu;
  const offset = selector & 0xfff8;
  const local = (selector & 4) !== 0;
  if (local && !(state.attributes(LDTR) & ATTRIBUTE.P)) return undefined;
  const limit = local ? state.limit(LDTR) : state.get32(S.gdtLimit);
  if (offset + bytes - 1 > limit) return undefined;
  const base = local ? state.base(LDTR) : state.get64(S.gdtBase);
  const address = wrapLinear(state, base + BigInt(offset));
  return {
    selector,
    address,
    low: cpu.readSystem(address, 4) >>> 0,
    high: cpu.readSystem(address + 4n, 4) >>> 0,
  };
}

/** As `lookUpDescriptor`, raising `vector` with the selector as error code. */
export function fetchDescriptor(cpu: CpuContext, selector: number, vector: number, bytes: 8 | 16 = 8): Descriptor {
  return lookUpDescriptor(cpu, selector, bytes) ?? raise(vector, selectorError(selector));
}

/** Base of a system segment in IA-32e mode, where descriptors have 16 bytes. */
export function longBase(cpu: CpuContext, d: Descriptor): bigint {
  const upper = cpu.readSystem(d.address + 8n, 4) >>> 0;
  return (BigInt(upper) << 32n) | BigInt(descriptorBase(d));
}

/** Sets the accessed bit in memory when it is clear. */
export function markAccessed(cpu: CpuContext, d: Descriptor): void {
  if (!(d.high & ATTRIBUTE.ACCESSED)) cpu.writeSystem(d.address + 5n, 1, ((d.high >> 8) & 0xff) | 1);
}

/** Puts a code or data descriptor into a segment register. Checks are the caller's. */
export function setFromDescriptor(state: State, segment: number, selector: number, d: Descriptor): void {
  state.setSegment(
    segment,
    selector,
    BigInt(descriptorBase(d)),
    descriptorLimit(d),
    (d.high & ATTRIBUTES) | ATTRIBUTE.ACCESSED,
  );
}

/** Makes a segment register hold a null selector: every use faults, except in 64-bit mode. */
export function setNull(state: State, segment: number, selector = 0): void {
  state.setSegment(segment, selector, 0n, 0, 0);
}

/** SS in 64-bit mode may be null; its cache still holds CPL. */
export function setNullStack(state: State, selector: number, cpl: number): void {
  state.setSegment(SS, selector, 0n, 0xffffffff, ATTRIBUTE.DB | ATTRIBUTE.G | (cpl << 13));
}

/** Loads a segment register as real-address or virtual-8086 mode does. */
export function setRealSegment(state: State, segment: number, selector: number): void {
  const base = BigInt(selector << 4);
  if (isVirtual8086(state)) state.setSegment(segment, selector, base, 0xffff, 0xf300);
  // Limit and attributes stay what protected mode left ("unreal mode").
  else state.setSegment(segment, selector, base, state.limit(segment), state.attributes(segment));
}

/** Checks a stack segment for privilege `cpl`; `vector` reports everything but absence, which is #SS. */
export function checkStackSegment(cpu: CpuContext, selector: number, cpl: number, vector: number): Descriptor {
  const d = fetchDescriptor(cpu, selector, vector);
  if ((selector & 3) !== cpl || !isWritableData(d) || descriptorDpl(d) !== cpl) raise(vector, selectorError(selector));
  if (!isPresent(d)) raise(VECTOR.SS, selectorError(selector));
  return d;
}

/** Checks a segment for DS, ES, FS or GS (SDM vol. 2, MOV). */
export function checkDataSegment(cpu: CpuContext, selector: number, cpl: number, vector: number): Descriptor {
  const d = fetchDescriptor(cpu, selector, vector);
  const code = isCode(d);
  if (isSystem(d) || (code && !(d.high & ATTRIBUTE.RW))) raise(vector, selectorError(selector));
  if (!(code && isConforming(d))) {
    const dpl = descriptorDpl(d);
    if ((selector & 3) > dpl || cpl > dpl) raise(vector, selectorError(selector));
  }
  if (!isPresent(d)) raise(VECTOR.NP, selectorError(selector));
  return d;
}

/** MOV, POP and LxS to a segment register other than CS, in every mode. */
export function loadSegment(cpu: CpuContext, segment: number, selector: number): void {
  const { state } = cpu;
  if (isReal(state) || isVirtual8086(state)) {
    setRealSegment(state, segment, selector);
  } else if (segment === SS) {
    loadStackSegment(cpu, selector);
  } else if (isNull(selector)) {
    setNull(state, segment, selector);
  } else {
    const d = checkDataSegment(cpu, selector, state.cpl, VECTOR.GP);
    markAccessed(cpu, d);
    setFromDescriptor(state, segment, selector, d);
  }
  if (segment === SS) cpu.modeChanged();
}

function loadStackSegment(cpu: CpuContext, selector: number): void {
  const { state } = cpu;
  const { cpl } = state;
  if (isNull(selector)) {
    if (!state.codeIs64 || cpl === 3 || (selector & 3) !== cpl) raise(VECTOR.GP, 0);
    setNullStack(state, selector, cpl);
    return;
  }
  const d = checkStackSegment(cpu, selector, cpl, VECTOR.GP);
  markAccessed(cpu, d);
  setFromDescriptor(state, SS, selector, d);
}

/** A code segment with both L and D set is reserved in IA-32e mode. */
export function checkCodeSize(cpu: CpuContext, d: Descriptor, vector: number): void {
  const both = ATTRIBUTE.L | ATTRIBUTE.DB;
  if (isLongActive(cpu.state) && (d.high & both) === both) raise(vector, selectorError(d.selector));
}

/** Whether execution in this code segment is in 64-bit mode. */
export const isCode64 = (state: State, d: Descriptor): boolean => isLongActive(state) && (d.high & ATTRIBUTE.L) !== 0;

/** Raises #GP(0) when RIP is beyond the limit of the code segment, or not canonical in 64-bit mode. */
export function checkCodeOffset(cpu: CpuContext, d: Descriptor, rip: bigint): void {
  if (isCode64(cpu.state, d)) {
    if (BigInt.asUintN(64, BigInt.asIntN(48, rip)) !== rip) raise(VECTOR.GP, 0);
  } else if (rip > BigInt(descriptorLimit(d))) raise(VECTOR.GP, 0);
}

/** Loads CS from a checked descriptor; the selector's RPL becomes `cpl`. The caller reports the change of mode. */
export function setCode(cpu: CpuContext, d: Descriptor, cpl: number): void {
  setFromDescriptor(cpu.state, CS, (d.selector & 0xfffc) | cpl, d);
}

/** After a return to an outer level: data segments that this level may not use become null (SDM vol. 3, 5.8.6). */
export function dropInnerSegments(state: State, cpl: number): void {
  for (const segment of [0, 3, FS, GS]) {
    const attributes = state.attributes(segment);
    if (!(attributes & ATTRIBUTE.P)) continue;
    const conforming = (attributes & (ATTRIBUTE.CODE | ATTRIBUTE.DC)) === (ATTRIBUTE.CODE | ATTRIBUTE.DC);
    if (!conforming && ((attributes >> 13) & 3) < cpl) setNull(state, segment);
  }
}
