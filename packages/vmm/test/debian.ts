import { readFileSync } from "node:fs";
import { type GuestArchitecture, obtainGuest } from "@softmetal/guest/node";
import type { BootSource, MachineConfig, MachineEnd } from "../src/api.js";
import { TranslatorMachine } from "../src/machine/translator.js";

/** Milliseconds that a boot may take. */
export const LIMIT = 300_000;

/** Whether Debian's kernels can be had: that needs Debian's archive, through apt. */
export const available = await obtainGuest({ architecture: "amd64" }).then(
  () => true,
  (error: Error) => {
    console.warn(`SKIPPED: Debian's kernels cannot be had here: ${error.message}`);
    return false;
  },
);

/** The architecture's default guest, with words for the kernel's command line. */
export async function debian(architecture: GuestArchitecture, words: string): Promise<BootSource> {
  const guest = await obtainGuest({ architecture });
  return {
    kind: "linux",
    kernel: readFileSync(guest.kernel),
    initrd: readFileSync(guest.initrd),
    commandLine: `console=ttyS0 panic=-1 ${words}`,
  };
}

interface Run extends Pick<MachineConfig, "boot" | "cpu" | "time"> {
  /** Enough to have said this. */
  until?: string;
}

/** Runs a machine in the translator, on this thread, until it ends or has said enough; gives what it said. */
export function runHere({ until, ...config }: Run): { end: MachineEnd | undefined; text: string } {
  const machine = new TranslatorMachine(
    { memory: 256 * 2 ** 20, noReboot: true, ...config },
    { debugConsole() {}, serialConsumed() {}, reset() {} },
  );
  let text = "";
  const stop = performance.now() + LIMIT;
  while (!machine.end && performance.now() < stop && (until === undefined || !text.includes(until))) {
    machine.runSlice();
    const bytes = machine.serial[0].takeOutput();
    if (!bytes) continue;
    machine.serial[0].addCredit(bytes.length);
    text += new TextDecoder().decode(bytes);
  }
  return { end: machine.end, text };
}
