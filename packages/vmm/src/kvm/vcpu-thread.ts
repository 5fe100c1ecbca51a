import { Vcpu } from "@softmetal/kvm-binding";
import { describeExit, isBeyondKvm } from "./exits.js";
import type { HelperJob } from "./host.js";
import { ASK, Command, isRunning, Mailbox } from "./mailbox.js";

/** The thread of a further vCPU: runs it, and reaches the devices on the boot processor's thread; never returns. */
export function runVcpu(job: Extract<HelperJob, { kind: "vcpu" }>): never {
  const vcpu = Vcpu.attach(job.vcpu);
  const bootVcpu = Vcpu.attach(job.bootVcpu);
  const command = new Command(job.buffer);
  const mailbox = new Mailbox(job.buffer, job.index);
  const ring = () => bootVcpu.kick();

  /** Waits while the machine stands still, or, after a fatal exit, until the command after `since`. */
  const park = (since = -1) => {
    for (;;) {
      const { generation } = command;
      if (isRunning(generation) && generation !== since) {
        mailbox.parked = false;
        // The machine reads `parked` after it changes the command, this thread the other way round.
        if (command.generation === generation) return;
      }
      mailbox.parked = true;
      command.wait(generation);
    }
  };

  park();
  for (;;) {
    const exit = vcpu.run();
    switch (exit.reason) {
      case "io":
        mailbox.exchange(exit.direction === "out" ? ASK.portOut : ASK.portIn, exit.port, exit.size, exit.data, ring);
        break;
      case "mmio":
        mailbox.exchange(exit.isWrite ? ASK.mmioWrite : ASK.mmioRead, exit.physAddr, 1, exit.data, ring);
        break;
      case "ioapic-eoi":
        mailbox.endOfInterrupt(exit.detail.vector, ring);
        break;
      case "intr":
        // Accesses are complete now: a good moment to stand still.
        if (!isRunning(command.generation)) park();
        break;
      default: {
        if (isBeyondKvm(exit) && mailbox.emulate(ring)) break;
        const { generation } = command;
        mailbox.tell(describeExit(exit, vcpu), ring);
        park(generation);
      }
    }
  }
}
