import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from "node:child_process";
import { closeSync, ftruncateSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from "node:fs";
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
  /** The cases of one batch, which the program has mapped into its memory. */
  readonly #file: number;
  #waiting: { resolve: () => void; reject: (error: Error) => void } | undefined;
  #complaint = "";

  /** `capacity` cases at most in one batch. */
  constructor(capacity: number) {
    this.#folder = mkdtempSync(join(tmpdir(), "softmetal-silicon-"));
    const program = join(this.#folder, "native");
    execFileSync("gcc", ["-O1", "-Wall", "-o", program, SOURCE], { stdio: ["ignore", "ignore", "inherit"] });
    const path = join(this.#folder, "cases");
    this.#file = openSync(path, "w+");
    ftruncateSync(this.#file, capacity * RECORD_BYTES);
    this.#child = spawn(program, [path], { stdio: ["pipe", "pipe", "pipe"] });
    this.#child.stdout.on("data", () => {
      this.#waiting?.resolve();
      this.#waiting = undefined;
    });
    this.#child.stderr.on("data", (chunk: Buffer) => {
      this.#complaint += chunk.toString();
    });
    this.#child.on("close", (code, signal) => {
      this.#waiting?.reject(new Error(`the native program ended (${signal ?? code}): ${this.#complaint}`));
    });
    this.#child.stdin.on("error", () => {});
  }

  /**
   * Starts all cases of a buffer. Resolves once the program has begun, to a function that waits for its end and puts the
   * results into a buffer.
   */
  async start(cases: CaseBuffer): Promise<(results: CaseBuffer) => Promise<void>> {
    writeSync(this.#file, cases.bytes, 0, cases.bytes.length, 0);
    const done = new Promise<void>((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
    const count = Buffer.alloc(4);
    count.writeUInt32LE(cases.count);
    await new Promise<void>((resolve) => {
      this.#child.stdin.write(count, () => resolve());
    });
    return async (results) => {
      await done;
      readSync(this.#file, results.bytes, 0, results.bytes.length, 0);
    };
  }

  close(): void {
    this.#child.stdin.end();
    this.#child.kill();
    closeSync(this.#file);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
