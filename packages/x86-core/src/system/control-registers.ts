import type { CpuContext } from "../cpu/context.js";
import { raise } from "../cpu/fault.js";
import { PHYSICAL_ADDRESS_BITS } from "../cpu/models.js";
import { VECTOR } from "../semantics/ops.js";
import { CS, S, TR } from "../state/layout.js";
import type { Feature } from "../table/features.js";
import { isLongActive } from "./modes.js";
import { ATTRIBUTE, CR0, CR4, DR6, DR7, EFER } from "./registers.js";

/** Raises #GP(0) unless the code runs at CPL 0. */
export function requirePrivilege(cpu: CpuContext): void {
  if (cpu.state.cpl !== 0) raise(VECTOR.GP, 0);
}

/** Bits of CR4, and the feature that each belongs to. */
const CR4_FEATURES: readonly (readonly [number, Feature])[] = [
  [CR4.VME | CR4.PVI, "vme"],
  [CR4.TSD, "tsc"],
  [CR4.DE, "de"],
  [CR4.PSE, "pse"],
  [CR4.PAE, "pae"],
  [CR4.MCE, "mce"],
  [CR4.PGE, "pge"],
  [CR4.PCE, "msr"],
  [CR4.OSFXSR, "fxsr"],
  [CR4.OSXMMEXCPT, "sse"],
  [CR4.FSGSBASE, "fsgsbase"],
  [CR4.PCIDE, "pcid"],
  [CR4.OSXSAVE, "xsave"],
  [CR4.SMEP, "smep"],
  [CR4.SMAP, "smap"],
];
const cr4Bits = (cpu: CpuContext): number =>
  CR4_FEATURES.reduce((bits, [bit, feature]) => (cpu.model.has(feature) ? bits | bit : bits), 0);

/** MOV from a control register. */
export function readControl(cpu: CpuContext, index: number): bigint {
  const { state } = cpu;
  checkControl(cpu, index);
  requirePrivilege(cpu);
  switch (index) {
    case 0:
      return state.get64(S.cr0);
    case 2:
      return state.get64(S.cr2);
    case 3:
      return state.get64(S.cr3);
    case 4:
      return state.get64(S.cr4);
    default:
      return BigInt(cpu.apic.taskPriority & 15);
  }
}

/** There are CR0, CR2, CR3, CR4 and, in 64-bit mode, CR8. */
function checkControl(cpu: CpuContext, index: number): void {
  const exists = index === 0 || (index >= 2 && index <= 4) || (index === 8 && cpu.state.codeIs64);
  if (!exists) raise(VECTOR.UD);
}

/** MOV to a control register; execution goes on at the next instruction, in the new mode. */
export function writeControl(cpu: CpuContext, index: number, value: bigint): void {
  checkControl(cpu, index);
  requirePrivilege(cpu);
  switch (index) {
    case 0:
      setCr0(cpu, value);
      break;
    case 2:
      cpu.state.set64(S.cr2, value);
      break;
    case 3:
      setCr3(cpu, value);
      break;
    case 4:
      setCr4(cpu, value);
      break;
    default:
      if (value > 15n) raise(VECTOR.GP, 0);
      cpu.apic.taskPriority = Number(value);
      cpu.attention();
  }
}

const CR0_WRITABLE = CR0.PE | CR0.MP | CR0.EM | CR0.TS | CR0.NE | CR0.WP | CR0.AM | CR0.NW | CR0.CD | CR0.PG;
/** Changes of these make translations wrong. */
const CR0_PAGING = CR0.PG | CR0.WP | CR0.PE;

/** Sets CR0, entering and leaving protected mode, paging and IA-32e mode (SDM vol. 3, 2.5 and 10.8.5). */
export function setCr0(cpu: CpuContext, value: bigint): void {
  const { state } = cpu;
  if (value >> 32n) raise(VECTOR.GP, 0);
  const old = state.low(S.cr0);
  const bits = Number(value) & CR0_WRITABLE;
  const paging = (bits & CR0.PG) !== 0;
  const wasPaging = (old & CR0.PG) !== 0;
  if (paging && !(bits & CR0.PE)) raise(VECTOR.GP, 0);
  if (bits & CR0.NW && !(bits & CR0.CD)) raise(VECTOR.GP, 0);
  const efer = state.low(S.efer);
  if (paging && !wasPaging && efer & EFER.LME) {
    if (!(state.low(S.cr4) & CR4.PAE)) raise(VECTOR.GP, 0);
    if (state.attributes(CS) & ATTRIBUTE.L) raise(VECTOR.GP, 0);
    // IA-32e mode has no 16-bit TSS.
    if ((state.attributes(TR) & 0x8d00) === 0x8100) raise(VECTOR.GP, 0);
    state.set32(S.efer, efer | EFER.LMA);
  } else if (!paging && wasPaging) {
    if (state.low(S.cr4) & CR4.PCIDE || state.codeIs64) raise(VECTOR.GP, 0);
    state.set32(S.efer, efer & ~EFER.LMA);
  }
  state.set64(S.cr0, BigInt((bits | CR0.ET) >>> 0));
  if ((old ^ bits) & CR0_PAGING) cpu.flushTlb(true);
  cpu.modeChanged();
}

/** Bits of CR3 that must be 0 in IA-32e mode. */
const CR3_RESERVED = ~((1n << BigInt(PHYSICAL_ADDRESS_BITS)) - 1n) & 0xffffffffffffffffn;
const CR3_KEEP = 1n << 63n;

