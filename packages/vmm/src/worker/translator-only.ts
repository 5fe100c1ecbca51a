import { MachineError } from "../api.js";
import { TranslatorMachine } from "../machine/translator.js";
import type { MakeEngine } from "./serve.js";

const REASON = "KVM needs Linux and Node";

/** The engines of an environment without KVM. */
export const makeTranslator: MakeEngine = (config, events) => {
  if (config.accel === "kvm") throw new MachineError("accelerator-unavailable", `${REASON}: choose the translator.`);
  if ((config.cpus ?? 1) !== 1) {
    throw new MachineError("accelerator-unavailable", `Several processors need KVM, and ${REASON}.`);
  }
  const reason = config.accel === "translator" ? "chosen by the configuration" : REASON;
  return { engine: new TranslatorMachine(config, events), accel: "translator", reason };
};
