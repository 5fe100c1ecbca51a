import { spawnSync } from "node:child_process";
import { randomFillSync } from "node:crypto";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { built, executable } from "../executables.js";
import { have, type Outcome } from "./side-by-side.js";

const MiB = 1 << 20;
/** Blocks of 1 KiB that a file may have. */
const LIMIT = 2048;

describe.skipIf(!built || !have("qemu-img", "bash"))("files that may not grow any further (ulimit -f)", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "softmetal-limit-"));
    symlinkSync(executable("softmetal-img"), join(folder, "qemu-img"));
    writeFileSync(join(folder, "source.raw"), randomFillSync(new Uint8Array(8 * MiB)));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  function limited(program: string, args: string): Outcome {
    for (const name of ["target", "small.raw"]) rmSync(join(folder, name), { force: true });
    writeFileSync(join(folder, "small.raw"), new Uint8Array(MiB));
    const script = `ulimit -f ${LIMIT}; exec ${program} ${args}`;
    const { status, stdout, stderr } = spawnSync("bash", ["-c", script], { cwd: folder, encoding: "utf8" });
    return { status: status ?? -1, stdout, stderr };
  }

  it.each([
    "convert -O qcow2 source.raw target",
    "convert -c -O qcow2 source.raw target",
    "convert -O raw source.raw target",
    "create -q -f raw target 1G",
    "create -q -f raw -o preallocation=full target 8M",
    "dd if=source.raw of=target bs=1M",
    "resize -f raw small.raw 8M",
  ])("%s", (args) => {
    const ours = limited(`"${process.execPath}" ./qemu-img`, args);
    expect(ours).toEqual(limited("qemu-img", args));
    expect(ours.stderr).toMatch(/^qemu-img: .*\n$/);
  });
});
