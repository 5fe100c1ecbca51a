import type { CpuContext } from "../cpu/context.js";
import { raise } from "../cpu/fault.js";
import { VECTOR } from "../semantics/ops.js";
import { INTERRUPT_KINDS, type systemHelpers } from "../semantics/system-helpers.js";
import { gprOffset, S } from "../state/layout.js";
import {
  clearTaskSwitched,
  loadMachineStatus,
  readControl,
  readDebug,
  requireOsxsave,
  setExtendedControl,
  writeControl,
  writeDebug,
} from "./control-registers.js";
import { cpuid } from "./cpuid.js";
import {
  loadAccessRights,
  loadLdt,
  loadSegmentLimit,
  loadTable,
  loadTaskRegister,
  requireProtected,
  verify,
} from "./descriptor-instructions.js";
import { farCall, farJump, farReturn } from "./far.js";
import { fxrstor, fxsave, xrstor, xsave } from "./fxsave.js";
import { deliver } from "./interrupts.js";
import { ioCheck, ioIn, ioOut } from "./io.js";
import { interruptReturn, interruptReturnLong } from "./iret.js";
import { rdmsr, setEdxEax, wrmsr } from "./msr.js";
import {
  clearInterruptFlag,
  enterNested,
  flagsChanged,
  halt,
  invalidateContext,
  invalidatePage,
  monitor,
  mwait,
  popVirtualFlags,
  randomNumber,
  readTimeStamp,
  setInterruptFlag,
  virtualFlagsImage,
} from "./privileged.js";
import { loadFarPointer, moveSegment, popSegment } from "./segment-instructions.js";
import { syscall, sysenter, sysexit, sysret } from "./syscall.js";

type Bytes = 2 | 4 | 8;
const goOn = (cpu: CpuContext): void => cpu.jump(cpu.nextIp);

/** INT n, INT3, INTO and INT1: (vector, kind). */
function interrupt(cpu: CpuContext): void {
  // Exceptions of the delivery belong to this instruction.
  cpu.state.set64(S.rip, cpu.instructionIp);
  const kind = INTERRUPT_KINDS[cpu.arg32(1)];
  deliver(cpu, { vector: cpu.arg32(0) & 0xff, kind, returnIp: cpu.nextIp });
}

/** The helpers that system-helpers.ts names. */
export const systemImplementations: Record<(typeof systemHelpers)[number], (cpu: CpuContext) => void> = {
  ioCheck,
  ioIn,
  ioOut,
  interrupt,
  interruptReturn: (cpu) => interruptReturn(cpu, cpu.arg32(0) as 2 | 4),
  interruptReturnLong,
  farJump: (cpu) => farJump(cpu, cpu.arg32(0) & 0xffff, cpu.arg64(1)),
  farCall: (cpu) => farCall(cpu, cpu.arg32(0) & 0xffff, cpu.arg64(1), cpu.arg32(2) as Bytes),
  farReturn: (cpu) => farReturn(cpu, cpu.arg32(0) as Bytes, cpu.arg32(1) & 0xffff),
  syscall,
  sysenter,
  sysret: (cpu) => sysret(cpu, cpu.arg32(0) !== 0),
  sysexit: (cpu) => sysexit(cpu, cpu.arg32(0) !== 0),
  readControl: (cpu) => cpu.setResult64(readControl(cpu, cpu.arg32(0))),
  readDebug: (cpu) => cpu.setResult64(readDebug(cpu, cpu.arg32(0))),
  writeControl(cpu) {
    writeControl(cpu, cpu.arg32(0), cpu.arg64(1));
    goOn(cpu);
  },
  writeDebug(cpu) {
    writeDebug(cpu, cpu.arg32(0), cpu.arg64(1));
    goOn(cpu);
  },
  loadMachineStatus(cpu) {
    loadMachineStatus(cpu, cpu.arg32(0));
    goOn(cpu);
  },
  clearTaskSwitched(cpu) {
    clearTaskSwitched(cpu);
    goOn(cpu);
  },
  getExtendedControl(cpu) {
    requireOsxsave(cpu);
    if (cpu.state.get32(gprOffset(1)) !== 0) raise(VECTOR.GP, 0);
    setEdxEax(cpu, cpu.state.get64(S.xcr0));
  },
  setExtendedControl(cpu) {
    const { state } = cpu;
    const value = (BigInt(state.get32(gprOffset(2))) << 32n) | BigInt(state.get32(gprOffset(0)));
    setExtendedControl(cpu, state.get32(gprOffset(1)), value);
    goOn(cpu);
  },
  rdmsr,
  wrmsr,
  cpuid,
  readTimeStamp,
  loadSegment: moveSegment,
  popSegment,
  loadFarPointer,
  loadTable,
  loadLdt,
  loadTaskRegister,
  loadAccessRights,
  loadSegmentLimit,
  verify,
  requireProtected,
  halt,
  monitor,
  mwait,
  invalidatePage(cpu) {
    invalidatePage(cpu);
    goOn(cpu);
  },
  invalidateContext(cpu) {
    invalidateContext(cpu);
    goOn(cpu);
  },
  probeByte: (cpu) => cpu.probeRead(cpu.arg64(0), 1),
  clearInterruptFlag,
  setInterruptFlag,
  virtualFlagsImage,
  popVirtualFlags,
  flagsChanged,
  randomNumber,
  enterNested,
  fxsave,
  fxrstor,
  xsave,
  xrstor,
};
