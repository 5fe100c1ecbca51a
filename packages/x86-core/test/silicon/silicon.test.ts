import { describe, expect, test } from "vitest";
import type { Tier } from "../../src/cpu/executor.js";
import { compareWithHost, describeReport } from "./comparison.js";
import { whyNot } from "./native.js";

/** Cases of the default run, which ends after its time at the latest; a set number of cases takes what it takes. */
const CASES = process.env.SOFTMETAL_SILICON_CASES;
const SECONDS = Number(process.env.SOFTMETAL_SILICON_SECONDS ?? 60);
const SEED = Number(process.env.SOFTMETAL_SILICON_SEED ?? 1);
const ONLY = process.env.SOFTMETAL_SILICON_ONLY;

const reason = whyNot();
if (reason) console.warn(`\n*** The comparison with the host's processor is SKIPPED: ${reason}. ***\n`);

async function compare(tier: Tier, seconds: number): Promise<void> {
  const report = await compareWithHost({
    seed: SEED,
    cases: CASES ? Number(CASES) : 2_500_000,
    milliseconds: CASES ? Number.POSITIVE_INFINITY : seconds * 1000,
    only: ONLY ? new RegExp(ONLY) : undefined,
    tier,
  });
  console.log(`${tier}: ${describeReport(report)}`);
  expect([...report.differences.values()].map(({ text, count }) => `${text}: ${count}`)).toEqual([]);
  expect(report.endings.get(255) ?? 0).toBe(0);
}
const timeout = (seconds: number) => (CASES ? 3_600_000 : (seconds + 60) * 1000);

describe.skipIf(reason !== undefined)("every instruction does what the host's processor does", () => {
  test("in the interpreter", () => compare("interpreter", SECONDS), timeout(SECONDS));
  // A module is made of every case, which takes most of the time.
  test("in emitted blocks", () => compare("blocks", SECONDS / 3), timeout(SECONDS / 3));
});
