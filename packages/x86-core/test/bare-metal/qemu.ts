import { spawnSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";

/** The version that divergences.ts describes: that of Debian 12. */
export const ORACLE_VERSION = "7.2.";

/** Version of the installed QEMU, if any. */
export function qemuVersion(): string | undefined {
  const result = spawnSync("qemu-system-x86_64", ["--version"], { encoding: "utf8" });
  return /version (\S+)/.exec(result.stdout ?? "")?.[1];
}

/** Runs a Multiboot image in QEMU's translator; what it wrote to port 0xE9. */
export function runInQemu(image: string, cpu: string, seconds = 30): string {
  const log = `${image}.qemu`;
  rmSync(log, { force: true });
  const machine = ["-machine", "pc", "-accel", "tcg", "-cpu", cpu, "-m", "64", "-no-reboot", "-display", "none"];
  const devices = ["-serial", "none", "-monitor", "none", "-nodefaults", "-debugcon", `file:${log}`];
  const exit = ["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"];
  const result = spawnSync("qemu-system-x86_64", [...machine, ...devices, ...exit, "-kernel", image], {
    timeout: seconds * 1000,
    killSignal: "SIGKILL",
    encoding: "utf8",
  });
  if (result.status === null) throw new Error(`QEMU did not end: ${result.error?.message} ${result.stderr}`);
  return readFileSync(log, "latin1");
}
