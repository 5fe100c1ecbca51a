import { readFileSync } from "node:fs";
import { type GuestArchitecture, obtainGuest } from "@softmetal/guest/node";
import { describe, expect, it } from "vitest";
import { TranslatorMachine } from "../src/machine/translator.js";

const LIMIT = 300_000;

/** Boots the architecture's default guest, runs a command in it and gives what the serial port said. */
async function boot(architecture: GuestArchitecture, cpu: string, command: string) {
  const guest = await obtainGuest({ architecture });
  const machine = new TranslatorMachine(
    {
      memory: 256 * 2 ** 20,
      cpu,
      noReboot: true,
      boot: {
        kind: "linux",
        kernel: readFileSync(guest.kernel),
        initrd: readFileSync(guest.initrd),
        commandLine: `console=ttyS0 panic=-1 softmetal.run=${command}`,
      },
    },
    { debugConsole() {}, serialConsumed() {}, reset() {} },
  );
  let text = "";
  const stop = performance.now() + LIMIT;
  while (!machine.end && performance.now() < stop) {
    machine.runSlice();
    const bytes = machine.serial[0].takeOutput();
    if (!bytes) continue;
    machine.serial[0].addCredit(bytes.length);
    text += new TextDecoder().decode(bytes);
  }
  return { end: machine.end, text };
}

// Getting the kernels needs Debian's archive, through apt.
const available = await obtainGuest({ architecture: "amd64" }).then(
  () => true,
  (error: Error) => {
    console.warn(`SKIPPED: Debian's kernels cannot be had here: ${error.message}`);
    return false;
  },
);

describe.skipIf(!available)("Debian's kernels boot to their init and power off", () => {
  it.each<[GuestArchitecture, string, RegExp]>([
    ["amd64", "x86-64-v2", /x86_64/],
    ["amd64", "max", /x86_64/],
    ["i386", "pentium3", /i686/],
  ])(
    "%s on %s",
    async (architecture, cpu, machine) => {
      const { end, text } = await boot(architecture, cpu, "arch");
      expect(text).toContain("Run /init as init process");
      expect(text).toMatch(machine);
      expect(text).not.toMatch(/BUG:|WARNING:|Oops|general protection/);
      expect(end).toEqual({ reason: "poweroff" });
    },
    LIMIT + 60_000,
  );
});
