import type { Bus } from "../../src/cpu/context.js";
import { Cpu, type CpuOptions, createMemory } from "../../src/cpu/cpu.js";
import { parseModel } from "../../src/cpu/models.js";
import { RAM_BASE } from "../../src/state/layout.js";

/** A CPU of the model `max` with RAM from address 0, no devices, no interrupts and a clock that stands still. */
export function bareCpu(
  ram: number,
  { bus, ...options }: Partial<Omit<CpuOptions, "bus">> & { bus?: Partial<Bus> } = {},
): { cpu: Cpu; memory: WebAssembly.Memory } {
  const memory = createMemory(ram);
  const cpu = new Cpu({
    memory,
    ram: [{ address: 0, size: ram, offset: RAM_BASE }],
    model: parseModel("max"),
    bus: { readPhysical: () => 0, writePhysical: () => {}, readPort: () => 0, writePort: () => {}, ...bus },
    apic: {
      acknowledge: () => -1,
      pending: () => false,
      taskPriority: 0,
      readMsr: () => undefined,
      writeMsr: () => false,
    },
    time: { ticks: () => 0n, frequency: 1e9 },
    ...options,
  });
  return { cpu, memory };
}
