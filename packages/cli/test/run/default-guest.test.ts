import { spawn, spawnSync } from "node:child_process";
import { obtainGuest } from "@softmetal/guest/node";
import { beforeAll, describe, expect, it } from "vitest";
import { built, executable } from "../executables.js";
import { collect, ended } from "./collect.js";

const program = executable("softmetal");
/** A boot takes seconds; on a host that is busy with other tests it takes minutes. */
const TIMEOUT = 200_000;
const hasScript = spawnSync("script", ["--version"]).error === undefined;

describe.skipIf(!built)("the default guest", () => {
  /** Why there is none, which is a matter of the host, not of what is tested. */
  let missing: string | undefined;
  beforeAll(async () => {
    await obtainGuest().catch((error) => {
      missing = error.message;
      console.warn(`SKIPPED: the default guest could not be obtained: ${error.message}`);
    });
  }, 300_000);

  it("runs a command and ends with its status", async (context) => {
    if (missing) context.skip(missing);
    const command = 'echo "a  b" | wc -c; uname -s; exit 3';
    const child = spawn(process.execPath, [program, "run", "--command", command], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const text = collect(child.stdout, TIMEOUT);
    expect(await text.until("ended with status 3")).toMatch(/^5\r\nLinux\r\n/m);
    expect(await ended(child)).toBe(3);
  }, 300_000);

  it.skipIf(!hasScript)(
    "has a shell with job control, and poweroff works in it",
    async (context) => {
      if (missing) context.skip(missing);
      const line = `stty rows 33 cols 99; '${process.execPath}' '${program}' run --memory 128M`;
      const child = spawn("script", ["-qfec", line, "/dev/null"]);
      const text = collect(child.stdout, TIMEOUT);
      const type = (keys: string) => child.stdin.write(keys);
      await text.until("/ # ");
      type("stty size; ls /proc/self/cmdline /sys/kernel /dev/ttyS0 >/dev/null && echo mounted=$?\r");
      expect(await text.until("mounted=0")).toMatch(/33 99\r+\n/);
      // It says when the shell has left its line editing (which echoes the line), so that Ctrl-C is a signal.
      type("sh -c 'echo as\"\"leep; exec sleep 1000'\r");
      await text.until("asleep");
      type("\x03");
      type("echo interrupted=$?\r");
      await text.until("interrupted=130");
      type("poweroff\r");
      await text.until("Power down");
      expect(await ended(child)).toBe(0);
    },
    300_000,
  );
});
