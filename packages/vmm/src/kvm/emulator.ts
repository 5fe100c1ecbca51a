import type { MmioBus, Ports } from "@softmetal/chipset";
import type { Vcpu } from "@softmetal/kvm-binding";
import { Cpu, parseModel, RAM_BASE } from "@softmetal/x86-core";
import { writeMsrs } from "./snapshot.js";
import { hasUndelivered, msrsOf, readCpu, writeRegisters } from "./state.js";

/** The TSC is not written back, so that it does not matter what it is counted from. */
const CLOCK = 0n;
/** Instructions that may follow the first. */
const FOLLOWERS = 1000;

export interface EmulatorOptions {
  /** Memory of `createMemory` with the guest's RAM at `RAM_BASE`. */
  readonly memory: WebAssembly.Memory;
  /** Bytes of RAM. */
  readonly ram: number;
  readonly ports: Ports;
  readonly mmio: MmioBus;
}

/** Whether an instruction is one of MMX or SSE, by its opcode (SDM vol. 2, A.3). Its prefixes come first. */
function isVector(bytes: Uint8Array): boolean {
  let at = 0;
  while (bytes[at] === 0x66 || bytes[at] === 0xf2 || bytes[at] === 0xf3 || (bytes[at] & 0xf0) === 0x40) at++;
  if (bytes[at] !== 0x0f) return false;
  const opcode = bytes[at + 1];
  return (
    (opcode >= 0x10 && opcode <= 0x17) ||
    (opcode >= 0x28 && opcode <= 0x2f) ||
    opcode === 0x38 ||
    opcode === 0x3a ||
    (opcode >= 0x50 && opcode <= 0x7f) ||
    opcode === 0xc2 ||
    (opcode >= 0xc4 && opcode <= 0xc6) ||
    opcode >= 0xd0
  );
}

/**
 * Executes single instructions that KVM cannot (`KVM_INTERNAL_ERROR_EMULATION`): a CPU of the translator, over the same
 * RAM, takes over the vCPU's state for one instruction. KVM's own emulator knows only part of the instruction set, and
 * meets it wherever the processor cannot run the guest itself: instructions that access devices' memory, real mode on
 * old processors, and all supervisor code on hosts without hardware support. The interrupt controllers in the kernel
 * are out of its reach: to it, their registers read as ones.
 */
export class InstructionEmulator {
  readonly #cpu: Cpu;
  constructor({ memory, ram, ports, mmio }: EmulatorOptions) {
    this.#cpu = new Cpu({
      memory,
      ram: [{ address: 0, size: ram, offset: RAM_BASE }],
      model: parseModel("max"),
      bus: {
        readPort: (port, size) => ports.readPort(port, size),
        writePort: (port, size, value) => ports.writePort(port, size, value),
        readPhysical: (address, size) => mmio.read(address, size as 1 | 2 | 4),
        writePhysical: (address, size, value) => mmio.write(address, size as 1 | 2 | 4, value),
      },
      // Interrupts are delivered by KVM.
      apic: {
        acknowledge: () => -1,
        pending: () => false,
        taskPriority: 0,
        readMsr: () => undefined,
        writeMsr: () => false,
      },
      time: { ticks: () => CLOCK, frequency: 1e9 },
    });
  }

  /**
   * Executes the next instruction of a vCPU that stands still, and those on vectors behind it: where KVM does not know
   * one, it seldom knows the others, and to exchange the state takes longer than a hundred of them. `unable`: KVM was
   * delivering an event, which the state cannot express; nothing has happened then.
   */
  step(vcpu: Vcpu): "done" | "shutdown" | "unable" {
    if (hasUndelivered(vcpu)) return "unable";
    const cpu = this.#cpu;
    readCpu(vcpu, cpu.state, CLOCK);
    const before = msrsOf(cpu.state);
    cpu.stateChanged();
    let reason = cpu.step();
    for (let more = 0; more < FOLLOWERS && reason === "budget"; more++) reason = cpu.step(isVector);
    if (reason === "shutdown") return "shutdown";
    writeRegisters(vcpu, cpu.state);
    const changed = msrsOf(cpu.state).filter(([, value], index) => value !== before[index][1]);
    if (changed.length > 0) writeMsrs(vcpu, changed);
    return "done";
  }
}
