import { writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { MemoryFile, openQcow2, Qcow2Error, type Qcow2Image, type Qcow2OpenOptions } from "../src/index.js";
import { nodePlatform } from "../src/node/index.js";
import { mutate, PASSPHRASE, seedImage, variants } from "./mutants.js";
import { hasQemuImg, pattern, random, temporaryFolder, tryQemuImg } from "./support.js";

const MUTANTS = Number(process.env.SOFTMETAL_FUZZ ?? 3000);
const SEED = Number(process.env.SOFTMETAL_FUZZ_SEED ?? 1);
/** The first mutant; to go on behind one that failed, or to look at it. */
const FIRST = Number(process.env.SOFTMETAL_FUZZ_FIRST ?? 0);
/** So many failures are collected. */
const MAX_FAILURES = 20;
/** One mutant may take this long, in milliseconds: far more than any needs, far less than a hang. */
const PATIENCE = 10_000;

const KB = 1024;

/** Runs one thing that may fail, in the ways it is meant to fail. */
async function attempt(action: () => Promise<void>): Promise<boolean> {
  try {
    await action();
    return true;
  } catch (error) {
    if (error instanceof Qcow2Error) return false;
    throw error;
  }
}

/** Reads whatever can be read. */
async function exercise(image: Qcow2Image): Promise<void> {
  const buffer = new Uint8Array(64 * KB);
  const places = [0, 64 * KB, 128 * KB, 192 * KB, 256 * KB, Math.floor(image.size / 2), image.size - buffer.length];
  for (const at of places) await attempt(() => image.read(buffer, Math.max(0, at)));
  await attempt(async () => {
    for (let at = 0, left = 50; at < image.size && left > 0; left--)
      at += (await image.status(at, image.size - at)).length;
  });
  await attempt(async () => {
    let left = 50;
    for await (const _range of image.dirtyRanges("b")) if (left-- === 0) break;
  });
  await attempt(() => image.readVmState(buffer, 0));
}

/** Changes whatever can be changed. */
async function change(image: Qcow2Image): Promise<void> {
  await attempt(() => image.write(pattern(20 * KB, 9), 3000));
  await attempt(() => image.writeZeroes(50 * KB, 50 * KB));
  await attempt(() => image.discard(120 * KB, 100 * KB));
  await attempt(() => image.writeCompressed(pattern(image.clusterSize, 8), 16 * image.clusterSize));
  await attempt(async () => void (await image.createSnapshot({ name: "late" })));
  await attempt(() => image.applySnapshot("one"));
  await attempt(() => image.deleteSnapshot("two"));
  await attempt(() => image.mergeBitmap("off", "b"));
  await attempt(() => image.clearBitmap("b"));
  await attempt(() => image.setBitmapEnabled("off", true));
  await attempt(() => image.resize(image.size + 512 * KB, { preallocation: "metadata" }));
  await attempt(() => image.resize(100 * KB, { shrink: true }));
  await attempt(() => image.removeBitmap("b"));
  await attempt(() => image.amend({ refcountBits: 32, lazyRefcounts: true, dataFile: "other" }));
  await attempt(() => image.amend({ version: 2 }));
  await attempt(() => image.setBackingFile({ name: "below", format: "raw" }));
}

describe("mutated images", () => {
  it(`${MUTANTS} mutants give typed errors or work`, { timeout: 3_600_000 }, async () => {
    const seeds = await Promise.all(variants.map(seedImage));
    let opened = 0;
    let repaired = 0;
    const failures: string[] = [];
    for (let i = FIRST; i < FIRST + MUTANTS && failures.length < MAX_FAILURES; i++) {
      const seed = (SEED * 1_000_003 + i * 7919) | 0;
      const next = random(seed);
      for (let warm = 0; warm < 4; warm++) next(2);
      const { image: origin, data: outside, variant } = seeds[i % seeds.length];
      const data = mutate(origin, next);
      // Keys take time to derive: of the encrypted images, some are opened without.
      const locked = next(variant.encryption?.format === "luks" ? 4 : 2) !== 0;
      const begin = performance.now();
      try {
        const options = (): Qcow2OpenOptions => ({
          platform: nodePlatform,
          ...(locked || variant.encryption === undefined ? { metadataOnly: true } : { passphrase: PASSPHRASE }),
          backing: "none",
          dataFile: new MemoryFile("data", outside.slice()),
        });
        await attempt(async () => {
          const image = await openQcow2(new MemoryFile("mutant", data), { ...options(), readOnly: true });
          opened++;
          await exercise(image);
          await attempt(async () => void (await image.check()));
          await image.close();
        });
        await attempt(async () => {
          const image = await openQcow2(new MemoryFile("mutant", data), { ...options(), snapshot: "two" });
          await exercise(image);
          await image.close();
        });
        const file = new MemoryFile("mutant", data);
        await attempt(async () => {
          const image = await openQcow2(file, { ...options(), repair: true });
          await attempt(async () => {
            const result = await image.check({ repair: "all" });
            if (result.corruptions > result.corruptionsFixed || result.checkErrors > 0) return;
            repaired++;
            const { corruptions, leaks, messages } = await image.check();
            if (corruptions + leaks === 0) return;
            throw new Error(`repaired, and still damaged: ${messages.map(({ text }) => text).join("; ")}`);
          });
          await attempt(() => image.close());
        });
        await attempt(async () => {
          const image = await openQcow2(new MemoryFile("mutant", data), options());
          await change(image);
          await attempt(() => image.close());
        });
      } catch (error) {
        failures.push(`mutant ${i}: ${error instanceof Error ? error.stack : error}`);
      }
      const elapsed = performance.now() - begin;
      if (elapsed > PATIENCE) failures.push(`mutant ${i} took ${elapsed} ms`);
    }
    expect(failures.join("\n"), `SOFTMETAL_FUZZ_SEED=${SEED}`).toBe("");
    if (MUTANTS < 100) return;
    // The mutations must neither all be refused at the door nor all be harmless.
    expect(opened).toBeGreaterThan(MUTANTS / 4);
    expect(repaired).toBeGreaterThan(MUTANTS / 20);
    expect(process.memoryUsage().rss).toBeLessThan(2 ** 31);
  });
});

const REPAIRS = Number(process.env.SOFTMETAL_FUZZ_REPAIRS ?? 40);

describe.skipIf(!hasQemuImg)("repaired images", () => {
  it(`${REPAIRS} repaired mutants pass qemu-img check`, { timeout: 3_600_000 }, async () => {
    const folder = temporaryFolder();
    try {
      // An encrypted image cannot be checked there without its passphrase.
      const plain = variants.filter(({ encryption, dataFile }) => encryption === undefined && dataFile === undefined);
      const seeds = await Promise.all(plain.map(seedImage));
      let accepted = 0;
      for (let i = 0; accepted < REPAIRS && i < REPAIRS * 20; i++) {
        const next = random((SEED * 7_368_787 + i * 104_729) | 0);
        for (let warm = 0; warm < 4; warm++) next(2);
        const file = new MemoryFile("mutant", mutate(seeds[i % seeds.length].image, next));
        const sound = await attempt(async () => {
          const image = await openQcow2(file, {
            platform: nodePlatform,
            backing: "none",
            dataFile: new MemoryFile(),
            repair: true,
          });
          const result = await image.check({ repair: "all" });
          await image.close();
          if (result.corruptions > result.corruptionsFixed || result.corruptions + result.leaks === 0) {
            throw new Qcow2Error("corrupt", "not repaired, or nothing to repair");
          }
        });
        if (!sound) continue;
        accepted++;
        const path = folder.path("repaired.qcow2");
        writeFileSync(path, file.bytes());
        const { status, output } = tryQemuImg("check", path);
        // Names of backing and data files may have been invented by the mutation.
        if (/Could not open|No such file/.test(output)) continue;
        expect(status, `mutant ${i}: ${output}`).toBe(0);
      }
      expect(accepted).toBe(REPAIRS);
    } finally {
      folder.remove();
    }
  });
});
