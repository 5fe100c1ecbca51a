import { type CpuModel, ModelError, parseModel } from "@softmetal/x86-core";
import { MachineError } from "../api.js";

/**
 * The CPU model of a machine.
 * @throws MachineError `bad-cpu`
 */
export function readModel(name = "x86-64-v2"): CpuModel {
  try {
    return parseModel(name);
  } catch (error) {
    if (error instanceof ModelError) throw new MachineError("bad-cpu", error.message, { cause: error });
    throw error;
  }
}
