import { readFile } from "node:fs/promises";
import { commandStatus, initParameters } from "@softmetal/guest";
import type { BootSource, Machine, MachineStatistics } from "@softmetal/vmm";
import { describeFailure } from "../command/failure.js";
import { optionHelp } from "../command/options.js";
import { parseChoice } from "../command/values.js";
import { obtainWithProgress } from "../guest/obtain.js";
import { keyHelp } from "./escape.js";
import { exitStatusHelp, exitStatusOf } from "./exit-status.js";
import { HostConsole } from "./host-console.js";
import { parseRun, type RunRequest, readBootSource, runOptions } from "./options.js";
import { runSession } from "./session.js";

const usage = `Usage: softmetal run [options]

Runs a machine with its serial console on this terminal. Without --kernel and --flat it boots the default guest, which
softmetal guest obtains.

Options:
${optionHelp(runOptions)}
Keys, on a terminal:${keyHelp}
${exitStatusHelp}`;

/** `softmetal run`. Gives the exit status. @throws CliError, MachineError, GuestError */
export async function main(argv: readonly string[]): Promise<number> {
  const request = parseRun(argv);
  if (request.values.help) {
    process.stdout.write(usage);
    return 0;
  }
  const boot = request.defaultGuest ? await defaultGuest(request) : await readBootSource(request);
  const { createMachine } = await import("@softmetal/vmm");
  const machine = await createMachine({ ...request.config, boot });
  if (request.values.verbose) {
    process.stderr.write(`softmetal run: accelerator ${machine.accel}: ${machine.accelReason}\n`);
  }
  if (request.config.devices?.debugConsole) {
    machine.on("debugConsole", (bytes) => {
      process.stderr.write(bytes);
    });
  }
  return runOnConsole(machine, request);
}

async function runOnConsole(machine: Machine, { values }: RunRequest): Promise<number> {
  const host = new HostConsole();
  const started = performance.now();
  // Read before the session destroys the machine.
  const statistics = machine.ended.then(() => machine.statistics()).catch(() => undefined);
  const onCrash = (error: unknown) => {
    host.restore();
    const { message, exitStatus } = describeFailure(error);
    process.stderr.write(`softmetal run: ${message}\n`);
    process.exit(exitStatus);
  };
  process.once("uncaughtException", onCrash);
  try {
    const { end, tail } = await runSession(machine, host);
    host.restore();
    const { status, message } = exitStatusOf(end);
    if (message !== undefined) process.stderr.write(`softmetal run: ${message}\n`);
    if (values.statistics) {
      const seconds = (performance.now() - started) / 1000;
      const counters = await statistics;
      if (counters) {
        process.stderr.write(`${seconds.toFixed(2)} s, ${describeWork(counters)}\n`);
      }
    }
    return status === 0 && values.command !== undefined ? commandStatus(tail) : status;
  } finally {
    host.restore();
    process.off("uncaughtException", onCrash);
  }
}

/** KVM cannot count instructions. */
function describeWork({ instructions, busyMilliseconds }: MachineStatistics): string {
  if (instructions === 0) return `${(busyMilliseconds / 1000).toFixed(2)} s of processor time`;
  const rate = instructions / (busyMilliseconds || 1) / 1000;
  return `${instructions} instructions, ${rate.toFixed(1)} million a second while busy`;
}

/** The default guest's files and command line, obtained first if need be. */
async function defaultGuest({ values }: RunRequest): Promise<BootSource> {
  const architecture = parseChoice("arch", values.arch ?? "amd64", ["amd64", "i386"]);
  const guest = await obtainWithProgress({ architecture });
  const { rows, columns } = process.stdout;
  const words = [
    guest.commandLine,
    // For a command only its output matters, and a panic must end the run.
    values.command === undefined ? initParameters({ rows, columns }) : "quiet panic=-1",
    values.command === undefined ? "" : initParameters({ run: values.command }),
    values.append ?? "",
  ];
  return {
    kind: "linux",
    kernel: await readFile(guest.kernel),
    initrd: await readFile(guest.initrd),
    commandLine: words.filter((word) => word !== "").join(" "),
  };
}
