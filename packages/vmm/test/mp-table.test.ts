import { initParameters } from "@softmetal/guest";
import { describe, expect, it } from "vitest";
import { available, debian, LIMIT, runHere } from "./debian.js";

const DONE = "that was all";

/** Seven billion instructions, most of them delays by loops. */
const wanted = process.env.SOFTMETAL_MP_TABLE_BOOT === "1";
if (!wanted) console.warn("*** SKIPPED: booting Debian's kernel without ACPI: set SOFTMETAL_MP_TABLE_BOOT=1");

// Only the 32-bit kernel: Debian's cloud kernel is built without CONFIG_X86_MPPARSE.
describe.skipIf(!available || !wanted)("Debian's 32-bit kernel without ACPI", () => {
  it(
    "finds its interrupts by the MP tables",
    async () => {
      // The shell joins the two pieces, so that the command line itself does not end the run.
      const run = initParameters({ run: `cat /proc/interrupts; echo that 'was all'` });
      const boot = await debian("i386", `acpi=off ${run}`);
      // A clock that counts instructions: the kernel compares its timers, which does not do on a busy host.
      const { text } = runHere({ boot, cpu: "pentium3", time: "instructions", until: DONE });
      expect(text).toContain("found SMP MP-table at [mem 0x000f0000-0x000f000f]");
      expect(text).toContain("Intel MultiProcessor Specification v1.4");
      expect(text).toContain("MPTABLE: OEM ID: SOFTMETL");
      expect(text).toContain("IOAPIC[0]: apic_id 0, version 32, address 0xfec00000, GSI 0-23");
      expect(text).toMatch(/\.\.TIMER: vector=0x[0-9a-f]+ apic1=0 pin1=2 /);
      expect(text).not.toMatch(/MPTABLE error|BIOS bug|MP-BIOS bug|verification failure|not connected to IO-APIC/);
      // It runs by them: timer, keyboard controller and serial port, and the local APIC's timer.
      expect(text).toMatch(/^ *0: +[1-9]\d* +IO-APIC +2-edge +timer\r?$/m);
      expect(text).toMatch(/^ *1: +[1-9]\d* +IO-APIC +1-edge +i8042\r?$/m);
      expect(text).toMatch(/^ *4: +\d+ +IO-APIC +4-edge +ttyS0\r?$/m);
      expect(text).toMatch(/^LOC: +[1-9]\d* /m);
      expect(text).toMatch(/^ERR: +0\r?$/m);
      expect(text).toContain(DONE);
    },
    LIMIT + 60_000,
  );
});
