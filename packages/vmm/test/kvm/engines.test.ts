import { readFileSync } from "node:fs";
import type { MachineConfig } from "@softmetal/vmm";
import { expect, test } from "vitest";
import { buildImage } from "../../../x86-core/test/bare-metal/image.js";
import { PROGRAMS } from "../../../x86-core/test/bare-metal/programs.js";
import { compare, type Outcome } from "./compare.js";
import { listedFor } from "./divergences.js";
import { configure, describeKvm, interpreted, type Mode, runToEnd } from "./support.js";

/** Small programs, and what every engine makes of them. */
const programs: { name: string; mode: Mode; output: string }[] = [
  {
    name: "real",
    mode: "real",
    output: "real mode\nff ffff ffffffff ffffffff \n55 80 5a \nwaiting for timer and clock\nd1 edcb \n",
  },
  {
    name: "protected",
    mode: "protected",
    output: "protected mode\nffffffff 00170000 00010031 \n000000d1 000000d2 \n00000031 00000032 00000032 \n",
  },
  {
    name: "paging",
    mode: "protected",
    output: "paging\n00000000 00000002 00200abc 00000055 \n",
  },
  {
    name: "long",
    mode: "long",
    output: [
      ...["456789abcdef0123", "45189229558d3b28", "fedcba9876543210", "0000000000000500", "0000000700001000"],
      ...["0f1e2d3c4b5a6978", "0000000000000055", "ffffffffffffffff", ""],
    ].join("\n"),
  },
  { name: "user", mode: "long", output: "fekjfclb3" },
  {
    name: "beyond",
    mode: "long",
    output: [
      ...["0000000000000040", "0000000000000003", "0000000000000004", "0000000000000003", "0000000100000002"],
      ...["0000000000000001", "0f1e2d3b4b5a6977", "00000000000008d7", "0000000000006f00", ""],
    ].join("\n"),
  },
];

/** Every line of a program must be equal under both engines, but for what divergences.ts lists for this host. */
function expectAgreement(program: string, ours: Outcome, theirs: Outcome): void {
  const { divergences, early } = listedFor(program, interpreted);
  if (early) {
    const lines = ours.output.split("\n").length - 1 - early.lines;
    console.warn(`*** NOT COMPARED under KVM: ${program}, ${lines} lines: ${early.id} in DIVERGENCES.md`);
  }
  const { unexplained, unseen } = compare(ours, theirs, divergences, early);
  expect(unexplained).toEqual([]);
  // Those that are gone are to be taken from the list.
  if (interpreted) expect(unseen).toEqual([]);
}

describeKvm("the engines agree", () => {
  for (const { name, mode, output } of programs) {
    test(name, { timeout: 60_000 }, async () => {
      const ours = await runToEnd(configure(name, mode, { accel: "translator" }));
      expect(ours).toEqual({ end: { reason: "debug-exit", code: 1 }, output });
      for (const irqchip of ["kernel", "split"] as const) {
        expectAgreement(name, ours, await runToEnd(configure(name, mode, { accel: "kvm", kvm: { irqchip } })));
      }
    });
  }

  for (const program of PROGRAMS) {
    test(`x86-core's ${program.name}`, { timeout: 300_000 }, async () => {
      const kernel = readFileSync(buildImage(program));
      const config: MachineConfig = {
        ...configure("spin", "real", { cpu: program.model }),
        boot: { kind: "multiboot", kernel },
        memory: 64 << 20,
      };
      const ours = await runToEnd({ ...config, accel: "translator" });
      expect(ours.end).toEqual({ reason: "debug-exit", code: 1 });
      expectAgreement(`x86-core/${program.name}`, ours, await runToEnd({ ...config, accel: "kvm" }));
    });
  }
});
