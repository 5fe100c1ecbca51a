import { readFileSync } from "node:fs";
import type { MachineConfig } from "@softmetal/vmm";
import { expect, test } from "vitest";
import { buildImage } from "../../../x86-core/test/bare-metal/image.js";
import { PROGRAMS } from "../../../x86-core/test/bare-metal/programs.js";
import { configure, describeKvm, interpreted, type Mode, runToEnd } from "./support.js";

/** Small programs, and what every engine makes of them. */
const programs: { name: string; mode: Mode; output: string; hardware?: string }[] = [
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
    hardware: "paging outside of 64-bit mode",
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

describeKvm("the engines agree", () => {
  for (const { name, mode, output, hardware } of programs) {
    test(name, { timeout: 60_000 }, async (context) => {
      const ours = await runToEnd(configure(name, mode, { accel: "translator" }));
      expect(ours).toEqual({ end: { reason: "debug-exit", code: 1 }, output });
      if (hardware && interpreted) {
        console.warn(`*** SKIPPED under KVM: ${name}: needs ${hardware}, which this host's KVM does not have`);
        context.skip();
      }
      const theirs = await runToEnd(configure(name, mode, { accel: "kvm" }));
      expect(theirs).toEqual(ours);
      const split = await runToEnd(configure(name, mode, { accel: "kvm", kvm: { irqchip: "split" } }));
      expect(split).toEqual(ours);
    });
  }

  // The programs of x86-core tell wrong processors from right ones. A KVM without hardware support is a wrong one, but for
  // real mode: it executes all user code as 64-bit code, and has no paging outside of 64-bit mode.
  const runsUnderKvm = ({ name }: { name: string }) => !interpreted || name === "real";
  const skipped = PROGRAMS.filter((program) => !runsUnderKvm(program)).map(({ name }) => name);
  if (skipped.length > 0) {
    console.warn(`*** SKIPPED under KVM: x86-core's ${skipped.join(", ")}: they need a KVM with hardware support`);
  }
  for (const program of PROGRAMS) {
    test.skipIf(!runsUnderKvm(program))(`x86-core's ${program.name}`, { timeout: 120_000 }, async () => {
      const kernel = readFileSync(buildImage(program));
      const config: MachineConfig = {
        ...configure("spin", "real", { cpu: program.model }),
        boot: { kind: "multiboot", kernel },
        memory: 64 << 20,
      };
      const ours = await runToEnd({ ...config, accel: "translator" });
      expect(ours.end).toEqual({ reason: "debug-exit", code: 1 });
      expect(await runToEnd({ ...config, accel: "kvm" })).toEqual(ours);
    });
  }
});
