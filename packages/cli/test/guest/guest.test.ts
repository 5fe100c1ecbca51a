import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { describeFailure } from "../../src/command/failure.js";
import { main } from "../../src/guest/main.js";
import { ProgressLine } from "../../src/guest/progress.js";

let directory: string;
const { XDG_CACHE_HOME } = process.env;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "softmetal-guest-command-"));
  process.env.XDG_CACHE_HOME = directory;
});
afterAll(() => {
  if (XDG_CACHE_HOME === undefined) delete process.env.XDG_CACHE_HOME;
  else process.env.XDG_CACHE_HOME = XDG_CACHE_HOME;
  rmSync(directory, { recursive: true, force: true });
});

async function run(...argv: string[]) {
  let stdout = "";
  const out = vi.spyOn(process.stdout, "write").mockImplementation((chunk) => {
    stdout += chunk;
    return true;
  });
  const error = vi.spyOn(process.stderr, "write").mockImplementation(() => true);
  try {
    return { status: await main(argv), stdout };
  } finally {
    out.mockRestore();
    error.mockRestore();
  }
}

it("makes a guest of files and says where it is", async () => {
  const program = new Uint8Array(64);
  program.set([0x7f, 0x45, 0x4c, 0x46, 2, 1]);
  const kernel = join(directory, "bzImage");
  const busybox = join(directory, "busybox");
  writeFileSync(kernel, "kernel");
  writeFileSync(busybox, program);
  const { status, stdout } = await run("--kernel", kernel, "--busybox", busybox);
  expect(status).toBe(0);
  expect(stdout).toMatch(new RegExp(`^kernel: +${directory}/softmetal/guests/amd64-\\w+/kernel\n`));
  const json = JSON.parse((await run("--kernel", kernel, "--busybox", busybox, "--json")).stdout);
  expect(json).toMatchObject({ architecture: "amd64", commandLine: "console=ttyS0" });
});

it.each<[string[], number, RegExp]>([
  [["--kernel", "/x"], 2, /belong together/],
  [["--kernel", "/x", "--busybox", "/y", "--mirror", "http://127.0.0.1:1"], 2, /cannot be combined/],
  [["--suite", "stable"], 2, /needs --mirror/],
  [["--arch", "mips"], 2, /choose amd64, i386/],
  [["--kernel", "/nonexistent", "--busybox", "/nonexistent"], 1, /cannot be read/],
  [["--mirror", "debian"], 1, /not an http or https address/],
])("answers %j with one clear line", async (argv, exitStatus, message) => {
  const result = await run(...argv).then(
    () => undefined,
    (error) => describeFailure(error),
  );
  expect(result?.message).toMatch(message);
  expect(result?.message).not.toContain("\n");
  expect(result?.exitStatus).toBe(exitStatus);
});

it("shows progress as one line on a terminal and as steps elsewhere", () => {
  const steps = [
    { stage: "download", package: "linux", received: 0, total: 2e6 },
    { stage: "download", package: "linux", received: 1e6, total: 2e6 },
    { stage: "unpack", package: "linux" },
  ] as const;
  const show = (isTTY: boolean) => {
    let text = "";
    const progress = new ProgressLine({
      isTTY,
      write: (part) => {
        text += part;
      },
    });
    for (const step of steps) progress.show(step);
    progress.clear();
    return text;
  };
  expect(show(false)).toBe("downloading linux\nunpacking linux\n");
  expect(show(true)).toContain("\r\x1b[Kdownloading linux: 1.0 MB (50 %)");
  expect(show(true).endsWith("\r\x1b[K")).toBe(true);
});
