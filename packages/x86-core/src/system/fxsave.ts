import type { CpuContext } from "../cpu/context.js";
import { raise } from "../cpu/fault.js";
import { VECTOR } from "../semantics/ops.js";
import { XSAVE_KINDS } from "../semantics/system-helpers.js";
import { fprOffset, gprOffset, S, STATE, xmmOffset } from "../state/layout.js";
import { requireOsxsave } from "./control-registers.js";
import { wrapLinear } from "./modes.js";
import { CR0, CR4 } from "./registers.js";
import { FXSAVE, MXCSR_MASK, XFEATURE, XSAVE_HEADER } from "./xsave-layout.js";

/** Access to an area in memory by offsets; wraps as linear addresses do. */
class Area {
  constructor(
    private readonly cpu: CpuContext,
    private readonly base: bigint,
  ) {}
  #at(offset: number): bigint {
    return wrapLinear(this.cpu.state, this.base + BigInt(offset));
  }
  read(offset: number, bytes: 1 | 2 | 4): number {
    return this.cpu.read(this.#at(offset), bytes) >>> 0;
  }
  read64(offset: number): bigint {
    return this.cpu.read64(this.#at(offset));
  }
  write(offset: number, bytes: 1 | 2 | 4, value: number): void {
    this.cpu.write(this.#at(offset), bytes, value);
  }
  write64(offset: number, value: bigint): void {
    this.cpu.write64(this.#at(offset), value);
  }
  /** Raises what the accesses would raise, on every page that they touch. */
  probe(bytes: number, write: boolean): void {
    const check = (offset: number, size: number) =>
      write ? this.cpu.probeWrite(this.#at(offset), size) : this.cpu.probeRead(this.#at(offset), size);
    check(0, 8);
    check(bytes - 8, 8);
  }
}

/** Registers of XMM that the mode can name. */
const xmmCount = (cpu: CpuContext): number => (cpu.state.codeIs64 ? 16 : 8);

// --- the x87 part ---

function saveX87(cpu: CpuContext, area: Area, wide: boolean): void {
  const { state } = cpu;
  const top = state.get32(S.ftop);
  area.write(FXSAVE.fcw, 2, state.get32(S.fcw) & 0xffff);
  area.write(FXSAVE.fsw, 2, (state.get32(S.fsw) & 0xc7ff) | (top << 11));
  area.write(FXSAVE.ftw, 2, state.get32(S.ftags) & 0xff);
  area.write(FXSAVE.fop, 2, state.get32(S.fop) & 0x7ff);
  if (wide) {
    area.write64(FXSAVE.fip, state.get64(S.fip));
    area.write64(FXSAVE.fdp, state.get64(S.fdp));
  } else {
    area.write(FXSAVE.fip, 4, state.low(S.fip));
    area.write(FXSAVE.fcs, 4, state.get32(S.fcs) & 0xffff);
    area.write(FXSAVE.fdp, 4, state.low(S.fdp));
    area.write(FXSAVE.fds, 4, state.get32(S.fds) & 0xffff);
  }
  for (let index = 0; index < 8; index++) {
    const register = fprOffset((top + index) & 7);
    area.write64(FXSAVE.st + index * 16, state.get64(register));
    area.write64(FXSAVE.st + index * 16 + 8, state.get64(register + 8) & 0xffffn);
  }
}

function restoreX87(cpu: CpuContext, area: Area, wide: boolean): void {
  const { state } = cpu;
  const status = area.read(FXSAVE.fsw, 2);
  const top = (status >> 11) & 7;
  state.set32(S.fcw, (area.read(FXSAVE.fcw, 2) & 0x1f7f) | 0x40);
  setStatus(cpu, status);
  state.set32(S.ftop, top);
  state.set32(S.ftags, area.read(FXSAVE.ftw, 1));
  state.set32(S.fop, area.read(FXSAVE.fop, 2) & 0x7ff);
  if (wide) {
    state.set64(S.fip, area.read64(FXSAVE.fip));
    state.set64(S.fdp, area.read64(FXSAVE.fdp));
  } else {
    state.set64(S.fip, BigInt(area.read(FXSAVE.fip, 4)));
    state.set32(S.fcs, area.read(FXSAVE.fcs, 2));
    state.set64(S.fdp, BigInt(area.read(FXSAVE.fdp, 4)));
    state.set32(S.fds, area.read(FXSAVE.fds, 2));
  }
  for (let index = 0; index < 8; index++) {
    const register = fprOffset((top + index) & 7);
    state.set64(register, area.read64(FXSAVE.st + index * 16));
    state.set64(register + 8, area.read64(FXSAVE.st + index * 16 + 8) & 0xffffn);
  }
}

/** The status word without TOP; ES and B follow from the exceptions that are not masked. */
function setStatus(cpu: CpuContext, status: number): void {
  const { state } = cpu;
  const pending = status & ~state.get32(S.fcw) & 0x3f;
  state.set32(S.fsw, (status & 0x477f) | (pending ? 0x8080 : 0));
}

function initializeX87(cpu: CpuContext): void {
  const { state } = cpu;
  state.set32(S.fcw, 0x37f);
  for (const offset of [S.fsw, S.ftop, S.ftags, S.fop, S.fcs, S.fds]) state.set32(offset, 0);
  state.set64(S.fip, 0n);
  state.set64(S.fdp, 0n);
  for (let index = 0; index < 8; index++) {
    state.set64(fprOffset(index), 0n);
    state.set64(fprOffset(index) + 8, 0n);
  }
}

// --- the SSE part ---

function saveMxcsr(cpu: CpuContext, area: Area): void {
  area.write(FXSAVE.mxcsr, 4, cpu.state.get32(S.mxcsr));
  area.write(FXSAVE.mxcsrMask, 4, MXCSR_MASK);
}
function checkedMxcsr(area: Area): number {
  const value = area.read(FXSAVE.mxcsr, 4);
  if (value & ~MXCSR_MASK) raise(VECTOR.GP, 0);
  return value;
}
function saveXmm(cpu: CpuContext, area: Area): void {
  for (let index = 0; index < xmmCount(cpu); index++) {
    area.write64(FXSAVE.xmm + index * 16, cpu.state.get64(xmmOffset(index)));
    area.write64(FXSAVE.xmm + index * 16 + 8, cpu.state.get64(xmmOffset(index) + 8));
  }
}
function restoreXmm(cpu: CpuContext, area: Area): void {
  for (let index = 0; index < xmmCount(cpu); index++) {
    cpu.state.set64(xmmOffset(index), area.read64(FXSAVE.xmm + index * 16));
    cpu.state.set64(xmmOffset(index) + 8, area.read64(FXSAVE.xmm + index * 16 + 8));
  }
}
function initializeXmm(cpu: CpuContext): void {
  const start = STATE + xmmOffset(0);
  cpu.state.u8.fill(0, start, start + xmmCount(cpu) * 16);
}

// --- FXSAVE and FXRSTOR ---

function prepareFx(cpu: CpuContext): Area {
  const { state } = cpu;
  if (state.low(S.cr0) & (CR0.EM | CR0.TS)) raise(VECTOR.NM);
  const base = cpu.arg64(0);
  if (base & 15n) raise(VECTOR.GP, 0);
  return new Area(cpu, base);
}

/** FXSAVE: (linear address, 1 for 64-bit pointers). XMM registers are saved when the system uses them. */
export function fxsave(cpu: CpuContext): void {
  const area = prepareFx(cpu);
  area.probe(FXSAVE.size, true);
  saveX87(cpu, area, cpu.arg32(1) !== 0);
  saveMxcsr(cpu, area);
  if (cpu.state.low(S.cr4) & CR4.OSFXSR) saveXmm(cpu, area);
}

export function fxrstor(cpu: CpuContext): void {
  const area = prepareFx(cpu);
  area.probe(FXSAVE.size, false);
  const mxcsr = checkedMxcsr(area);
  restoreX87(cpu, area, cpu.arg32(1) !== 0);
  cpu.state.set32(S.mxcsr, mxcsr);
  if (cpu.state.low(S.cr4) & CR4.OSFXSR) restoreXmm(cpu, area);
}

// --- XSAVE and its relatives (SDM vol. 1, 13.7-13.11) ---

function prepareX(cpu: CpuContext): Area {
  requireOsxsave(cpu);
  if (cpu.state.low(S.cr0) & CR0.TS) raise(VECTOR.NM);
  const base = cpu.arg64(0);
  if (base & 63n) raise(VECTOR.GP, 0);
  return new Area(cpu, base);
}

/** Components that the instruction is to move: EAX, as far as XCR0 enables them. */
const requested = (cpu: CpuContext): number => cpu.state.get32(gprOffset(0)) & cpu.state.low(S.xcr0);

/** XSAVE, XSAVEOPT and XSAVEC: (linear address, 1 for 64-bit pointers, kind). */
export function xsave(cpu: CpuContext): void {
  const area = prepareX(cpu);
  const components = requested(cpu);
  const compact = XSAVE_KINDS[cpu.arg32(2)] === "xsavec";
  area.probe(XSAVE_HEADER.end, true);
  const used = componentsInUse(cpu);
  const saved = compact ? components & used : components;
  if (saved & XFEATURE.X87) saveX87(cpu, area, cpu.arg32(1) !== 0);
  if (saved & XFEATURE.SSE) saveXmm(cpu, area);
  if (components & XFEATURE.SSE) saveMxcsr(cpu, area);
  if (compact) {
    area.write64(XSAVE_HEADER.bitmap, BigInt(components & used));
    area.write64(XSAVE_HEADER.compaction, (1n << 63n) | BigInt(components));
  } else {
    const old = area.read64(XSAVE_HEADER.bitmap);
    area.write64(XSAVE_HEADER.bitmap, (old & ~BigInt(components)) | BigInt(components & used));
  }
}

/** Components that are not in their initial state: XINUSE. */
function componentsInUse(cpu: CpuContext): number {
  const { state } = cpu;
  const start = (STATE + xmmOffset(0)) >> 3;
  const sse = state.u64.subarray(start, start + xmmCount(cpu) * 2).some((value) => value !== 0n);
  const initial = state.get32(S.fcw) === 0x37f && [S.fsw, S.ftop, S.ftags].every((offset) => state.get32(offset) === 0);
  return (initial ? 0 : XFEATURE.X87) | (sse || state.get32(S.mxcsr) !== 0x1f80 ? XFEATURE.SSE : 0);
}

/** XRSTOR: (linear address, 1 for 64-bit pointers). */
export function xrstor(cpu: CpuContext): void {
  const { state } = cpu;
  const area = prepareX(cpu);
  area.probe(XSAVE_HEADER.end, false);
  const components = requested(cpu);
  const bitmap = area.read64(XSAVE_HEADER.bitmap);
  const compaction = area.read64(XSAVE_HEADER.compaction);
  const compact = compaction >> 63n !== 0n;
  const known = state.get64(S.xcr0);
  if (compact) {
    if (!cpu.model.has("xsavec")) raise(VECTOR.GP, 0);
    const format = compaction & ~(1n << 63n);
    if (format & ~known || bitmap & ~format) raise(VECTOR.GP, 0);
  } else if (bitmap & ~known || compaction !== 0n) raise(VECTOR.GP, 0);
  for (
    let offset = XSAVE_HEADER.compaction + 8;
    offset < (compact ? XSAVE_HEADER.end : XSAVE_HEADER.end - 40);
    offset += 8
  ) {
    if (area.read64(offset) !== 0n) raise(VECTOR.GP, 0);
  }
  const present = Number(bitmap & 3n);
  // The standard form loads MXCSR even when the SSE registers take their initial state.
  const takesMxcsr = compact ? present & components & XFEATURE.SSE : components & XFEATURE.SSE;
  const mxcsr = takesMxcsr ? checkedMxcsr(area) : 0x1f80;
  if (components & XFEATURE.X87) {
    if (present & XFEATURE.X87) restoreX87(cpu, area, cpu.arg32(1) !== 0);
    else initializeX87(cpu);
  }
  if (components & XFEATURE.SSE) {
    state.set32(S.mxcsr, mxcsr);
    if (present & XFEATURE.SSE) restoreXmm(cpu, area);
    else initializeXmm(cpu);
  }
}
