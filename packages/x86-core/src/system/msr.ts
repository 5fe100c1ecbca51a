import type { CpuContext } from "../cpu/context.js";
import { raise } from "../cpu/fault.js";
import { PHYSICAL_ADDRESS_BITS } from "../cpu/models.js";
import { VECTOR } from "../semantics/ops.js";
import { FS, GS, gprOffset, S, SEGMENT, segmentOffset } from "../state/layout.js";
import type { Feature } from "../table/features.js";
import { requirePrivilege, setEfer } from "./control-registers.js";
import { isCanonical } from "./modes.js";

/** A model-specific register. Without `write` it is read-only; a write that gives false raises #GP(0). */
interface Msr {
  readonly feature?: Feature;
  read(cpu: CpuContext): bigint;
  write?(cpu: CpuContext, value: bigint): boolean;
}

const field = (offset: number, valid: (value: bigint) => boolean = () => true, feature?: Feature): Msr => ({
  feature,
  read: (cpu) => cpu.state.get64(offset),
  write(cpu, value) {
    if (!valid(value)) return false;
    cpu.state.set64(offset, value);
    return true;
  },
});
const fits = (mask: bigint) => (value: bigint) => (value & ~mask) === 0n;
/** A constant; writes of any value are ignored when `ignoreWrites` is set. */
const constant = (value: bigint, feature?: Feature, ignoreWrites = false): Msr => ({
  feature,
  read: () => value,
  write: ignoreWrites ? () => true : undefined,
});

/** Memory types 0, 1, 4, 5, 6 (UC, WC, WT, WP, WB); the PAT also knows 7 (UC-). */
const isMtrrType = (type: number): boolean => type === 0 || type === 1 || (type >= 4 && type <= 6);
const everyByte = (value: bigint, valid: (byte: number) => boolean): boolean => {
  for (let shift = 0n; shift < 64n; shift += 8n) if (!valid(Number((value >> shift) & 0xffn))) return false;
  return true;
};
const PHYSICAL = (1n << BigInt(PHYSICAL_ADDRESS_BITS)) - 1n;
/** Variable MTRR pairs; the state has room for eight. */
const VARIABLE_MTRRS = 8;

const segmentBase = (segment: number): Msr => field(segmentOffset(segment) + SEGMENT.base, isCanonical, "lm");

/** IA32_MISC_ENABLE: fast strings, MONITOR, the CPUID limit and XD disable can be switched, without effect. */
const MISC_ENABLE_BITS = fits(0x4_00c5_1889n);

const MSRS = new Map<number, Msr>([
  [0x0, constant(0n, "mce", true)],
  [0x1, constant(0n, "mce", true)],
  [
    0x10,
    {
      feature: "tsc",
      read: readTsc,
      write(cpu, value) {
        cpu.state.set64(S.tscOffset, BigInt.asUintN(64, value - cpu.time.ticks()));
        return true;
      },
    },
  ],
  // IA32_PLATFORM_ID and IA32_BIOS_SIGN_ID: processor slot 0, microcode revision 1, updates are ignored.
  [0x17, constant(0n)],
  [0x79, constant(0n, undefined, true)],
  [0x8b, { read: () => 1n << 32n, write: () => true }],
  // IA32_FEATURE_CONTROL, locked.
  [0x3a, constant(1n)],
  [0xfe, constant(BigInt(VARIABLE_MTRRS) | (1n << 8n) | (1n << 10n), "mtrr")],
  [0x174, field(S.sysenterCs, fits(0xffffffffn), "sep")],
  [0x175, field(S.sysenterEsp, isCanonical, "sep")],
  [0x176, field(S.sysenterEip, isCanonical, "sep")],
  // IA32_MCG_CAP: no banks.
  [0x179, constant(0n, "mca")],
  [0x17a, constant(0n, "mca", true)],
  [0x1a0, field(S.miscEnable, MISC_ENABLE_BITS)],
  // IA32_DEBUGCTL: branch tracing does not exist.
  [0x1d9, { read: () => 0n, write: (_cpu, value) => value === 0n }],
  [0x277, field(S.pat, (value) => everyByte(value, (type) => isMtrrType(type) || type === 7), "pat")],
  [0x2ff, field(S.mtrrDefType, (value) => fits(0xcffn)(value) && isMtrrType(Number(value & 0xffn)), "mtrr")],
  [0xc0000080, { feature: "msr", read: (cpu) => cpu.state.get64(S.efer), write: setEfer }],
  [0xc0000081, field(S.star, undefined, "syscall")],
  [0xc0000082, field(S.lstar, isCanonical, "lm")],
  [0xc0000083, field(S.cstar, isCanonical, "lm")],
  [0xc0000084, field(S.sfmask, fits(0xffffffffn), "syscall")],
  [0xc0000100, segmentBase(FS)],
  [0xc0000101, segmentBase(GS)],
  [0xc0000102, field(S.kernelGsBase, isCanonical, "lm")],
  [0xc0000103, field(S.tscAux, fits(0xffffffffn), "rdtscp")],
]);

