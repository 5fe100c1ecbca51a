import { spawnSync } from "node:child_process";
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { main as img } from "../../src/img/main.js";
import { CapturedTerminal } from "../../src/img/support/terminal.js";
import { main as io } from "../../src/io/main.js";

/** What a command did. */
export interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Whether a peer is installed; says so when it is not, because a silent skip looks like a pass. */
export function have(...programs: string[]): boolean {
  const missing = programs.filter((program) => spawnSync("sh", ["-c", `command -v ${program}`]).status !== 0);
  if (missing.length > 0) console.warn(`SKIPPED: ${missing.join(", ")} not installed`);
  return missing.length === 0;
}

/** Milliseconds after which a peer is taken for hanging, which some do. */
const PEER_TIMEOUT = 60_000;

const MAINS = { "qemu-img": img, "qemu-io": io } as const;
type Program = keyof typeof MAINS;

/** Two folders with the same history: one made by QEMU's programs, one by ours under their names. */
export class Workshop {
  readonly root = mkdtempSync(join(tmpdir(), "softmetal-cli-"));
  readonly theirs = join(this.root, "theirs");
  readonly ours = join(this.root, "ours");

  constructor() {
    mkdirSync(this.theirs);
    mkdirSync(this.ours);
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true });
  }

  /** Overwrites one byte of an image on both sides. */
  poke(name: string, offset: number, value: number): void {
    for (const folder of [this.ours, this.theirs]) {
      const file = openSync(join(folder, name), "r+");
      writeSync(file, Uint8Array.of(value), 0, 1, offset);
      closeSync(file);
    }
  }

  /** QEMU's program in a folder. */
  peer(program: Program, args: readonly string[], folder = this.theirs): Outcome {
    for (let attempt = 0; ; attempt++) {
      const { status, stdout, stderr } = spawnSync(program, args, {
        cwd: folder,
        encoding: "utf8",
        timeout: PEER_TIMEOUT,
      });
      // On a busy machine QEMU cannot always time its key derivation; that is no answer to compare with.
      if (attempt < 20 && stderr.includes("Unable to get accurate CPU usage")) continue;
      // Now and then it hangs on errors of an NBD server.
      if (attempt < 2 && status === null) continue;
      return { status: status ?? -1, stdout, stderr };
    }
  }

  /** Our program in a folder. */
  async own(program: Program, args: readonly string[], folder = this.ours): Promise<Outcome> {
    const before = process.cwd();
    process.chdir(folder);
    const terminal = new CapturedTerminal();
    try {
      const status = await MAINS[program]([...args], program, terminal);
      return { status, stdout: terminal.stdout, stderr: terminal.stderr };
    } finally {
      process.chdir(before);
    }
  }

  /** The same command on both sides. */
  async both(program: Program, args: readonly string[]): Promise<{ ours: Outcome; theirs: Outcome }> {
    return { theirs: this.peer(program, args), ours: await this.own(program, args) };
  }
}

/** Makes what differs by nature equal: times, allocation of the host file system, identifiers. */
export function mask(outcome: Outcome): Outcome {
  const clean = (text: string): string =>
    text
      .replace(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/g, "DATE TIME")
      .replace(/"date-(n?)sec": \d+/g, '"date-$1sec": 0')
      .replace(/disk size: .*/g, "disk size: N")
      .replace(/"actual-size": \d+/g, '"actual-size": 0')
      // Our help is our own.
      .replace(/^qemu-img version .*/s, "HELP OR VERSION")
      .replace(/uuid: [0-9a-f-]+|"uuid": "[0-9a-f-]+"/g, "uuid: X")
      .replace(/iters: \d+|"(master-key-)?iters": \d+/g, "iters: N")
      .replace(/in \d+\.\d+ seconds/g, "in N seconds")
      .replace(/; [0-9:.]+( sec)? \(.*\/sec and .* ops\/sec\)/g, "; TIME")
      // QEMU names its nodes by number; we have their file names.
      .replace(/(persistent in|persistent bitmaps to) '?[^':]*'?:/g, "$1 NODE:")
      // Where new clusters are put is a matter of taste once some have been freed.
      .replace(/Image end offset: \d+/g, "Image end offset: N")
      // How often progress is printed is a matter of speed.
      .replace(/( +\(\d+\.\d\d\/100%\)\r)+/g, "PROGRESS");
  return { status: outcome.status, stdout: clean(outcome.stdout), stderr: clean(outcome.stderr).trimEnd() };
}
