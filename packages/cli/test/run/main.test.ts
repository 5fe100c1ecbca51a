import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MachineConfig } from "@softmetal/vmm";
import { afterAll, beforeAll, beforeEach, expect, it, vi } from "vitest";
import { describeFailure } from "../../src/command/failure.js";
import { main } from "../../src/run/main.js";
import { parseRun, readBootSource } from "../../src/run/options.js";
import { FakeMachine } from "./fake-machine.js";

const created: { config: MachineConfig; machine: FakeMachine }[] = [];
let guest: (machine: FakeMachine) => void = () => {};
vi.mock("@softmetal/vmm", () => ({
  createMachine: async (config: MachineConfig) => {
    const machine = new FakeMachine(guest);
    created.push({ config, machine });
    return machine;
  },
}));

let directory: string;
const file = (name: string, contents: string | Uint8Array = "contents") => {
  writeFileSync(join(directory, name), contents);
  return join(directory, name);
};
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "softmetal-run-test-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));
beforeEach(() => {
  created.length = 0;
});

/** Runs the command with its output caught. */
async function run(...argv: string[]) {
  let stdout = "";
  let stderr = "";
  const take = (write: (text: string) => void) =>
    ((chunk: string | Uint8Array, done?: unknown) => {
      write(typeof chunk === "string" ? chunk : new TextDecoder().decode(chunk));
      if (typeof done === "function") done();
      return true;
    }) as typeof process.stdout.write;
  const out = vi.spyOn(process.stdout, "write").mockImplementation(
    take((text) => {
      stdout += text;
    }),
  );
  const error = vi.spyOn(process.stderr, "write").mockImplementation(
    take((text) => {
      stderr += text;
    }),
  );
  const destroy = vi.spyOn(process.stdin, "destroy").mockImplementation(() => process.stdin);
  try {
    return { status: await main(argv), stdout, stderr };
  } finally {
    for (const spy of [out, error, destroy]) spy.mockRestore();
  }
}

async function failure(...argv: string[]) {
  try {
    await run(...argv);
  } catch (error) {
    return describeFailure(error);
  }
  throw new Error("it did not fail");
}

it("gives the machine what the options say", async () => {
  guest = (machine) => {
    machine.print("output of the guest\r\n");
    machine.emit("debugConsole", new TextEncoder().encode("from port e9"));
    machine.finish({ reason: "debug-exit", code: 7 });
  };
  const kernel = file("kernel", "the kernel");
  const initrd = file("initrd", "the initrd");
  const result = await run(
    ...["--kernel", kernel, "--initrd", initrd, "--append", "console=ttyS0 x", "--memory", "1.5G", "--cpu", "max"],
    ...["--no-reboot", "--debug-console", "--isa-debug-exit", "--accel", "translator", "--statistics"],
  );
  expect(result.status).toBe(7);
  expect(result.stdout).toBe("output of the guest\r\n");
  expect(result.stderr).toContain("from port e9");
  expect(result.stderr).toMatch(/2000000 instructions, 200\.0 million a second/);
  const [{ config, machine }] = created;
  expect(config).toMatchObject({
    memory: 1.5 * 2 ** 30,
    cpu: "max",
    accel: "translator",
    noReboot: true,
    devices: { debugConsole: true, isaDebugExit: {} },
    boot: { kind: "linux", commandLine: "console=ttyS0 x" },
  });
  const { boot } = config;
  if (boot.kind !== "linux") throw new Error("unexpected kind");
  expect(new TextDecoder().decode(boot.kernel)).toBe("the kernel");
  expect(new TextDecoder().decode(boot.initrd)).toBe("the initrd");
  expect(machine.calls).toContain("destroy");
});

it("hands options for KVM on", async () => {
  guest = (machine) => machine.finish({ reason: "poweroff" });
  await run("--flat", file("image", "x"), "--accel", "kvm", "--irqchip", "split", "--cpus", "2");
  expect(created[0].config).toMatchObject({ accel: "kvm", kvm: { irqchip: "split" }, cpus: 2 });
});

