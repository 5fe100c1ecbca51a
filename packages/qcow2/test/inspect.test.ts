import { describe, expect, it } from "vitest";
import { MemoryFile, openQcow2, Qcow2Error, type Qcow2Info } from "../src/index.js";
import { inspectQcow2 } from "../src/inspect/index.js";
import { mutate, seedImage, variants } from "./mutants.js";
import { random } from "./support.js";

const MUTANTS = 2000;

/** What an image is, or why that cannot be told. */
async function outcome(inform: () => Promise<Qcow2Info>): Promise<unknown> {
  try {
    return await inform();
  } catch (error) {
    if (error instanceof Qcow2Error) return { code: error.code, message: error.message };
    throw error;
  }
}

async function opened(data: Uint8Array): Promise<Qcow2Info> {
  const options = { readOnly: true, metadataOnly: true, backing: "none", dataFile: "none" } as const;
  const image = await openQcow2(new MemoryFile("image", data), options);
  const info = image.info();
  await image.close();
  return info;
}

describe("inspectQcow2", () => {
  it("says what opening an image says, of whole and of damaged ones", async () => {
    const seeds = await Promise.all(variants.map(seedImage));
    let whole = 0;
    for (let i = 0; i < MUTANTS; i++) {
      const { image } = seeds[i % seeds.length];
      const data = i < seeds.length ? image : mutate(image, random(i));
      const expected = await outcome(() => opened(data));
      if (!("code" in (expected as object))) whole++;
      expect(await outcome(() => inspectQcow2(new MemoryFile("image", data))), `mutant ${i}`).toEqual(expected);
    }
    expect(whole).toBeGreaterThan(seeds.length);
    expect(whole).toBeLessThan(MUTANTS - 100);
  });

  it("leaves the file open", async () => {
    const { image } = await seedImage(variants[0]);
    const file = new MemoryFile("image", image);
    let closed = false;
    file.close = () => {
      closed = true;
    };
    expect((await inspectQcow2(file)).snapshots.map(({ name }) => name)).toEqual(["one", "two"]);
    expect(closed).toBe(false);
  });
});
