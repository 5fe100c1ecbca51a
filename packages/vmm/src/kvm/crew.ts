import type { Vcpu } from "@softmetal/kvm-binding";
import type { Platform } from "../machine/platform.js";
import { accessMmio, accessPorts } from "./accesses.js";
import type { KvmHost } from "./host.js";
import { ASK, Command, isRunning, Mailbox } from "./mailbox.js";

/** Milliseconds between looks at vCPUs that are asked to stand still. */
const LOOK = 1;
/** Milliseconds after which a vCPU that does not stand still is taken for dead. */
const PATIENCE = 10_000;

export interface CrewOptions {
  readonly host: KvmHost;
  readonly platform: Platform;
  /** The machine's own vCPU, which others kick when they need a device. */
  readonly bootVcpu: Vcpu;
  /** The others. */
  readonly vcpus: readonly Vcpu[];
  /** A vCPU cannot go on; see `describeExit`. */
  onExit(text: string): void;
  /** Executes the next instruction of a vCPU that KVM cannot; false: it cannot go on. */
  emulate(vcpu: Vcpu): boolean;
  /** The local APIC of a vCPU has ended a level-triggered interrupt. */
  endOfInterrupt(vector: number): void;
  onFailure(error: Error): void;
}

/** The vCPUs besides the boot processor, each on a thread of its own; accesses to devices are carried out here. */
export class Crew {
  readonly #options: CrewOptions;
  readonly #command: Command;
  readonly #mailboxes: Mailbox[];

  constructor(options: CrewOptions) {
    this.#options = options;
    const { vcpus, bootVcpu, host } = options;
    const buffer = Mailbox.allocate(vcpus.length);
    this.#command = new Command(buffer);
    this.#mailboxes = vcpus.map((_, index) => new Mailbox(buffer, index));
    vcpus.forEach((vcpu, index) => {
      const job = { kind: "vcpu", vcpu: vcpu.handle, bootVcpu: bootVcpu.handle, index, buffer } as const;
      host.startHelper(job, options.onFailure);
    });
  }

  /** Lets the vCPUs run. */
  run(): void {
    if (!isRunning(this.#command.generation)) this.#command.next();
  }

  /** Returns when every vCPU stands still with its accesses complete, so that its state can be read and set. */
  park(): void {
    this.#stop((mailbox) => {
      if (!mailbox.parked) this.serve();
      return mailbox.parked;
    });
  }

  /** Does something while no vCPU is in the guest. Those that wait for a device keep waiting. */
  alone<T>(action: () => T): T {
    if (this.#mailboxes.length === 0) return action();
    const running = isRunning(this.#command.generation);
    this.#stop((mailbox) => mailbox.parked || mailbox.asked);
    const result = action();
    if (running) this.run();
    return result;
  }

  /** Returns when all stand as they should. */
  #stop(stands: (mailbox: Mailbox) => boolean): void {
    if (isRunning(this.#command.generation)) this.#command.next();
    const end = performance.now() + PATIENCE;
    const pause = new Int32Array(new SharedArrayBuffer(4));
    for (const vcpu of this.#options.vcpus) vcpu.kick();
    while (!this.#mailboxes.every(stands)) {
      if (performance.now() > end) throw new Error("a vCPU's thread does not answer");
      Atomics.wait(pause, 0, 0, LOOK);
    }
  }

  /** Carries out what vCPUs ask for. */
  serve(): void {
    const { vcpus, platform } = this.#options;
    const { ports, mmio } = platform;
    for (const [index, mailbox] of this.#mailboxes.entries()) {
      if (!mailbox.asked) continue;
      const { ask, address, size, bytes } = mailbox;
      if (ask === ASK.exit) this.#options.onExit(mailbox.text);
      else if (ask === ASK.endOfInterrupt) this.#options.endOfInterrupt(address);
      else if (ask === ASK.emulate) bytes[0] = Number(this.#options.emulate(vcpus[index]));
      else if (ask === ASK.portIn || ask === ASK.portOut) {
        accessPorts(ports, ask === ASK.portOut, address, size, bytes);
      } else accessMmio(mmio, ask === ASK.mmioWrite, address, bytes);
      mailbox.answer();
    }
  }
}
