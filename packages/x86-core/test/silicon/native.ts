import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type CaseBuffer, RECORD_BYTES } from "./layout.js";

const SOURCE = fileURLToPath(new URL("./native.c", import.meta.url));

/** Why the comparison cannot run here, or undefined when it can. */
export function whyNot(): string | undefined {
  if (process.platform !== "linux" || process.arch !== "x64") return "needs an x86-64 Linux host";
  try {
    execFileSync("gcc", ["--version"], { stdio: "ignore" });
  } catch {
    return "needs gcc";
  }
  return undefined;
}

/** The program that runs cases on the host's processor. */
export class NativeHost {
  readonly #folder: string;
  readonly #child: ChildProcessWithoutNullStreams;
  #waiting: { bytes: Uint8Array; filled: number; resolve: () => void; reject: (error: Error) => void } | undefined;
  #complaint = "";

  constructor() {
    this.#folder = mkdtempSync(join(tmpdir(), "softmetal-silicon-"));
    const program = join(this.#folder, "native");
    execFileSync("gcc", ["-O1", "-Wall", "-o", program, SOURCE], { stdio: ["ignore", "ignore", "inherit"] });
    this.#child = spawn(program, [], { stdio: ["pipe", "pipe", "pipe"] });
    this.#child.stdout.on("data", (chunk: Buffer) => this.#receive(chunk));
    this.#child.stderr.on("data", (chunk: Buffer) => {
      this.#complaint += chunk.toString();
    });
    this.#child.on("close", (code, signal) => {
      this.#waiting?.reject(new Error(`the native program ended (${signal ?? code}): ${this.#complaint}`));
    });
    this.#child.stdin.on("error", () => {});
  }

  /** Runs all cases of a buffer; its records become results. */
  run(cases: CaseBuffer): Promise<void> {
    return new Promise((resolve, reject) => {
      const input = Buffer.alloc(4 + cases.count * RECORD_BYTES);
      input.writeUInt32LE(cases.count);
      input.set(cases.bytes, 4);
      this.#waiting = { bytes: cases.bytes, filled: 0, resolve, reject };
      this.#child.stdin.write(input);
    });
  }

  #receive(chunk: Buffer): void {
    const waiting = this.#waiting;
    if (!waiting) return;
    waiting.bytes.set(chunk, waiting.filled);
    waiting.filled += chunk.length;
    if (waiting.filled === waiting.bytes.length) {
      this.#waiting = undefined;
      waiting.resolve();
    }
  }

  close(): void {
    this.#child.stdin.end();
    this.#child.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
