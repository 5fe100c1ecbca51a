import { expect, test } from "vitest";
import type { Tier } from "../../src/cpu/executor.js";
import type { Row } from "../../src/table/row.js";
import { type CaseSource, casesOfRows, compareWithHost, describeReport } from "./comparison.js";
import { TRAP_TIMEOUT } from "./layout.js";
import { whyNot } from "./native.js";

/**
 * Environment: SOFTMETAL_SILICON_CASES sets the number of cases of each suite, however long they take;
 * SOFTMETAL_SILICON_SECONDS the time after which a suite ends otherwise; SOFTMETAL_SILICON_SEED makes other cases;
 * SOFTMETAL_SILICON_ONLY is a pattern for the texts of rows.
 */
const CASES = process.env.SOFTMETAL_SILICON_CASES;
const SECONDS = Number(process.env.SOFTMETAL_SILICON_SECONDS ?? 180);
const SEED = Number(process.env.SOFTMETAL_SILICON_SEED ?? 1);
const ONLY = process.env.SOFTMETAL_SILICON_ONLY;

/** Declares the comparison of some rows in one tier with the host's processor. */
export function compareRows(name: string, tier: Tier, cases: number, choose: (row: Row) => boolean): void {
  const only = ONLY ? new RegExp(ONLY) : undefined;
  const chosen = (row: Row) => choose(row) && (!only || only.test(row.text));
  compareCases(name, tier, cases, only ? 0 : 300, () => casesOfRows(SEED, tier, chosen));
}

/** Declares a comparison of cases, which must be of a number of rows at least. */
export function compareCases(
  name: string,
  tier: Tier,
  cases: number,
  fewestRows: number,
  source: (seed: number) => CaseSource,
): void {
  const reason = whyNot();
  if (reason) console.warn(`\n*** The comparison with the host's processor is SKIPPED: ${reason}. ***\n`);
  test.skipIf(reason !== undefined)(
    name,
    async () => {
      const report = await compareWithHost(source(SEED), {
        cases: CASES ? Number(CASES) : cases,
        milliseconds: CASES ? Number.POSITIVE_INFINITY : SECONDS * 1000,
        tier,
      });
      console.log(`${name}: ${describeReport(report)}`);
      expect([...report.differences.values()].map(({ text, count }) => `${text}: ${count}`)).toEqual([]);
      expect(report.endings.get(TRAP_TIMEOUT) ?? 0).toBe(0);
      expect(report.rows.size).toBeGreaterThanOrEqual(fewestRows);
    },
    CASES ? 3_600_000 : (SECONDS + 60) * 1000,
  );
}
