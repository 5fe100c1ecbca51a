import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MemoryFile } from "../src/index.js";

export const hasQemuImg =
  spawnSync("qemu-img", ["--version"]).status === 0 && spawnSync("qemu-io", ["--version"]).status === 0;
if (!hasQemuImg) console.warn("SKIPPED: qemu-img and qemu-io are not installed; interoperability is not tested");

export function qemuImg(...args: string[]): string {
  return execFileSync("qemu-img", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

/** Exit status and output of qemu-img, for commands that may fail. */
export function tryQemuImg(...args: string[]): { status: number; output: string; stdout: string } {
  const result = spawnSync("qemu-img", args, { encoding: "utf8" });
  return { status: result.status ?? -1, output: result.stdout + result.stderr, stdout: result.stdout };
}

export function qemuIo(args: string[], commands: string[]): string {
  return execFileSync("qemu-io", [...args, ...commands.flatMap((command) => ["-c", command])], { encoding: "utf8" });
}

export function temporaryFolder(): { path(name: string): string; remove(): void } {
  const folder = mkdtempSync(join(tmpdir(), "softmetal-qcow2-"));
  return { path: (name) => join(folder, name), remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** A file in memory, on storage with room for `limit` bytes. */
export class LimitedFile extends MemoryFile {
  constructor(
    private readonly limit: number,
    content?: Uint8Array,
  ) {
    super("limited", content);
  }

  override write(data: Uint8Array, offset: number): void {
    if (offset + data.length > this.limit) throw new Error("File too large");
    super.write(data, offset);
  }
}

/** A small generator of repeatable pseudo-random numbers (xorshift32). */
export function random(seed: number): (limit: number) => number {
  let state = seed | 1;
  return (limit) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
}

/** Bytes that compress well and differ from offset to offset. */
export function pattern(length: number, seed: number): Uint8Array {
  const data = new Uint8Array(length);
  const next = random(seed * 2654435761 + 12345);
  for (let at = 0; at < length; ) {
    const run = Math.min(length - at, 1 + next(200));
    data.fill(next(255) + 1, at, at + run);
    at += run;
  }
  return data;
}
