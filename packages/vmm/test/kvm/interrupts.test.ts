import type { MachineConfig } from "@softmetal/vmm";
import { describe, expect, it } from "vitest";
import { missingTools } from "./image.js";
import { configure, describeKvm, runToEnd } from "./support.js";

/** What `ipi` says, however many processors there are and whoever executes it. */
const SAID = [
  "00000000 00000001 00000002 00000002 00000001 ",
  "00000002 00004000 00000000 00000001 ",
  "00000005 00000001 ",
  "",
].join("\n");

async function check(more: Partial<MachineConfig>) {
  const { end, output } = await runToEnd(configure("ipi", "protected", more));
  expect(output).toBe(SAID);
  expect(end).toEqual({ reason: "debug-exit", code: 1 });
}

describe.skipIf(missingTools.length > 0)("messages and level-triggered interrupts", () => {
  it("in the translator", { timeout: 60_000 }, () => check({ accel: "translator" }));
});

describeKvm("messages and level-triggered interrupts", () => {
  for (const irqchip of ["kernel", "split"] as const) {
    for (const cpus of [1, 2, 4]) {
      it(`in KVM with ${cpus} processors and irqchip ${irqchip}`, { timeout: 60_000 }, () =>
        check({ accel: "kvm", kvm: { irqchip }, cpus }),
      );
    }
  }
});
