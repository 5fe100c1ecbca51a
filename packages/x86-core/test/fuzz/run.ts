import { writeSync } from "node:fs";
import { Worker } from "node:worker_threads";
import type { StopReason } from "../../src/cpu/context.js";
import type { Random } from "../silicon/random.js";
import { type FuzzMachine, ROM } from "./machine.js";

/** Milliseconds that one `run` of a few hundred instructions may take on a busy machine. */
const LONGEST = 10_000;

/** What happens between two calls of `run`: the same for every machine that gets the same generator. */
export function disturb(machine: FuzzMachine, random: Random, last: StopReason): void {
  const { cpu } = machine;
  const wakes = last === "halted";
  if (wakes ? random.oneIn(2) : random.oneIn(20)) cpu.nmi();
  if (wakes || random.oneIn(6)) {
    machine.vector = random.below(256);
    cpu.attention();
  }
  if (random.oneIn(40)) cpu.setA20(random.oneIn(2));
  if (random.oneIn(30)) {
    const bytes = Array.from({ length: 1 + random.below(16) }, () => random.u32() & 0xff);
    machine.write(random.below(ROM - 16), bytes);
  }
}

/** Runs with a budget; checks that it is kept and that it does not take long. */
export function runSlice(machine: FuzzMachine, budget: number): StopReason {
  const { cpu } = machine;
  const before = cpu.instructions;
  const start = performance.now();
  const reason = cpu.run(budget);
  const taken = performance.now() - start;
  if (taken > LONGEST) throw new Error(`run(${budget}) took ${taken} ms`);
  const executed = cpu.instructions - before;
  // A block of 48 instructions may go beyond the budget, and an exception at its end.
  if (executed < 0 || executed > budget + 64) throw new Error(`run(${budget}) executed ${executed} instructions`);
  return reason;
}

/**
 * Ends the process with a message when the test does not report for a while: a `run` that never returns cannot be
 * stopped otherwise.
 */
export class Watchdog {
  readonly #cells = new Int32Array(new SharedArrayBuffer(8));
  readonly #worker: Worker;

  constructor(seconds: number) {
    const source = `
      const { workerData } = require("node:worker_threads");
      const { writeSync } = require("node:fs");
      let seen = -1;
      setInterval(() => {
        const beat = Atomics.load(workerData, 0);
        if (beat === seen) {
          writeSync(2, "run() did not return: seed " + Atomics.load(workerData, 1) + "\\n");
          process.kill(process.pid, "SIGKILL");
        }
        seen = beat;
      }, ${seconds * 1000});`;
    this.#worker = new Worker(source, { eval: true, workerData: this.#cells });
  }
  beat(seed: number): void {
    Atomics.store(this.#cells, 1, seed);
    Atomics.add(this.#cells, 0, 1);
  }
  async end(): Promise<void> {
    await this.#worker.terminate();
  }
}

/** Settings of a run: seconds in all, the seed to begin with, or the only one. */
export const SECONDS = Number(process.env.SOFTMETAL_FUZZ_SECONDS ?? 20);
const FIRST_SEED = Number(process.env.SOFTMETAL_FUZZ_FIRST ?? 1);
const ONLY_SEED = process.env.SOFTMETAL_FUZZ_SEED;

/** Calls `one` with seeds until the time is over; a failure names its seed. */
export async function eachSeed(seconds: number, one: (seed: number) => string): Promise<number> {
  const watchdog = new Watchdog(60);
  const end = performance.now() + seconds * 1000;
  const first = ONLY_SEED ? Number(ONLY_SEED) : FIRST_SEED;
  let seed = first;
  try {
    do {
      watchdog.beat(seed);
      one(seed);
      seed++;
    } while (!ONLY_SEED && performance.now() < end);
  } catch (error) {
    writeSync(2, `SOFTMETAL_FUZZ_SEED=${seed} repeats this failure\n`);
    throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
  } finally {
    await watchdog.end();
  }
  return seed - first;
}
