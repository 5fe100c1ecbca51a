import type { Accelerator, BootSource, MachineConfig } from "@softmetal/vmm";
import { CliError } from "../command/failure.js";
import { type OptionTable, type OptionValues, parseOptions } from "../command/options.js";
import { parseChoice, parseInteger, parseSize, readInput } from "../command/values.js";

export const runOptions = {
  kernel: { argument: "FILE", help: "Linux kernel (bzImage or PVH ELF) or Multiboot kernel" },
  initrd: { argument: "FILE", help: "initial RAM disk" },
  append: { argument: "TEXT", help: "kernel command line" },
  module: { argument: "FILE[ TEXT]", multiple: true, help: "module for a Multiboot kernel, with its command line" },
  multiboot: { help: "load the kernel by Multiboot 1" },
  flat: { argument: "FILE", help: "raw image instead of a kernel" },
  "load-address": { argument: "ADDRESS", help: "where a raw image goes (default 0x7c00)" },
  entry: { argument: "ADDRESS", help: "where it is entered (default: its start)" },
  mode: { argument: "MODE", help: "CPU mode at the entry: real (default), protected or long" },
  arch: { argument: "ARCH", help: "architecture of the default guest: amd64 (default) or i386" },
  command: { short: "c", argument: "TEXT", help: "run a command in the default guest, then power off" },
  memory: { short: "m", argument: "SIZE", help: "RAM, 16M to 3.5G (default 512M)" },
  cpu: { argument: "MODEL", help: "CPU model, with features: x86-64-v2 (default), max,-avx2 …" },
  cpus: { argument: "N", help: "number of processors (default 1)" },
  accel: { argument: "NAME", help: "translator, kvm or auto (default)" },
  irqchip: { argument: "PLACE", help: "interrupt controllers under KVM: kernel (default), or split with this program" },
  time: { argument: "CLOCK", help: "host (default), or instructions, which makes a run repeatable" },
  "no-reboot": { help: "end when the guest reboots" },
  "debug-console": { help: "print what the guest writes to port 0xE9 on standard error" },
  "isa-debug-exit": { help: "end with status (v << 1) | 1 when the guest writes v to port 0xF4" },
  "isa-debug-exit-port": { argument: "PORT", help: "the same at another port" },
  verbose: { short: "v", help: "say which accelerator runs the guest, and why" },
  statistics: { help: "print instruction count and speed at the end" },
} as const satisfies OptionTable;

export type RunValues = OptionValues<typeof runOptions> & { help?: boolean };

const MIN_MEMORY = 16 * 2 ** 20;
const MAX_MEMORY = 3.5 * 2 ** 30;
const DEFAULT_MEMORY = 512 * 2 ** 20;

/** What `run` was asked to do, before any file is opened. */
export interface RunRequest {
  values: RunValues;
  config: Omit<MachineConfig, "boot">;
  /** The default guest is to be booted. */
  defaultGuest: boolean;
}

/** @throws CliError with exit status 2 */
export function parseRun(argv: readonly string[]): RunRequest {
  const values = parseOptions("run", runOptions, argv);
  checkCombination(values);
  const memory = values.memory === undefined ? DEFAULT_MEMORY : parseSize("memory", values.memory);
  if (memory < MIN_MEMORY) throw new CliError(`--memory ${values.memory} is too little; give at least 16M.`, 2);
  if (memory > MAX_MEMORY) throw new CliError(`--memory ${values.memory} is too much; give at most 3.5G.`, 2);
  if (memory % 4096 !== 0) throw new CliError(`--memory ${values.memory} is not a whole number of 4K pages.`, 2);
  const port = values["isa-debug-exit-port"];
  const debugExit = values["isa-debug-exit"] || port !== undefined;
  const accel: Accelerator | undefined =
    values.accel === undefined ? undefined : parseChoice("accel", values.accel, ["translator", "kvm", "auto"]);
  const defaultGuest = values.kernel === undefined && values.flat === undefined;
  return {
    values,
    defaultGuest,
    config: {
      memory,
      accel,
      cpu: values.cpu,
      cpus: values.cpus === undefined ? undefined : parseInteger("cpus", values.cpus, 255),
      kvm:
        values.irqchip === undefined
          ? undefined
          : { irqchip: parseChoice("irqchip", values.irqchip, ["kernel", "split"]) },
      time: values.time === undefined ? undefined : parseChoice("time", values.time, ["host", "instructions"]),
      // A command's guest that restarts would run the command for ever.
      noReboot: values["no-reboot"] || values.command !== undefined,
      devices: {
        debugConsole: values["debug-console"],
        ...(debugExit
          ? { isaDebugExit: port === undefined ? {} : { port: parseInteger("isa-debug-exit-port", port, 0xffff) } }
          : {}),
      },
    },
  };
}

/** Options that would be ignored silently are refused. */
function checkCombination(values: RunValues): void {
  const need = (option: keyof RunValues, condition: boolean, other: string) => {
    if (values[option] !== undefined && !condition) throw new CliError(`--${option} ${other}.`, 2);
  };
  const kernel = values.kernel !== undefined;
  const flat = values.flat !== undefined;
  need("flat", !kernel, "cannot be combined with --kernel");
  need("initrd", kernel && !values.multiboot, "needs a Linux kernel given with --kernel");
  need("multiboot", kernel, "needs --kernel");
  need("module", kernel && values.multiboot === true, "needs --kernel and --multiboot");
  need("append", !flat, "cannot be combined with --flat");
  need("load-address", flat, "needs --flat");
  need("entry", flat, "needs --flat");
  need("mode", flat, "needs --flat");
  need("irqchip", values.accel !== "translator", "is for KVM, which --accel translator excludes");
  need("command", !kernel && !flat, "works with the default guest only, without --kernel and --flat");
  need("arch", !kernel && !flat, "works with the default guest only, without --kernel and --flat");
}

/** Reads the files named on the command line. Not for the default guest. @throws CliError */
export async function readBootSource({ values, config }: RunRequest): Promise<BootSource> {
  const limit = config.memory;
  if (values.flat !== undefined) {
    const loadAddress = parseInteger("load-address", values["load-address"] ?? "0x7c00");
    return {
      kind: "flat",
      image: await readInput("image", values.flat, limit),
      loadAddress,
      entry: values.entry === undefined ? undefined : parseInteger("entry", values.entry),
      mode: values.mode === undefined ? "real" : parseChoice("mode", values.mode, ["real", "protected", "long"]),
    };
  }
  const kernel = await readInput("kernel", values.kernel!, limit);
  if (values.multiboot) {
    const modules = [];
    for (const module of values.module ?? []) {
      const [path, ...words] = module.split(" ");
      modules.push({ data: await readInput("module", path, limit), commandLine: words.join(" ") });
    }
    return { kind: "multiboot", kernel, modules, commandLine: values.append };
  }
  const initrd = values.initrd === undefined ? undefined : await readInput("initrd", values.initrd, limit);
  return { kind: "linux", kernel, initrd, commandLine: values.append };
}
