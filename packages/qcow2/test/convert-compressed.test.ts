import { describe, expect, it } from "vitest";
import { convert, createQcow2, MemoryFile, openQcow2, openRaw, type Platform, portablePlatform } from "../src/index.js";
import { LimitedFile, pattern, random } from "./support.js";

const CLUSTER = 4096;

/** Compressions that are done in another order than they were asked for. */
function unordered(next: (limit: number) => number): Platform {
  return {
    ...portablePlatform,
    parallelism: 6,
    async zlib() {
      const codec = await portablePlatform.zlib();
      return {
        ...codec,
        async compress(cluster, limit) {
          for (let turns = next(4); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve));
          return codec.compress(cluster, limit);
        },
      };
    },
  };
}

/** Clusters that shrink, in between some that do not, and some of zeros. */
function mixed(clusters: number): MemoryFile {
  const content = new Uint8Array(clusters * CLUSTER);
  const next = random(7);
  for (let at = 0; at < content.length; at += CLUSTER) {
    const cluster = content.subarray(at, at + CLUSTER);
    const kind = next(8);
    if (kind > 1) cluster.set(pattern(CLUSTER, at + 1));
    else if (kind === 1) crypto.getRandomValues(cluster);
  }
  return new MemoryFile("source", content);
}

describe("compressed copies", () => {
  const source = mixed(200);

  async function copy(seed: number, limit: number): Promise<MemoryFile> {
    const memory = new LimitedFile(limit);
    const from = await openRaw(source);
    await createQcow2(memory, { size: from.size, clusterSize: CLUSTER });
    const image = await openQcow2(memory, { platform: unordered(random(seed)) });
    await convert(from, image, { compress: true, targetIsZero: true });
    await image.close();
    return memory;
  }

  it("are the same files, however long each cluster takes", async () => {
    const first = await copy(1, Number.POSITIVE_INFINITY);
    for (const seed of [2, 3, 4]) {
      const again = await copy(seed, Number.POSITIVE_INFINITY);
      expect(Buffer.compare(first.bytes(), again.bytes())).toBe(0);
    }
  });

  it("fail at the same place when the storage is full", async () => {
    const limit = (await copy(1, Number.POSITIVE_INFINITY)).size() / 2;
    const failure = (seed: number): Promise<unknown> => copy(seed, limit).catch((error: unknown) => error);
    const first = await failure(1);
    expect(first).toMatchObject({ structure: "target disk", reason: expect.stringContaining("File too large") });
    const { offset } = first as { offset: number };
    for (const seed of [2, 3, 4]) expect(await failure(seed)).toMatchObject({ structure: "target disk", offset });
  });
});
