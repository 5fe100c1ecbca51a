import { type MachineConfig, MachineError } from "../api.js";
import { kvmAvailability } from "../kvm/availability.js";
import { KvmMachine } from "../kvm/machine.js";
import { TranslatorMachine } from "../machine/translator.js";
import type { MakeEngine } from "../worker/serve.js";
import { ThreadHost } from "./kvm-host.js";

/** Which engine executes a machine, and why. */
interface Choice {
  accel: "translator" | "kvm";
  reason: string;
  /** KVM has no hardware support. */
  interpreted: boolean;
}

/** The engines of Node: the translator everywhere, KVM where Linux has it. @param handled see `ThreadHost` */
export function makeEngineWith(handled: () => number): MakeEngine {
  return (config, events) => {
    const { accel, reason, interpreted } = choose(config);
    if (accel === "translator") return { engine: new TranslatorMachine(config, events), accel, reason };
    const host = new ThreadHost(handled);
    const engine = new KvmMachine({ config, events, host, interpreted });
    return { engine, accel, reason, doorbell: { vcpu: engine.vcpus[0].handle, posted: host.posted } };
  };
}

/** @throws MachineError `accelerator-unavailable` */
function choose(config: MachineConfig): Choice {
  const { accel = "auto", cpus = 1, time = "host" } = config;
  if (accel === "translator") return { accel, reason: "chosen by the configuration", interpreted: false };
  if (time === "instructions") {
    return { accel: "translator", reason: "only the translator counts instructions", interpreted: false };
  }
  const kvm = kvmAvailability();
  if (accel === "kvm") {
    if (!kvm.usable) throw new MachineError("accelerator-unavailable", `KVM cannot be used: ${kvm.reason}.`);
    return { accel, reason: "chosen by the configuration", interpreted: !kvm.fast };
  }
  if (cpus !== 1) {
    if (!kvm.usable) {
      throw new MachineError("accelerator-unavailable", `Several processors need KVM, but ${kvm.reason}.`);
    }
    return { accel: "kvm", reason: "only KVM runs several processors", interpreted: !kvm.fast };
  }
  const fast = kvm.usable && kvm.fast;
  return { accel: fast ? "kvm" : "translator", reason: kvm.reason, interpreted: false };
}
