import { type MachineConfig, MachineError } from "../api.js";
import { LARGEST_RAM, SMALLEST_RAM } from "./memory-map.js";

const MIB = 1024 * 1024;
/** APIC IDs of 8 bits, of which the highest means everybody. */
const MOST_CPUS = 255;

/**
 * Checks what can be known without making the machine; gives the configuration back.
 * @throws MachineError `bad-config`
 */
export function checkConfig(config: MachineConfig): MachineConfig {
  const fail = (message: string): never => {
    throw new MachineError("bad-config", message);
  };
  const { memory, cpus = 1, devices = {} } = config;
  if (!Number.isInteger(memory) || memory < SMALLEST_RAM || memory > LARGEST_RAM || memory % 65536 !== 0) {
    fail(
      `The guest's memory must be ${SMALLEST_RAM / MIB} MiB to ${LARGEST_RAM / MIB} MiB, in steps of 64 KiB, not ${memory} bytes.`,
    );
  }
  if (!Number.isInteger(cpus) || cpus < 1 || cpus > MOST_CPUS) {
    fail(`A machine has 1 to ${MOST_CPUS} processors, not ${cpus}.`);
  }
  const irqchip = config.kvm?.irqchip ?? "kernel";
  if (irqchip !== "kernel" && irqchip !== "split") fail(`kvm.irqchip must be kernel or split, not ${irqchip}.`);
  const { accel = "auto", time = "host" } = config;
  if (accel === "translator" && cpus !== 1) fail(`The translator runs one processor, not ${cpus}; KVM runs several.`);
  if (time === "instructions") {
    if (accel === "kvm") fail("KVM does not count instructions: choose the host's clock or the translator.");
    if (cpus !== 1) fail("Only the translator counts instructions, and it runs one processor.");
  }
  const ports = devices.serialPorts ?? 1;
  if (!Number.isInteger(ports) || ports < 0 || ports > 4) fail(`A machine has 0 to 4 serial ports, not ${ports}.`);
  const exit = devices.isaDebugExit?.port;
  if (exit !== undefined && !(Number.isInteger(exit) && exit >= 0 && exit <= 0xfffc)) {
    fail(`The port of isa-debug-exit must be 0 to 0xfffc, not ${exit}.`);
  }
  if (config.state !== undefined) checkState(config.state);
  return config;
}

/** @throws MachineError `bad-config` */
export function checkState(state: unknown): void {
  if (!(state instanceof Uint8Array)) throw new MachineError("bad-config", "A saved machine is a Uint8Array.");
}