const FIXED_MTRRS = [0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f];
FIXED_MTRRS.forEach((number, index) => {
  MSRS.set(
    number,
    field(S.mtrrFixed + index * 8, (value) => everyByte(value, isMtrrType), "mtrr"),
  );
});
for (let index = 0; index < VARIABLE_MTRRS; index++) {
  const base = (value: bigint) => fits((PHYSICAL & ~0xfffn) | 0xffn)(value) && isMtrrType(Number(value & 0xffn));
  MSRS.set(0x200 + index * 2, field(S.mtrrVariable + index * 16, base, "mtrr"));
  MSRS.set(0x201 + index * 2, field(S.mtrrVariable + index * 16 + 8, fits((PHYSICAL & ~0xfffn) | 0x800n), "mtrr"));
}

/** The registers of the local APIC: base, TSC deadline, and all of x2APIC. */
const isApicMsr = (cpu: CpuContext, number: number): boolean =>
  (number === 0x1b && cpu.model.has("apic")) ||
  (number === 0x6e0 && cpu.model.has("tsc-deadline")) ||
  (number >= 0x800 && number <= 0x8ff && cpu.model.has("x2apic"));

function find(cpu: CpuContext, number: number): Msr | undefined {
  const msr = MSRS.get(number);
  return msr && (!msr.feature || cpu.model.has(msr.feature)) ? msr : undefined;
}

/** The time-stamp counter. */
export function readTsc(cpu: CpuContext): bigint {
  return BigInt.asUintN(64, cpu.time.ticks() + cpu.state.get64(S.tscOffset));
}

/** Reads an MSR without regard to privilege; undefined when there is none of this number. */
export function readMsr(cpu: CpuContext, number: number): bigint | undefined {
  return isApicMsr(cpu, number) ? cpu.apic.readMsr(number) : find(cpu, number)?.read(cpu);
}

/** Writes one; false for an unknown one, a read-only one or a value that it cannot take. */
export function writeMsr(cpu: CpuContext, number: number, value: bigint): boolean {
  if (isApicMsr(cpu, number)) return cpu.apic.writeMsr(number, value);
  return find(cpu, number)?.write?.(cpu, value) ?? false;
}

/** RDMSR: the register ECX into EDX:EAX. */
export function rdmsr(cpu: CpuContext): void {
  requirePrivilege(cpu);
  const { state } = cpu;
  const value = readMsr(cpu, state.get32(gprOffset(1)));
  if (value === undefined) raise(VECTOR.GP, 0);
  setEdxEax(cpu, value);
}

/** WRMSR. Execution leaves generated code, since anything may have changed. */
export function wrmsr(cpu: CpuContext): void {
  requirePrivilege(cpu);
  const { state } = cpu;
  const value = (BigInt(state.get32(gprOffset(2))) << 32n) | BigInt(state.get32(gprOffset(0)));
  if (!writeMsr(cpu, state.get32(gprOffset(1)), value)) raise(VECTOR.GP, 0);
  cpu.jump(cpu.nextIp);
}

/** Results in two halves, each zero-extended. */
export function setEdxEax(cpu: CpuContext, value: bigint): void {
  const { state } = cpu;
  state.set64(gprOffset(0), value & 0xffffffffn);
  state.set64(gprOffset(2), BigInt.asUintN(64, value) >> 32n);
}
