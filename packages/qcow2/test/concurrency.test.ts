import { describe, expect, it } from "vitest";
import {
  createQcow2,
  MemoryFile,
  openQcow2,
  type Qcow2CreateOptions,
  type Qcow2Image,
  type RandomAccessFile,
} from "../src/index.js";
import { pattern, random } from "./support.js";

/** Every operation takes a few turns of the event loop, and they overtake each other. */
function slow(file: MemoryFile, next: (limit: number) => number): RandomAccessFile {
  const wait = async (): Promise<void> => {
    for (let turns = next(6); turns > 0; turns--) await Promise.resolve();
    if (next(10) === 0) await new Promise((resolve) => setImmediate(resolve));
  };
  return {
    name: "slow",
    readOnly: false,
    async read(buffer, offset) {
      await wait();
      const count = file.read(buffer, offset);
      await wait();
      return count;
    },
    async write(data, offset) {
      await wait();
      file.write(data, offset);
      await wait();
    },
    size: () => file.size(),
    async truncate(size) {
      await wait();
      file.truncate(size);
    },
    flush: wait,
    async punchHole(offset, length) {
      await wait();
      file.punchHole(offset, length);
    },
    close: () => {},
  };
}

const variants: [string, Partial<Qcow2CreateOptions>][] = [
  ["512-byte clusters, tables evicted all the time", { clusterSize: 512 }],
  ["4 KiB clusters", { clusterSize: 4096 }],
  ["extended L2", { clusterSize: 16384, extendedL2: true }],
];

describe.each(variants)("concurrent requests: %s", (_name, options) => {
  it("do not disturb each other", async () => {
    const next = random(42);
    const size = 1024 * 1024;
    const memory = new MemoryFile();
    await createQcow2(memory, { size, ...options });
    const image = await openQcow2(slow(memory, next), { l2CacheSize: 1, refcountCacheSize: 1 });
    const model = new Uint8Array(size);
    // Each lane owns interleaved 1 KiB slices, so that lanes share clusters but never bytes.
    const lanes = 24;
    const slice = 1024;
    const lane = async (index: number): Promise<void> => {
      for (let round = 0; round < 40; round++) {
        const offset = (next(Math.floor(size / slice / lanes)) * lanes + index) * slice;
        const length = 1 + next(slice);
        switch (next(4)) {
          case 0: {
            const back = new Uint8Array(slice);
            await image.read(back, offset);
            expect(Buffer.compare(back, model.subarray(offset, offset + slice))).toBe(0);
            break;
          }
          case 1:
            await image.writeZeroes(offset, length);
            model.fill(0, offset, offset + length);
            break;
          default: {
            const data = pattern(length, next(1000));
            await image.write(data, offset);
            model.set(data, offset);
          }
        }
        if (next(50) === 0) await image.flush();
      }
    };
    await Promise.all([
      ...Array.from({ length: lanes }, (_, index) => lane(index)),
      (async () => {
        for (let i = 0; i < 5; i++) {
          await image.createSnapshot({ name: `s${i}` });
          await image.status(next(size), 1);
          if (i % 2 === 1) await image.deleteSnapshot(`s${i - 1}`);
        }
      })(),
    ]);
    const back = new Uint8Array(size);
    await image.read(back, 0);
    expect(Buffer.compare(back, model)).toBe(0);
    expect(await image.check()).toMatchObject({ corruptions: 0, leaks: 0 });
    await image.close();
    const again = await openQcow2(memory);
    await again.read(back, 0);
    expect(Buffer.compare(back, model)).toBe(0);
  });
});

describe("an image on a full disk", () => {
  it("reports the failure, loses nothing that was flushed, and goes on when there is room", async () => {
    const memory = new MemoryFile();
    await createQcow2(memory, { size: 1024 * 1024, clusterSize: 4096 });
    let limit = Number.POSITIVE_INFINITY;
    const file = slow(memory, random(3));
    const write = file.write.bind(file);
    file.write = async (data, offset) => {
      if (offset + data.length > limit) throw new Error("ENOSPC");
      await write(data, offset);
    };
    const image = await openQcow2(file);
    await image.write(pattern(50_000, 1), 0);
    await image.flush();
    limit = memory.size() + 8192;
    await expect(image.write(pattern(100_000, 2), 500_000)).rejects.toMatchObject({ code: "io" });
    limit = Number.POSITIVE_INFINITY;
    await image.write(pattern(100_000, 3), 500_000);
    const back = new Uint8Array(100_000);
    await image.read(back, 500_000);
    expect(Buffer.compare(back, pattern(100_000, 3))).toBe(0);
    await image.close();
    const again = await openQcow2(memory);
    expect(await again.check()).toMatchObject({ corruptions: 0, leaks: 0 });
    const first = new Uint8Array(50_000);
    await again.read(first, 0);
    expect(Buffer.compare(first, pattern(50_000, 1))).toBe(0);
  });

  it.each([
    ["write", (image: Qcow2Image) => image.write(pattern(3000, 2), 300_000)],
    ["writeZeroes", (image: Qcow2Image) => image.writeZeroes(300_000, 100_000)],
    ["writeCompressed", (image: Qcow2Image) => image.writeCompressed(pattern(4096, 2), 4096 * 80)],
  ] as const)("a %s that waits for a check marks the image as dirty again", async (_name, change) => {
    const memory = new MemoryFile();
    await createQcow2(memory, { size: 1024 * 1024, clusterSize: 4096, lazyRefcounts: true });
    const image = await openQcow2(slow(memory, random(5)));
    await image.write(pattern(3000, 1), 0);
    const dirty = (): boolean => (memory.bytes()[79] & 1) !== 0;
    expect(dirty()).toBe(true);
    // A check writes the refcounts that were held back, and takes the dirty bit away.
    const check = image.check();
    const changed = change(image);
    await check;
    await changed;
    await image.flush();
    expect(dirty()).toBe(true);
    await image.close();
    expect(dirty()).toBe(false);
    expect(await (await openQcow2(memory)).check()).toMatchObject({ corruptions: 0, leaks: 0 });
  });
});
