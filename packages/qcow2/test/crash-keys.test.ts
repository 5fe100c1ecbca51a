/**
 * Power loss while key slots change: whatever was lost, a passphrase that was there before a change, or comes with it,
 * opens the volume, and its data is intact. A passphrase whose removal returned opens nothing.
 */
import { describe, expect, it } from "vitest";
import {
  type AddPassphraseOptions,
  createLuks,
  createQcow2,
  keepOpen,
  type LuksDisk,
  openLuks,
  openQcow2,
  type Qcow2Image,
  type RandomAccessFile,
  type RemovePassphraseOptions,
} from "../src/index.js";
import { nodePlatform } from "../src/node/index.js";
import { losePower } from "./crash/lose-power.js";
import { Recorder } from "./crash/recorder.js";
import { pattern, random } from "./support.js";

const EFFORT = Number(process.env.SOFTMETAL_CRASH ?? 1);
const SEED = Number(process.env.SOFTMETAL_SEED ?? 20);
/** Every how manieth state is examined: deriving keys takes time. */
const STRIDE = Math.max(1, Math.round(7 / EFFORT));

const SIZE = 16 * 1024;
const DATA = pattern(SIZE, 3);
/** Small keys, so that their slots are small, too. */
const luks = { cipher: "aes-128", mode: "cbc", passphrase: "first", iterTime: 1 } as const;

type Volume = Qcow2Image | LuksDisk;

const kinds: [string, (file: RandomAccessFile) => Promise<void>, Open][] = [
  [
    "a qcow2 image",
    (file) =>
      createQcow2(file, {
        size: SIZE,
        clusterSize: 4096,
        platform: nodePlatform,
        encryption: { format: "luks", ...luks },
      }),
    (file, passphrase) => openQcow2(keepOpen(file), { passphrase, platform: nodePlatform }),
  ],
  [
    "a LUKS file",
    (file) => createLuks(file, { size: SIZE, platform: nodePlatform, ...luks }),
    (file, passphrase) => openLuks(keepOpen(file), { passphrase, platform: nodePlatform }),
  ],
];

type Open = (file: RandomAccessFile, passphrase: string) => Promise<Volume>;

type Change = { add: AddPassphraseOptions } | { remove: RemovePassphraseOptions };

/** Slot 6 lies over the border of two sectors of the header. */
const changes: [Change, passphrasesAfter: string[]][] = [
  [{ add: { passphrase: "second" } }, ["first", "second"]],
  [{ add: { passphrase: "sixth", slot: 6 } }, ["first", "second", "sixth"]],
  [{ remove: { passphrase: "first" } }, ["second", "sixth"]],
  [{ add: { passphrase: "other sixth", slot: 6, force: true } }, ["second", "other sixth"]],
  [{ remove: { slot: 1 } }, ["other sixth"]],
  // The only slot that is in use.
  [{ add: { passphrase: "third sixth", slot: 6, force: true } }, ["third sixth"]],
  [{ add: { passphrase: "zeroth", slot: 0 } }, ["third sixth", "zeroth"]],
  [{ remove: { passphrase: "third sixth", slot: 6 } }, ["zeroth"]],
  [{ add: { passphrase: "other zeroth", slot: 0, force: true } }, ["other zeroth"]],
];

async function opens(open: Open, file: RandomAccessFile, passphrase: string): Promise<boolean> {
  try {
    const volume = await open(file, passphrase);
    const found = new Uint8Array(SIZE);
    await volume.read(found, 0);
    expect(Buffer.compare(found, DATA), "content").toBe(0);
    return true;
  } catch (error) {
    if ((error as { code?: string }).code === "wrong-passphrase") return false;
    throw error;
  }
}

describe("power loss while passphrases change", () => {
  it.each(kinds)("of %s", { timeout: 120_000 * Math.max(1, EFFORT) }, async (_name, create, open) => {
    const next = random(SEED);
    const recorder = new Recorder([undefined], next);
    const [file] = recorder.files;
    await create(file);
    const volume = await open(file, "first");
    await volume.write(DATA, 0);
    await volume.flush();
    const born = recorder.now;
    const history: { from: number; done: number; passphrases: string[] }[] = [
      { from: born, done: born, passphrases: ["first"] },
    ];
    for (const [change, passphrases] of changes) {
      const from = recorder.now;
      if ("add" in change) await volume.addPassphrase({ iterTime: 1, ...change.add });
      else await volume.removePassphrase(change.remove);
      history.push({ from, done: recorder.now, passphrases });
    }
    await volume.close();
    const everything = new Set(history.flatMap(({ passphrases }) => passphrases));
    const plan = { initial: [], born, next, exhaustive: 4, samples: 3, pairs: 0, stride: STRIDE };
    let replaced = 0;
    const states = await losePower(recorder, plan, async ([state], epoch, latest) => {
      const certain = history.findLastIndex(({ done }) => done < epoch.end);
      const possible = history.filter(({ from }, i) => i === certain || (i > certain && from < latest));
      const kept = possible[0].passphrases.filter((p) => possible.every(({ passphrases }) => passphrases.includes(p)));
      const gone = [...everything].filter((p) => !possible.some(({ passphrases }) => passphrases.includes(p)));
      const what = `change ${certain}, at ${latest} of the epoch from ${epoch.start} to ${epoch.end}`;
      if (kept.length > 0) {
        const passphrase = kept[next(kept.length)];
        expect(await opens(open, state, passphrase), `"${passphrase}" opens: ${what}`).toBe(true);
      } else {
        // The last passphrase is replaced: the old or the new one.
        replaced++;
        const candidates = [...new Set(possible.flatMap(({ passphrases }) => passphrases))];
        const found = await Promise.all(candidates.map((passphrase) => opens(open, state, passphrase)));
        expect(found, `one of ${candidates.join(", ")} opens: ${what}`).toContain(true);
      }
      if (gone.length > 0 && next(6) === 0) {
        const passphrase = gone[next(gone.length)];
        expect(await opens(open, state, passphrase), `"${passphrase}" opens nothing: ${what}`).toBe(false);
      }
    });
    console.log(`power loss while passphrases change: ${states} states, ${replaced} while the last one was replaced`);
    expect(replaced).toBeGreaterThan(5);
  });
});
