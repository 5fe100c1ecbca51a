import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { built, executable } from "../executables.js";
import { collect, ended } from "./collect.js";
import { echoGuest } from "./echo-guest.js";

const program = executable("softmetal");
const TIMEOUT = 50_000;
const hasScript = spawnSync("script", ["--version"]).error === undefined;

let directory: string;
let image: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "softmetal-process-"));
  image = join(directory, "echo.bin");
  writeFileSync(image, echoGuest);
  symlinkSync(program, join(directory, "softmetal"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe.skipIf(!built)("the program", () => {
  const softmetal = (...args: string[]) =>
    spawnSync(process.execPath, [program, ...args], { encoding: "utf8", timeout: TIMEOUT });

  it.each<[string[], number, RegExp]>([
    [[], 2, /^Usage: softmetal COMMAND/],
    [["rum"], 2, /^softmetal: there is no command rum; did you mean run\?\n$/],
    [["run", "--kernel", "/nonexistent"], 1, /^softmetal run: The kernel \/nonexistent cannot be read: [^\n]+\.\n$/],
    [["run", "--memroy"], 2, /^softmetal run: There is no option --memroy; did you mean --memory\?[^\n]+\n$/],
  ])("answers %j with status %i", (args, status, message) => {
    const result = softmetal(...args);
    expect(result.stderr).toMatch(message);
    expect(result.status).toBe(status);
    expect(result.stdout).toBe("");
  });

  it("has help and a version", () => {
    expect(softmetal("--version").stdout).toMatch(/^softmetal \d+\.\d+\.\d+\n$/);
    expect(softmetal("help").stdout).toBe(softmetal("--help").stdout);
    expect(softmetal("help", "run").stdout).toMatch(/^Usage: softmetal run/);
  });

  it("gets one clear line about a kernel that is none", () => {
    for (const [contents, message] of [
      ["", /empty/],
      ["x".repeat(5000), /neither a bzImage nor/],
      ["\x1f\x8b\x08", /compressed with gzip/],
    ] as const) {
      const kernel = join(directory, "kernel");
      writeFileSync(kernel, contents, "latin1");
      const result = softmetal("run", "--kernel", kernel);
      expect(result.stderr).toMatch(message);
      expect(result.stderr.trim()).not.toContain("\n");
      expect(result.status).toBe(1);
    }
    expect(softmetal("run", "--flat", image, "--cpu", "pentium9").status).toBe(2);
  });

  it("runs the README's example", () => {
    const example = fileURLToPath(new URL("../../examples/boot-sector.sh", import.meta.url));
    const env = { ...process.env, PATH: `${directory}:${process.env.PATH}` };
    const result = spawnSync("sh", [example], { encoding: "utf8", timeout: TIMEOUT, env });
    expect(result.stderr).toBe("");
    expect(result.stdout).toBe("Hi\nexit status 33\n");
    const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
    expect(readme).toContain(readFileSync(example, "utf8").split("\n").slice(1).join("\n").trim());
  });

  it("passes piped input to the guest and ends by a signal", async () => {
    const child = spawn(process.execPath, [program, "run", "--flat", image, "--memory", "16M"]);
    const text = collect(child.stdout, TIMEOUT);
    await text.until("R");
    child.stdin.write("a\x01x");
    await text.until("Ra\x01x");
    child.kill("SIGTERM");
    expect(await ended(child)).toBe(143);
  });

  describe.skipIf(!hasScript)("on a terminal", () => {
    /** Runs the program on a pseudo-terminal between two looks at the terminal's modes. */
    function onTerminal() {
      const run = `sh -c 'echo $$ >pid; exec "$@"' - '${process.execPath}' '${program}' run --flat '${image}' --memory 16M`;
      const line = `stty -a >before; ${run}; echo "status=$?"; stty -a >after`;
      const child = spawn("script", ["-qfec", line, "/dev/null"], { cwd: directory });
      const read = (name: string) => readFileSync(join(directory, name), "utf8");
      return { child, text: collect(child.stdout, TIMEOUT), read };
    }

    it("gives every key to the guest, helps, quits and restores the terminal", async () => {
      const { child, text, read } = onTerminal();
      await text.until("R");
      child.stdin.write("q");
      await text.until("Rq");
      // Ctrl-C and Ctrl-D are the guest's too; nothing is echoed by the terminal besides.
      child.stdin.write("\x03\x04\x01a!");
      await text.until("Rq\x03\x04\x01!");
      child.stdin.write("\x01h");
      await text.until("Ctrl-A X    quit");
      child.stdin.write("\x01x");
      await text.until("status=10");
      await ended(child);
      expect(read("after")).toBe(read("before"));
    });

    it("restores the terminal when a signal ends it", async () => {
      const { child, text, read } = onTerminal();
      await text.until("R");
      process.kill(Number(read("pid")), "SIGHUP");
      await text.until("status=129");
      await ended(child);
      expect(read("after")).toBe(read("before"));
    });
  });
});
