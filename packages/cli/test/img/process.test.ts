import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { built, executable } from "../executables.js";

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const TIMEOUT = 50_000;

describe.skipIf(!built)("the executables", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "softmetal-executables-"));
    symlinkSync(executable("softmetal"), join(folder, "softmetal"));
    for (const name of ["img", "io", "nbd"]) symlinkSync(executable(`softmetal-${name}`), join(folder, `qemu-${name}`));
    run("qemu-img", "create", "-q", "-f", "qcow2", "a.qcow2", "64M");
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const run = (name: string, ...args: string[]) =>
    spawnSync(process.execPath, [join(folder, name), ...args], { cwd: folder, encoding: "utf8", timeout: TIMEOUT });

  it("call themselves what they were called", () => {
    expect(run("qemu-img", "info", "nosuch").stderr).toBe(
      "qemu-img: Could not open 'nosuch': Could not open 'nosuch': No such file or directory\n",
    );
    expect(run("softmetal", "img", "info", "nosuch").stderr).toMatch(/^softmetal img: Could not open 'nosuch'/);
    expect(run("qemu-io", "nosuch").stderr).toMatch(/^qemu-io: can't open device nosuch/);
    expect(run("qemu-nbd").stderr).toMatch(/^qemu-nbd: Invalid number of arguments/);
    expect(run("qemu-img", "--version").stdout).toMatch(/^qemu-img version \d+\.\d+\.\d+ /);
    expect(run("qemu-img", "--help").stdout).toContain("\n  convert [");
  });

  it("read commands from standard input", () => {
    const { stdout, status } = spawnSync(process.execPath, [join(folder, "qemu-io"), "a.qcow2"], {
      cwd: folder,
      encoding: "utf8",
      input: "length\nread -q -P 0 0 1k\nquit\nlength\n",
      timeout: TIMEOUT,
    });
    expect({ status, stdout }).toEqual({ status: 0, stdout: "qemu-io> 64 MiB\nqemu-io> qemu-io> " });
  });

  it("end without a word when nobody reads their output", async () => {
    const child = spawn(process.execPath, [join(folder, "qemu-img"), "info", "a.qcow2"], {
      cwd: folder,
      stdio: ["ignore", "pipe", "pipe"],
    });
    child.stdout.destroy();
    let stderr = "";
    child.stderr.on("data", (data) => {
      stderr += data;
    });
    await new Promise((resolve) => child.once("exit", resolve));
    expect(stderr).toBe("");
  });

  it("run the README's example", () => {
    const example = here("../../examples/images.sh");
    expect(readFileSync(here("../../README.md"), "utf8")).toContain(readFileSync(example, "utf8"));
    const env = { ...process.env, PATH: `${folder}:${process.env.PATH}`, TMPDIR: folder };
    const result = spawnSync("sh", [example], { encoding: "utf8", timeout: TIMEOUT, env });
    expect(result.stderr).toBe("");
    const [compared, ...map] = result.stdout.split("\n");
    expect(compared).toBe("Images are identical.");
    expect(JSON.parse(map.join("\n")).map(({ start, zero }: Record<string, unknown>) => [start, zero])).toEqual([
      [0, true],
      [1 << 20, false],
      [5 << 20, true],
    ]);
  });
});
