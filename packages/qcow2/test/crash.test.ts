/**
 * Power loss. Random work is recorded write by write; then the states that a disk may be in are rebuilt, examined and
 * compared with a model: every prefix of the log, and, between two flushes, subsets of the writes and of their sectors
 * in any order (all of them where there are few). Each state has to open, to check without corruption, to hold what
 * was flushed and nothing that was never written, and to be as good as any other image to go on with.
 *
 * SOFTMETAL_CRASH=<n> examines about n times as many states; SOFTMETAL_SEED=<n> begins with other work.
 */
import { afterAll, describe, expect, it } from "vitest";
import { configurations } from "./crash/configurations.js";
import { examineWithQemu } from "./crash/qemu.js";
import { replay } from "./crash/replay.js";
import { record } from "./crash/workload.js";
import { hasQemuImg, temporaryFolder } from "./support.js";

const EFFORT = Number(process.env.SOFTMETAL_CRASH ?? 1);
const SEED = Number(process.env.SOFTMETAL_SEED ?? 20);
/** Steps of random work in one recording, and recordings for each configuration. */
const STEPS = 30;
const RECORDINGS = Math.max(1, Math.round(EFFORT * 3));

describe("power loss", () => {
  const folder = temporaryFolder();
  let total = 0;
  let judged = 0;
  afterAll(() => {
    folder.remove();
    console.log(`power loss: ${total} states, ${judged} of them judged by qemu-img too`);
  });

  it.each(configurations.map((configuration) => [configuration.name, configuration] as const))(
    "%s",
    async (_name, configuration) => {
      let states = 0;
      const recordings = Math.max(1, Math.round(RECORDINGS * (configuration.share ?? 1)));
      for (let seed = SEED; seed < SEED + recordings; seed++) {
        const recording = await record(configuration, STEPS, seed);
        try {
          states += await replay(recording, seed, {
            exhaustive: EFFORT < 10 ? 7 : 10,
            samples: EFFORT < 10 ? 10 : 50,
            pairs: 12,
            states: (EFFORT < 10 ? 450 : 3000) / (configuration.stride ?? 1),
            goOnEvery: 4,
            snapshotsEvery: 3,
            recoverEvery: configuration.lazy === true ? 150 : 400,
            inspectEvery: hasQemuImg ? 400 : Number.POSITIVE_INFINITY,
            inspect: async (files, moment, snapshots) => {
              await examineWithQemu(recording, files, moment, snapshots, folder.path);
              judged++;
            },
          });
        } catch (error) {
          if (error instanceof Error) error.message += `\n${configuration.name}, seed ${seed}`;
          throw error;
        }
      }
      total += states;
      expect(states).toBeGreaterThan(0);
    },
    120_000 * Math.max(1, EFFORT),
  );
});
