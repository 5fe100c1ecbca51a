import { describe, expect, it } from "vitest";
import { createQcow2, MemoryFile, map, openQcow2, Qcow2Error } from "../src/index.js";
import { pattern } from "./support.js";

describe("an image in memory", () => {
  it("reads back what was written, after closing and opening again", async () => {
    const file = new MemoryFile();
    await createQcow2(file, { size: 10 * 1024 * 1024 });
    const image = await openQcow2(file);
    const data = pattern(300_000, 1);
    await image.write(data, 123_457);
    const back = new Uint8Array(data.length);
    await image.read(back, 123_457);
    expect(Buffer.compare(back, data)).toBe(0);
    await image.close();
    const again = await openQcow2(file);
    await again.read(back, 123_457);
    expect(Buffer.compare(back, data)).toBe(0);
    expect((await again.check()).corruptions).toBe(0);
    await again.close();
  });

  it("refuses what lies beyond the end", async () => {
    const file = new MemoryFile();
    await createQcow2(file, { size: 1024 });
    const image = await openQcow2(file);
    await expect(image.read(new Uint8Array(513), 512)).rejects.toThrow(Qcow2Error);
    await image.close();
  });

  it("walks a fragmented disk in linear time", { timeout: 20_000 }, async () => {
    const file = new MemoryFile();
    const size = 8 * 1024 * 1024;
    await createQcow2(file, { size, clusterSize: 512 });
    const image = await openQcow2(file);
    const data = new Uint8Array(512).fill(1);
    for (let at = 0; at < size; at += 1024) await image.write(data, at);
    let extents = 0;
    for await (const { length } of map(image)) {
      expect(length).toBe(512);
      extents++;
    }
    expect(extents).toBe(size / 512);
    await image.close();
  });
});
