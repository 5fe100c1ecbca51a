import type { LocalApicState } from "@softmetal/chipset";
import { bad } from "./container.js";
import { array, integer, number, object, type Plain } from "./fields.js";
import type { SavedProcessor } from "./processor.js";

/** A processor with its local APIC, and what only KVM keeps. */
export interface SavedCpu extends SavedProcessor {
  readonly apic: LocalApicState;
  /** MSRs that only KVM has, its clock's among them: index and value as hexadecimal text. */
  readonly kvmMsrs?: { readonly [index: string]: string };
}

/** Everything of a machine but its RAM, as plain data. */
export interface SavedHardware {
  /** Guest time in nanoseconds; times in devices' states are on this clock. */
  readonly clock: number;
  /** Frequency of the time-stamp counters. */
  readonly tscHz: number;
  /** Nanoseconds of KVM's clock. */
  readonly kvmClock?: string;
  /** The boot processor first. */
  readonly cpus: readonly SavedCpu[];
  /** States of `chipset`'s devices. */
  readonly devices: Plain;
}

/** Nanoseconds; 31 years. */
const LATEST = 1e18;
const [SLOWEST_TSC, FASTEST_TSC] = [1e6, 1e11];

/**
 * Checks the outermost layer of saved hardware; what is inside is checked by whoever takes it.
 * @throws MachineError `bad-saved-state`
 */
export function readHardware(given: unknown, cpus: number): SavedHardware {
  const saved = object(given, "hardware");
  number(saved.clock, "clock", 0, LATEST);
  integer(saved.tscHz, "tscHz", SLOWEST_TSC, FASTEST_TSC);
  for (const [index, cpu] of array(saved.cpus, "cpus", cpus).entries()) {
    const { activity } = object(cpu, `cpus[${index}]`);
    if (index === 0 && activity === "waiting-for-startup")
      throw bad("The saved machine's boot processor does not run.");
  }
  object(saved.devices, "devices");
  return saved as unknown as SavedHardware;
}
