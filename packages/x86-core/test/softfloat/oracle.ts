import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** One instruction to evaluate; operands are the low bytes of a 16-byte field. */
export interface Request {
  op: number;
  /** MXCSR or the x87 control word. */
  control: number;
  a: bigint;
  b: bigint;
}

/** What the processor did. */
export interface Response {
  r: bigint;
  r2: bigint;
  /** MXCSR or the x87 status word. */
  status: number;
  /** Bit 0: an unmasked SSE exception trapped. Bits 1 and up: EFLAGS. */
  extra: number;
}

const RECORD = 40;
const LOW64 = 0xffffffffffffffffn;

/** The compiled program of oracle.c. */
export class Oracle {
  private constructor(
    private readonly directory: string,
    private readonly program: string,
  ) {}

  /** Compiles the program; a string tells why the processor cannot be asked here. */
  static build(): Oracle | string {
    if (process.arch !== "x64" || process.platform !== "linux") {
      return `needs Linux on x86-64, this is ${process.platform} on ${process.arch}`;
    }
    const directory = mkdtempSync(join(tmpdir(), "softfloat-oracle-"));
    const program = join(directory, "oracle");
    const source = fileURLToPath(new URL("./oracle.c", import.meta.url));
    try {
      execFileSync("gcc", ["-O1", "-mno-red-zone", "-o", program, source], { stdio: "pipe" });
    } catch (error) {
      rmSync(directory, { recursive: true });
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return "gcc is not installed";
      throw error;
    }
    return new Oracle(directory, program);
  }

  run(requests: Request[]): Response[] {
    const input = Buffer.alloc(requests.length * RECORD);
    const view = new DataView(input.buffer, input.byteOffset);
    requests.forEach((q, i) => {
      const at = i * RECORD;
      view.setUint16(at, q.op, true);
      view.setUint32(at + 4, q.control, true);
      view.setBigUint64(at + 8, q.a & LOW64, true);
      view.setBigUint64(at + 16, q.a >> 64n, true);
      view.setBigUint64(at + 24, q.b & LOW64, true);
      view.setBigUint64(at + 32, q.b >> 64n, true);
    });
    const done = spawnSync(this.program, { input, maxBuffer: input.length + 1024, timeout: 60_000 });
    if (done.status !== 0 || done.stdout.length !== input.length) {
      throw new Error(`oracle failed: status ${done.status}, signal ${done.signal}, ${done.stdout?.length} bytes`);
    }
    const out = new DataView(done.stdout.buffer, done.stdout.byteOffset);
    return requests.map((_, i) => {
      const at = i * RECORD;
      return {
        r: out.getBigUint64(at, true) | (out.getBigUint64(at + 8, true) << 64n),
        r2: out.getBigUint64(at + 16, true) | (out.getBigUint64(at + 24, true) << 64n),
        status: out.getUint32(at + 32, true),
        extra: out.getUint32(at + 36, true),
      };
    });
  }

  dispose(): void {
    rmSync(this.directory, { recursive: true });
  }
}
