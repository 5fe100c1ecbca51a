/** One register of the local APIC: its MMIO offset, and at `0x800 + offset / 16` its MSR in x2APIC mode. */
export interface ApicRegister {
  readonly name: string;
  readonly offset: number;
  readonly access: "r" | "w" | "rw";
  /** In which modes it exists. */
  readonly modes: "both" | "xapic" | "x2apic";
  /** Bits that software may set; a WRMSR with others is #GP, an MMIO write drops them. */
  readonly writable: number;
  /** Status bits, which a WRMSR may name but does not change. */
  readonly readOnly: number;
}

const row = (
  offset: number,
  name: string,
  access: ApicRegister["access"],
  writable = 0,
  modes: ApicRegister["modes"] = "both",
): ApicRegister => ({ name, offset, access, modes, writable, readOnly: 0 });

const DELIVERY_STATUS = 0x1000;
const REMOTE_IRR = 0x4000;

/** A local vector table entry. */
const lvt = (offset: number, name: string, writable: number, readOnly = DELIVERY_STATUS): ApicRegister => ({
  ...row(offset, `LVT ${name}`, "rw", writable),
  readOnly,
});

const bank = (offset: number, name: string): ApicRegister[] =>
  Array.from({ length: 8 }, (_, i) => row(offset + i * 16, `${name}${i}`, "r"));

/** Offsets used by name in the code. */
export const Reg = {
  Id: 0x020,
  Version: 0x030,
  Tpr: 0x080,
  Apr: 0x090,
  Ppr: 0x0a0,
  Eoi: 0x0b0,
  Ldr: 0x0d0,
  Dfr: 0x0e0,
  Svr: 0x0f0,
  Isr: 0x100,
  Tmr: 0x180,
  Irr: 0x200,
  Esr: 0x280,
  LvtCmci: 0x2f0,
  IcrLow: 0x300,
  IcrHigh: 0x310,
  LvtTimer: 0x320,
  LvtThermal: 0x330,
  LvtPerformance: 0x340,
  LvtLint0: 0x350,
  LvtLint1: 0x360,
  LvtError: 0x370,
  InitialCount: 0x380,
  CurrentCount: 0x390,
  DivideConfiguration: 0x3e0,
  SelfIpi: 0x3f0,
} as const;

/** Tables 11-1 and 11-6 of the Intel SDM, vol. 3A. */
const rows: readonly ApicRegister[] = [
  row(Reg.Id, "ID", "r"),
  row(Reg.Version, "Version", "r"),
  row(Reg.Tpr, "TPR", "rw", 0xff),
  row(Reg.Apr, "APR", "r", 0, "xapic"),
  row(Reg.Ppr, "PPR", "r"),
  row(Reg.Eoi, "EOI", "w", 0),
  row(Reg.Ldr, "LDR", "rw", 0xff00_0000),
  row(Reg.Dfr, "DFR", "rw", 0xf000_0000, "xapic"),
  row(Reg.Svr, "SVR", "rw", 0x13ff),
  ...bank(Reg.Isr, "ISR"),
  ...bank(Reg.Tmr, "TMR"),
  ...bank(Reg.Irr, "IRR"),
  row(Reg.Esr, "ESR", "rw", 0),
  lvt(Reg.LvtCmci, "CMCI", 0x1_07ff),
  row(Reg.IcrLow, "ICR", "rw", 0xc_cfff),
  row(Reg.IcrHigh, "ICR high", "rw", 0xff00_0000, "xapic"),
  lvt(Reg.LvtTimer, "timer", 0x7_00ff),
  lvt(Reg.LvtThermal, "thermal sensor", 0x1_07ff),
  lvt(Reg.LvtPerformance, "performance counter", 0x1_07ff),
  lvt(Reg.LvtLint0, "LINT0", 0x1_a7ff, DELIVERY_STATUS | REMOTE_IRR),
  lvt(Reg.LvtLint1, "LINT1", 0x1_a7ff, DELIVERY_STATUS | REMOTE_IRR),
  lvt(Reg.LvtError, "error", 0x1_00ff),
  row(Reg.InitialCount, "initial count", "rw", 0xffff_ffff),
  row(Reg.CurrentCount, "current count", "r"),
  row(Reg.DivideConfiguration, "divide configuration", "rw", 0xb),
  row(Reg.SelfIpi, "self IPI", "w", 0xff, "x2apic"),
];

const byIndex: (ApicRegister | undefined)[] = new Array(0x100).fill(undefined);
for (const register of rows) byIndex[register.offset >> 4] = register;

/** The register at MMIO offset `index * 16`, MSR `0x800 + index`, if it exists in that mode. */
export function findRegister(index: number, x2apic: boolean): ApicRegister | undefined {
  const register = byIndex[index];
  if (!register || register.modes === "both") return register;
  return (register.modes === "x2apic") === x2apic ? register : undefined;
}

/** The local vector table in the order in which state keeps it. */
export const LVT_OFFSETS: readonly number[] = [
  Reg.LvtCmci,
  Reg.LvtTimer,
  Reg.LvtThermal,
  Reg.LvtPerformance,
  Reg.LvtLint0,
  Reg.LvtLint1,
  Reg.LvtError,
];
