import { type ExecFileOptions, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { reachable, run } from "../../../nbd/test/peers.js";
import { built, executable } from "../executables.js";
import { have } from "../img/side-by-side.js";

describe.skipIf(!built || !have("qemu-nbd", "nbdinfo", "nbdcopy"))("softmetal-nbd as a program", () => {
  const folder = mkdtempSync(join(tmpdir(), "softmetal-nbd-process-"));
  const path = (name: string) => join(folder, name);
  const program = path("qemu-nbd");
  const bytes = new Uint8Array(1 << 20).map((_, index) => index >> 10);
  beforeAll(() => {
    symlinkSync(executable("softmetal-nbd"), program);
    writeFileSync(path("a.raw"), bytes);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const here: ExecFileOptions = { cwd: folder };

  const gone = async (pid: number): Promise<void> => {
    for (let attempt = 0; attempt < 400; attempt++) {
      try {
        process.kill(pid, 0);
      } catch {
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    throw new Error(`process ${pid} is still there`);
  };

  it("--fork returns when it serves; --pid-file says who serves", async () => {
    const socket = path("fork.sock");
    const uri = `nbd+unix:///?socket=${socket}`;
    const args = ["--fork", "-t", "--pid-file", path("pid"), "-k", socket, "-r", "-f", "raw", "a.raw"];
    // The server keeps standard error, as qemu-nbd's does: a pipe would not end.
    const { stdout } = await run("sh", ["-c", '"$0" "$@" 2>errors', program, ...args], here);
    expect([stdout, readFileSync(path("errors"), "utf8")]).toEqual(["", ""]);
    const pid = Number(readFileSync(path("pid"), "utf8"));
    try {
      // No waiting: it serves.
      expect((await run("nbdinfo", ["--size", uri])).stdout).toBe(`${bytes.length}\n`);
    } finally {
      process.kill(pid, "SIGTERM");
    }
    await gone(pid);
    expect(existsSync(socket)).toBe(false);
  });

  it.each([
    [["nosuch"]],
    [["--pid-file", "/nosuch/pid", "-f", "raw", "a.raw"]],
    [["-o", "9999999", "-f", "raw", "a.raw"]],
  ])("--fork %j fails like qemu-nbd's", async (args) => {
    const words = ["--fork", "-k", path("failed.sock"), ...args];
    const outcome = (name: string) =>
      run(name, words, here).catch(({ code, stdout, stderr }) => ({ code, stdout, stderr }));
    expect(await outcome(program)).toEqual(await outcome("qemu-nbd"));
  });

  it("serves on a socket that its starter has opened", async () => {
    // libnbd's programs start a server in brackets by systemd's protocol.
    const served = ["--", "[", program, "-r", "-f", "raw", "a.raw", "]"];
    expect((await run("nbdinfo", ["--size", ...served], here)).stdout).toBe(`${bytes.length}\n`);
    await run("nbdcopy", [...served, path("copy.raw")], here);
    expect(Buffer.compare(readFileSync(path("copy.raw")), bytes)).toBe(0);
  });

  it.each([[["-k", "/tmp/x"]], [["-p", "1"]], [["-b", "127.0.0.1"]], [["-L"]], [["-c", "/dev/nbd0"]]])(
    "then refuses %j like qemu-nbd",
    async (args) => {
      const words = args.includes("-L") ? args : [...args, "a.raw"];
      // The number of the process is only known to a shell that becomes it.
      const outcome = (name: string) =>
        run("sh", ["-c", 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" "$@" 3</dev/null', name, ...words], here).catch(
          ({ code, stdout, stderr }) => ({ code, stdout, stderr }),
        );
      expect(await outcome(program)).toEqual(await outcome("qemu-nbd"));
    },
  );

  it("ends with its last client, and at a signal while one is connected", async () => {
    for (const persistent of [false, true]) {
      const socket = path(`end-${persistent}.sock`);
      const args = [...(persistent ? ["-t"] : []), "-k", socket, "-r", "-f", "raw", "a.raw"];
      const child = spawn(program, args, { cwd: folder, stdio: "inherit" });
      const exited = new Promise((resolve) => child.once("exit", (code) => resolve(code)));
      await reachable(`nbd+unix:///?socket=${socket}`);
      if (persistent) child.kill("SIGINT");
      expect(await exited).toBe(0);
      expect(existsSync(socket)).toBe(false);
    }
  });
});
