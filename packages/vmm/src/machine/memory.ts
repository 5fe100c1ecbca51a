import { createMemory } from "@softmetal/x86-core";
import { MachineError } from "../api.js";

/**
 * Memory of `createMemory` for so many bytes of RAM.
 * @throws MachineError `out-of-memory`
 */
export function allocateMemory(bytes: number): WebAssembly.Memory {
  try {
    return createMemory(bytes);
  } catch (cause) {
    throw outOfMemory(bytes, cause);
  }
}

/** The error for RAM that the host does not give. */
export function outOfMemory(bytes: number, cause: unknown): MachineError {
  const message = `The host gave no ${Math.round(bytes / 1048576)} MiB for the guest's memory: choose less.`;
  return new MachineError("out-of-memory", message, { cause });
}
