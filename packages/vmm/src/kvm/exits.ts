import { type Exit, InternalError, SystemEvent, type Vcpu } from "@softmetal/kvm-binding";
import type { MachineEnd } from "../api.js";

/** Whether KVM met an instruction that it cannot execute. */
export const isBeyondKvm = (exit: Exit): boolean =>
  exit.reason === "internal-error" && exit.detail.suberror === InternalError.EMULATION;

/** Says why a vCPU cannot go on: `shutdown`, `poweroff` and `reset`, else a message. */
export function describeExit(exit: Exit, vcpu: Vcpu): string {
  switch (exit.reason) {
    case "shutdown":
      return "shutdown";
    case "system-event":
      if (exit.detail.type === SystemEvent.SHUTDOWN) return "poweroff";
      if (exit.detail.type === SystemEvent.RESET) return "reset";
      return `KVM reported the system event ${exit.detail.type}`;
    case "internal-error": {
      const at = location(vcpu);
      if (isBeyondKvm(exit)) {
        return `KVM could not execute the instruction at ${at}; --accel translator may`;
      }
      return `KVM failed internally (suberror ${exit.detail.suberror}) at ${at}`;
    }
    case "fail-entry":
      return `the processor refused the guest's state at ${location(vcpu)}`;
    default:
      return `KVM left the guest for "${exit.reason}" at ${location(vcpu)}, which this engine did not ask for`;
  }
}

function location(vcpu: Vcpu): string {
  const { rip } = vcpu.getRegs();
  const { cs } = vcpu.getSregs();
  return `${cs.selector.toString(16)}:${rip.toString(16)}`;
}

/** What the machine does about a text of `describeExit`. */
export function consequence(text: string): MachineEnd | "reset" | "triple-fault" {
  if (text === "shutdown") return "triple-fault";
  if (text === "reset") return "reset";
  if (text === "poweroff") return { reason: "poweroff" };
  return { reason: "internal-error", message: text };
}