it("says how an unexpected end came", async () => {
  guest = (machine) => machine.finish({ reason: "triple-fault" });
  const { status, stderr } = await run("--kernel", file("kernel"));
  expect(status).toBe(6);
  expect(stderr).toBe("softmetal run: the guest's CPU shut down after a triple fault\n");
});

it("takes raw images and Multiboot kernels", async () => {
  const flat = parseRun([
    "--flat",
    file("boot.bin"),
    "--load-address",
    "0x100000",
    "--entry",
    "1048580",
    "--mode",
    "long",
  ]);
  expect(await readBootSource(flat)).toMatchObject({
    kind: "flat",
    loadAddress: 0x100000,
    entry: 0x100004,
    mode: "long",
  });
  expect(await readBootSource(parseRun(["--flat", file("boot.bin")]))).toMatchObject({
    loadAddress: 0x7c00,
    mode: "real",
  });
  const module = `${file("module")} first module`;
  const multiboot = parseRun(["--kernel", file("kernel"), "--multiboot", "--module", module, "--append", "k"]);
  expect(await readBootSource(multiboot)).toMatchObject({
    kind: "multiboot",
    commandLine: "k",
    modules: [{ commandLine: "first module" }],
  });
});

it.each<[string, string[], number, RegExp]>([
  ["an unknown option", ["--memry", "5M"], 2, /no option --memry; did you mean --memory/],
  ["an argument too many", ["kernel"], 2, /kernel is not an option/],
  ["a missing value", ["--memory"], 2, /--memory needs a value/],
  ["a value too many", ["--no-reboot=yes"], 2, /--no-reboot takes no value/],
  ["an option twice", ["-m", "32M", "-m", "64M"], 2, /--memory was given twice/],
  ["a strange size", ["--memory", "lots"], 2, /not a size/],
  ["too little memory", ["--memory", "15M"], 2, /at least 16M/],
  ["too much memory", ["--memory", "4G"], 2, /at most 3.5G/],
  ["half a page", ["--memory", "16385.5K"], 2, /4K pages/],
  ["an unknown accelerator", ["--accel", "hvf"], 2, /choose translator, kvm, auto/],
  ["interrupt controllers without KVM", ["--accel", "translator", "--irqchip", "split"], 2, /is for KVM/],
  ["strange interrupt controllers", ["--irqchip", "pic"], 2, /choose kernel, split/],
  ["an unknown architecture", ["--arch", "arm64"], 2, /choose amd64, i386/],
  ["a strange number", ["--cpus", "two"], 2, /not a number/],
  ["a port out of range", ["--isa-debug-exit-port", "0x10000"], 2, /from 0 to 0xffff/],
  ["an initrd alone", ["--initrd", "/x"], 2, /needs a Linux kernel/],
  ["an address without an image", ["--load-address", "0"], 2, /needs --flat/],
  ["a kernel and an image", ["--kernel", "/x", "--flat", "/x"], 2, /cannot be combined/],
  ["a command in another guest", ["--kernel", "/x", "--command", "ls"], 2, /default guest only/],
  ["a missing kernel", ["--kernel", "/nonexistent/kernel"], 1, /no such file/],
  ["a directory for a kernel", ["--kernel", "/"], 1, /it is a directory/],
])("answers %s with one clear line", async (_, argv, exitStatus, message) => {
  const result = await failure(...argv);
  expect(result.message).toMatch(message);
  expect(result.message).not.toContain("\n");
  expect(result.exitStatus).toBe(exitStatus);
  expect(created).toEqual([]);
});

it("refuses a file that cannot fit into the machine", async () => {
  const large = file("large", new Uint8Array(17 * 2 ** 20));
  expect((await failure("--kernel", large, "--memory", "16M")).message).toMatch(/more than fit/);
});

it("has help that names every option", async () => {
  const { stdout, status } = await run("--help");
  expect(status).toBe(0);
  for (const option of ["--kernel", "--memory", "--no-reboot", "Ctrl-A X", "Exit status"])
    expect(stdout).toContain(option);
});
