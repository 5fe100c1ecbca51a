import { Cpu, type CpuModel, createMemory, RAM_BASE, S } from "@softmetal/x86-core";

/** What CPUID gives. */
export interface CpuidResult {
  eax: number;
  ebx: number;
  ecx: number;
  edx: number;
}

/** Asks a model for a leaf. */
export type AskCpuid = (leaf: number, subleaf?: number) => CpuidResult;

const CODE = 0x1000;

/**
 * What a CPU model answers to CPUID: the translator's CPU is asked, so that models are defined once for both engines.
 * In real mode, so that SYSCALL is not shown.
 */
export function modelCpuid(model: CpuModel): AskCpuid {
  const cpu = modelCpu(model);
  cpu.physical.u8.set([0x0f, 0xa2, 0xf4], RAM_BASE + CODE); // cpuid; hlt
  cpu.memoryWritten(CODE, 3);
  const { state } = cpu;
  const register = (index: number) => state.get32(S.gpr + index * 8);
  return (leaf, subleaf = 0) => {
    cpu.reset();
    state.setSegment(1, 0, 0n, 0xffff, 0x9b00);
    state.set64(S.rip, BigInt(CODE));
    state.set64(S.gpr, BigInt(leaf >>> 0));
    state.set64(S.gpr + 8, BigInt(subleaf));
    cpu.stateChanged();
    while (cpu.run(100) === "budget");
    return { eax: register(0), ebx: register(3), ecx: register(1), edx: register(2) };
  };
}

/** A CPU of the translator, with a little memory and nothing around it. */
export function modelCpu(model: CpuModel): Cpu {
  return new Cpu({
    memory: createMemory(0x10000),
    ram: [{ address: 0, size: 0x10000, offset: RAM_BASE }],
    model,
    bus: {
      readPhysical: () => 0xffffffff,
      writePhysical() {},
      readPort: () => 0xffffffff,
      writePort() {},
    },
    apic: {
      acknowledge: () => -1,
      pending: () => false,
      taskPriority: 0,
      readMsr: () => undefined,
      writeMsr: () => false,
    },
    time: { ticks: () => 0n, frequency: 1e9 },
  });
}