/** Sets CR3. Translations of the old address space go, except with bit 63 when process-context identifiers are on. */
export function setCr3(cpu: CpuContext, value: bigint): void {
  const { state } = cpu;
  const pcid = (state.low(S.cr4) & CR4.PCIDE) !== 0;
  const keep = pcid && (value & CR3_KEEP) !== 0n;
  if (keep) value &= ~CR3_KEEP;
  if (isLongActive(state) && value & CR3_RESERVED) raise(VECTOR.GP, 0);
  const same = state.get64(S.cr3) === value;
  state.set64(S.cr3, value);
  // The TLB holds one address space: to keep translations is a permission that helps only when nothing changes.
  if (!(keep && same)) cpu.flushTlb(false);
}

const CR4_PAGING = CR4.PSE | CR4.PAE | CR4.PGE | CR4.PCIDE | CR4.SMEP | CR4.SMAP;

export function setCr4(cpu: CpuContext, value: bigint): void {
  const { state } = cpu;
  const old = state.low(S.cr4);
  if (value & ~BigInt(cr4Bits(cpu))) raise(VECTOR.GP, 0);
  const bits = Number(value);
  if (isLongActive(state) && !(bits & CR4.PAE)) raise(VECTOR.GP, 0);
  if (bits & CR4.PCIDE && !(old & CR4.PCIDE) && (!isLongActive(state) || state.get32(S.cr3) & 0xfff)) {
    raise(VECTOR.GP, 0);
  }
  state.set64(S.cr4, value);
  if ((old ^ bits) & CR4_PAGING) cpu.flushTlb(true);
  cpu.modeChanged();
}

/** Writes EFER: LMA follows from the rest, LME cannot change under paging (SDM vol. 3, 2.2.1). */
export function setEfer(cpu: CpuContext, value: bigint): boolean {
  const { state, model } = cpu;
  let known = 0;
  if (model.has("syscall")) known |= EFER.SCE;
  if (model.has("lm")) known |= EFER.LME | EFER.LMA;
  if (model.has("nx")) known |= EFER.NXE;
  if (known === 0 || value & ~BigInt(known)) return false;
  const old = state.low(S.efer);
  const bits = (Number(value) & ~EFER.LMA) | (old & EFER.LMA);
  if ((old ^ bits) & EFER.LME && state.get32(S.cr0) & CR0.PG) return false;
  state.set64(S.efer, BigInt(bits));
  if ((old ^ bits) & EFER.NXE) cpu.flushTlb(true);
  cpu.modeChanged();
  return true;
}

/** LMSW: the low four bits of CR0; PE can be set but not cleared. */
export function loadMachineStatus(cpu: CpuContext, value: number): void {
  requirePrivilege(cpu);
  const old = cpu.state.low(S.cr0);
  setCr0(cpu, BigInt(((old & ~0xe) | (value & 0xf) | (old & CR0.PE)) >>> 0));
}

export function clearTaskSwitched(cpu: CpuContext): void {
  requirePrivilege(cpu);
  const { state } = cpu;
  state.set32(S.cr0, state.low(S.cr0) & ~CR0.TS);
  cpu.modeChanged();
}

/** XSETBV: XCR0 knows x87 (always set) and SSE state. */
export function setExtendedControl(cpu: CpuContext, index: number, value: bigint): void {
  requireOsxsave(cpu);
  requirePrivilege(cpu);
  if (index !== 0 || value & ~3n || !(value & 1n)) raise(VECTOR.GP, 0);
  cpu.state.set64(S.xcr0, value);
  cpu.modeChanged();
}

export function requireOsxsave(cpu: CpuContext): void {
  if (!(cpu.state.low(S.cr4) & CR4.OSXSAVE)) raise(VECTOR.UD);
}

// --- debug registers (SDM vol. 3, 18.2) ---

/** Checks an access to DR0-7 and gives the register: DR4 and DR5 are others' names unless CR4.DE is set. */
function debugRegister(cpu: CpuContext, index: number): number {
  const { state } = cpu;
  if (index > 7) raise(VECTOR.UD);
  if (index === 4 || index === 5) {
    if (state.low(S.cr4) & CR4.DE) raise(VECTOR.UD);
    index += 2;
  }
  requirePrivilege(cpu);
  if (state.get32(S.dr + 7 * 8) & DR7.GD) {
    state.set32(S.dr + 6 * 8, state.get32(S.dr + 6 * 8) | DR6.BD);
    raise(VECTOR.DB);
  }
  return index;
}

export function readDebug(cpu: CpuContext, index: number): bigint {
  return cpu.state.get64(S.dr + debugRegister(cpu, index) * 8);
}

const DR6_WRITABLE = 0xe00fn;
const DR7_WRITABLE = 0xffff23ffn;

export function writeDebug(cpu: CpuContext, index: number, value: bigint): void {
  const register = debugRegister(cpu, index);
  if (register >= 6 && value >> 32n) raise(VECTOR.GP, 0);
  if (register === 6) value = (value & DR6_WRITABLE) | BigInt(DR6.FIXED);
  if (register === 7) value = (value & DR7_WRITABLE) | BigInt(DR7.FIXED);
  cpu.state.set64(S.dr + register * 8, value);
  cpu.modeChanged();
  // Breakpoints change how instructions run.
  cpu.attention();
}
