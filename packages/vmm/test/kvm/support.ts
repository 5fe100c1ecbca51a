import { createMachine, type Machine, type MachineConfig, type MachineEnd } from "@softmetal/vmm";
import { describe } from "vitest";
import { kvmAvailability } from "../../src/kvm/availability.js";
import { assemble, LOAD_ADDRESS, missingTools } from "./image.js";

export const kvm = kvmAvailability();
/** Guest supervisor code is interpreted by the kernel, which does not know all of it. */
export const interpreted = kvm.usable && !kvm.fast;

const reasons = [
  ...(kvm.usable ? [] : [kvm.reason]),
  ...(missingTools.length > 0 ? [`there is no ${missingTools.join(", ")}`] : []),
];
if (reasons.length > 0) console.warn(`\n*** SKIPPED: tests of the KVM engine: ${reasons.join("; ")}\n`);

/** As `describe`, skipped where KVM or the tools cannot be used. */
export const describeKvm = reasons.length === 0 ? describe : describe.skip;

export type Mode = "real" | "protected" | "long";

/** The configuration of a machine that runs one of the programs. */
export function configure(program: string, mode: Mode, more: Partial<MachineConfig> = {}): MachineConfig {
  const { cpus = 1 } = more;
  return {
    memory: 16 << 20,
    onTripleFault: "stop",
    boot: { kind: "flat", image: assemble(program, { CPUS: cpus }), loadAddress: LOAD_ADDRESS, mode },
    devices: { debugConsole: true, isaDebugExit: {} },
    ...more,
  };
}

/** Runs a machine to its end; gives that and what came out of port 0xE9. */
export async function runToEnd(config: MachineConfig): Promise<{ end: MachineEnd; output: string }> {
  const machine = await createMachine(config);
  const decoder = new TextDecoder("latin1");
  let output = "";
  machine.on("debugConsole", (bytes) => {
    output += decoder.decode(bytes);
  });
  await machine.start();
  return { end: await machine.ended, output };
}

/** A reader of a machine's first serial port that waits for texts. */
export class Console {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  text = "";
  constructor(machine: Machine) {
    this.#reader = machine.serial[0].readable.getReader();
    this.#writer = machine.serial[0].writable.getWriter();
  }
  async until(text: string): Promise<void> {
    while (!this.text.includes(text)) {
      const { done, value } = await this.#reader.read();
      if (done) throw new Error(`the port closed before "${text}" came, after "${this.text}"`);
      this.text += new TextDecoder("latin1").decode(value);
    }
    this.text = this.text.slice(this.text.indexOf(text) + text.length);
  }
  send(text: string): Promise<void> {
    return this.#writer.write(new TextEncoder().encode(text));
  }
}
