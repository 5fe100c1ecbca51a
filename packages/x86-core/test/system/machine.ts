import { Cpu, createMemory, loadInterpreter, parseModel, RAM_BASE, S } from "../../src/index.js";

const RAM = 4 << 20;
/** Where `run` puts code. */
export const CODE = 0x8000;

/** A CPU with a little RAM, and the means to run pieces of code on it. */
export function makeCpu(model = "max") {
  const ports: [port: number, size: number, value: number][] = [];
  const apic = {
    waiting: [] as number[],
    taskPriority: 0,
    acknowledge: () => apic.waiting.shift() ?? -1,
    pending: () => apic.waiting.length > 0,
    readMsr: (index: number) => (index === 0x1b ? 0xfee00900n : undefined),
    writeMsr: (index: number) => index === 0x6e0,
  };
  const cpu = new Cpu({
    memory: createMemory(RAM),
    ram: [{ address: 0, size: RAM, offset: RAM_BASE }],
    model: parseModel(model),
    bus: {
      readPhysical: () => 0xffffffff,
      writePhysical: () => undefined,
      readPort: (port) => port,
      writePort: (port, size, value) => ports.push([port, size, value]),
    },
    apic,
    time: { ticks: () => 1_000_000n, frequency: 2_000_000_000 },
    interpreter: loadInterpreter(),
  });
  const ram = cpu.physical.u8.subarray(RAM_BASE, RAM_BASE + RAM);
  return { cpu, ram, apic, ports, view: new DataView(ram.buffer, ram.byteOffset, RAM) };
}
export type Machine = ReturnType<typeof makeCpu>;

export const gpr = (machine: Machine, index: number): bigint => machine.cpu.state.get64(S.gpr + index * 8);
export const setGpr = (machine: Machine, index: number, value: bigint): void =>
  machine.cpu.state.set64(S.gpr + index * 8, value);

/** Code and data segments of 4 GiB at any privilege, in the GDT and loaded: protected mode without paging. */
export function enterProtected(machine: Machine, cpl = 0): void {
  const { cpu, view } = machine;
  const { state } = cpu;
  const descriptors = [0n, 0x00cf9b000000ffffn, 0x00cf93000000ffffn, 0x00cffb000000ffffn, 0x00cff3000000ffffn];
  descriptors.forEach((descriptor, index) => {
    view.setBigUint64(0x1000 + index * 8, descriptor, true);
  });
  state.set64(S.gdtBase, 0x1000n);
  state.set32(S.gdtLimit, 0xfff);
  state.set64(S.idtBase, 0x2000n);
  state.set32(S.idtLimit, 0x7ff);
  state.set32(S.cr0, 0x11);
  state.setSegment(1, cpl ? 0x1b : 8, 0n, 0xffffffff, cpl ? 0xc0fb00 : 0xc09b00);
  for (const segment of [0, 2, 3, 4, 5]) {
    state.setSegment(segment, cpl ? 0x23 : 0x10, 0n, 0xffffffff, cpl ? 0xc0f300 : 0xc09300);
  }
  // A 32-bit TSS at 3000 with a stack for level 0.
  view.setUint32(0x3004, 0x7000, true);
  view.setUint16(0x3008, 0x10, true);
  state.setSegment(7, 0x30, 0x3000n, 0x67, 0x8b00);
  state.set64(S.gpr + 4 * 8, 0x6000n);
  cpu.stateChanged();
}

/** 64-bit mode at CPL 0 with the first 1 GiB mapped to itself. */
export function enterLong(machine: Machine): void {
  const { cpu, view } = machine;
  const { state } = cpu;
  enterProtected(machine);
  view.setBigUint64(0x10000, 0x11007n, true);
  view.setBigUint64(0x11000, 0x87n, true);
  state.set64(S.cr3, 0x10000n);
  state.set64(S.cr4, 0x620n);
  state.set64(S.efer, 0xd01n);
  state.set64(S.cr0, 0x80010011n);
  state.setSegment(1, 8, 0n, 0xffffffff, 0xa09b00);
  cpu.stateChanged();
}

/** Gates of the 32-bit interrupt table: vector v goes to 9000 + 16 v, where HLT stands. */
export function catchAll(machine: Machine): void {
  const { view, ram } = machine;
  for (let vector = 0; vector < 256; vector++) {
    const target = 0x9000 + vector * 16;
    ram[target] = 0xf4;
    view.setUint32(0x2000 + vector * 8, 0x00080000 | target, true);
    view.setUint32(0x2004 + vector * 8, 0x0000ee00, true);
  }
}
/** The vector whose handler the CPU has halted in, or -1. */
export function caught(machine: Machine): number {
  const rip = Number(machine.cpu.state.get64(S.rip)) - 1;
  return rip >= 0x9000 && rip < 0xa000 ? (rip - 0x9000) / 16 : -1;
}

/** Puts code at `CODE`, behind it HLT, and runs from there until the CPU halts. */
export function run(machine: Machine, code: readonly number[]): string {
  const { cpu, ram } = machine;
  ram.set([...code, 0xf4], CODE);
  cpu.memoryWritten(CODE, code.length + 1);
  cpu.state.set32(S.activity, 0);
  cpu.state.set64(S.rip, BigInt(CODE));
  cpu.stateChanged();
  return cpu.run(100_000);
}
