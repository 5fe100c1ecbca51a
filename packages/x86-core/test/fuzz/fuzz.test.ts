import { expect, test } from "vitest";
import type { StopReason } from "../../src/cpu/context.js";
import { Random } from "../silicon/random.js";
import { FuzzMachine } from "./machine.js";
import { prepare } from "./programs.js";
import { disturb, eachSeed, runSlice, SECONDS } from "./run.js";

/**
 * Hostile guests. SOFTMETAL_FUZZ_SECONDS sets how long all of this takes (20), SOFTMETAL_FUZZ_FIRST the
 * first seed, SOFTMETAL_FUZZ_SEED repeats one program.
 * Random numbers (RDRAND, RDSEED) are left out, so that every program does the same each time.
 */
const MODELS = ["max,-rdrand,-rdseed", "x86-64-v2", "x86-64-v1"];
const timeout = (SECONDS + 120) * 1000;

/** Machines are used for some programs each, so that old code and full tables are met too. */
class Machines {
  #machines: FuzzMachine[] = [];
  #used = 0;
  constructor(readonly tiers: readonly ("interpreter" | "blocks")[]) {}

  for(seed: number): FuzzMachine[] {
    if (this.#used++ % 64 === 0) {
      const model = MODELS[(seed >> 6) % MODELS.length];
      this.#machines = this.tiers.map((tier) => new FuzzMachine(tier, model));
    }
    return this.#machines;
  }
}

test(
  "no guest takes the host down, leaves its memory or keeps it from returning",
  async () => {
    const machines = new Machines(["interpreter"]);
    const endings = new Map<StopReason, number>();
    const programs = await eachSeed(SECONDS * 0.45, (seed) => {
      const [machine] = machines.for(seed);
      const what = prepare(machine, seed);
      const random = new Random(seed + 1);
      let reason: StopReason = "budget";
      for (let slice = 0; slice < 24 && reason !== "shutdown"; slice++) {
        disturb(machine, random, reason);
        reason = runSlice(machine, 1 + random.below(400));
        endings.set(reason, (endings.get(reason) ?? 0) + 1);
      }
      machine.checkIntegrity();
      return what;
    });
    console.log(`${programs} programs; slices ended by ${[...endings].map(([why, n]) => `${why} ${n}`).join(", ")}`);
    expect(programs).toBeGreaterThan(0);
  },
  timeout,
);

test(
  "the interpreter and emitted blocks do the same",
  async () => {
    const machines = new Machines(["interpreter", "blocks"]);
    const programs = await eachSeed(SECONDS * 0.35, (seed) => {
      const [a, b] = machines.for(seed);
      const what = prepare(a, seed);
      prepare(b, seed);
      const randoms = [new Random(seed + 1), new Random(seed + 1)];
      const budgets = new Random(seed + 2);
      let reasons: StopReason[] = ["budget", "budget"];
      for (let slice = 0; slice < 8 && reasons[0] !== "shutdown"; slice++) {
        const budget = 1 + budgets.below(100);
        reasons = [a, b].map((machine, index) => {
          disturb(machine, randoms[index], reasons[index]);
          return runSlice(machine, budget);
        });
        const difference = reasons[0] === reasons[1] ? a.difference(b) : `ended by ${reasons.join(" / ")}`;
        if (difference) throw new Error(`${what}, slice ${slice}: ${difference}`);
        if (a.cpu.instructions !== b.cpu.instructions) throw new Error(`${what}: instructions counted differ`);
      }
      b.checkIntegrity();
      return what;
    });
    console.log(`${programs} programs in both tiers`);
    expect(programs).toBeGreaterThan(0);
  },
  timeout,
);

test(
  "a saved state has the same future",
  async () => {
    const machines = new Machines(["interpreter", "interpreter"]);
    let compared = 0;
    const programs = await eachSeed(SECONDS * 0.2, (seed) => {
      const [a, b] = machines.for(seed);
      const what = prepare(a, seed);
      const random = new Random(seed + 3);
      const randoms = [new Random(seed + 1), new Random(seed + 1)];
      let reason: StopReason = "budget";
      for (let round = 0; round < 4 && reason !== "shutdown"; round++) {
        disturb(a, new Random(seed + round), reason);
        reason = runSlice(a, 1 + random.below(60));
        b.copyFrom(a);
        const ahead = a.cpu.instructions - b.cpu.instructions;
        // Translations are not part of the state: a guest that changed its tables and flushed nothing may see either.
        a.cpu.stateChanged();
        for (let slice = 0; slice < 4; slice++) {
          const budget = 1 + random.below(100);
          const reasons = [a, b].map((machine, index) => {
            disturb(machine, randoms[index], reason);
            return runSlice(machine, budget);
          });
          // Code that was decoded before it was overwritten makes other blocks, which end elsewhere.
          const lead = () => a.cpu.instructions - b.cpu.instructions - ahead;
          for (let step = 0; lead() !== 0 && step < 200; step++) {
            const late = lead() > 0 ? 1 : 0;
            reasons[late] = runSlice([a, b][late], 1);
          }
          if (lead() !== 0) return what;
          const difference = reasons[0] === reasons[1] ? a.difference(b) : `ended by ${reasons.join(" / ")}`;
          if (difference) throw new Error(`${what}, round ${round}, slice ${slice}: ${difference}`);
          compared++;
          reason = reasons[0];
        }
      }
      return what;
    });
    console.log(`${programs} programs with saved states, compared ${compared} times`);
    expect(compared).toBeGreaterThan(0);
  },
  timeout,
);
