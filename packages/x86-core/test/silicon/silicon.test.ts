import { expect, test } from "vitest";
import { compareWithHost, describeReport } from "./comparison.js";
import { whyNot } from "./native.js";

/** Cases of the default run, which ends after its time at the latest; a set number of cases takes what it takes. */
const CASES = process.env.SOFTMETAL_SILICON_CASES;
const SECONDS = Number(process.env.SOFTMETAL_SILICON_SECONDS ?? 60);
const SEED = Number(process.env.SOFTMETAL_SILICON_SEED ?? 1);
const ONLY = process.env.SOFTMETAL_SILICON_ONLY;

const reason = whyNot();
if (reason) console.warn(`\n*** The comparison with the host's processor is SKIPPED: ${reason}. ***\n`);

test.skipIf(reason !== undefined)(
  "every instruction does what the host's processor does",
  async () => {
    const report = await compareWithHost({
      seed: SEED,
      cases: CASES ? Number(CASES) : 2_500_000,
      milliseconds: CASES ? Number.POSITIVE_INFINITY : SECONDS * 1000,
      only: ONLY ? new RegExp(ONLY) : undefined,
    });
    console.log(describeReport(report));
    expect([...report.differences.values()].map(({ text, count }) => `${text}: ${count}`)).toEqual([]);
    expect(report.endings.get(255) ?? 0).toBe(0);
  },
  CASES ? 3_600_000 : (SECONDS + 60) * 1000,
);
