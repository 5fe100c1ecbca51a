import { afterAll, describe, expect, it } from "vitest";
import { openBlob, openSyncHandle, type SyncAccessHandle } from "../src/browser/index.js";
import {
  createQcow2,
  createRaw,
  keepOpen,
  MemoryFile,
  openQcow2,
  openRaw,
  portablePlatform,
  type RandomAccessFile,
} from "../src/index.js";
import { nodePlatform, openFile } from "../src/node/index.js";
import { pattern, temporaryFolder } from "./support.js";

const folder = temporaryFolder();
afterAll(() => folder.remove());

/** The browser's handle, as its standard describes it. */
function fakeHandle(): SyncAccessHandle {
  const file = new MemoryFile();
  return {
    read: (buffer, { at }) => file.read(buffer, at),
    write: (buffer, { at }) => {
      file.write(buffer, at);
      return buffer.length;
    },
    getSize: () => file.size(),
    truncate: (size) => file.truncate(size),
    flush: () => {},
    close: () => {},
  };
}

let counter = 0;
const makers: [string, () => Promise<RandomAccessFile>][] = [
  ["memory", async () => new MemoryFile()],
  ["OPFS handle", async () => openSyncHandle(fakeHandle())],
  ["node, auto", () => openFile(folder.path(`f${counter++}`), { create: true })],
  ["node, async", () => openFile(folder.path(`f${counter++}`), { create: true, io: "async" })],
  ["node, sync", () => openFile(folder.path(`f${counter++}`), { create: true, io: "sync" })],
];

describe.each(makers)("RandomAccessFile: %s", (_name, make) => {
  it("reads short at the end, fills gaps with zeros, and truncates both ways", async () => {
    const file = await make();
    await file.write(pattern(100_000, 1), 5000);
    expect(await file.size()).toBe(105_000);
    const buffer = new Uint8Array(200_000).fill(7);
    expect(await file.read(buffer, 0)).toBe(105_000);
    expect(buffer.subarray(0, 5000).every((byte) => byte === 0)).toBe(true);
    expect(Buffer.compare(buffer.subarray(5000, 105_000), pattern(100_000, 1))).toBe(0);
    expect(await file.read(buffer, 300_000)).toBe(0);
    await file.truncate(6000);
    await file.truncate(70_000);
    expect(await file.read(buffer, 0)).toBe(70_000);
    expect(buffer.subarray(6000, 70_000).every((byte) => byte === 0)).toBe(true);
    await file.flush();
    await file.close();
  });

  it("carries a qcow2 image", async () => {
    const file = await make();
    await createQcow2(file, { size: 1024 * 1024 });
    const image = await openQcow2(keepOpen(file));
    await image.write(pattern(200_000, 2), 77_777);
    await image.close();
    const again = await openQcow2(file, { readOnly: true });
    const back = new Uint8Array(200_000);
    await again.read(back, 77_777);
    expect(Buffer.compare(back, pattern(200_000, 2))).toBe(0);
    await again.close();
  });

  it("carries a raw disk", async () => {
    const file = await make();
    await createRaw(file, { size: 100_000, preallocation: "full" });
    const disk = await openRaw(file);
    await disk.write(pattern(1000, 3), 99_000);
    await disk.writeZeroes(99_500, 100);
    const back = new Uint8Array(1000);
    await disk.read(back, 99_000);
    expect(Buffer.compare(back, pattern(1000, 3).fill(0, 500, 600))).toBe(0);
    await expect(disk.read(back, 99_001)).rejects.toMatchObject({ code: "out-of-range" });
    await disk.resize(200_000, { preallocation: "full" });
    expect(disk.size).toBe(200_000);
    await disk.close();
    await expect(disk.read(back, 0)).rejects.toMatchObject({ code: "closed" });
  });
});

describe("a blob", () => {
  it("can be read as an image and not be written", async () => {
    const file = new MemoryFile();
    await createQcow2(file, { size: 65536 });
    const image = await openQcow2(file);
    await image.write(pattern(3000, 1), 100);
    await image.close();
    const fromBlob = await openQcow2(openBlob(new Blob([file.bytes().slice().buffer])));
    const back = new Uint8Array(3000);
    await fromBlob.read(back, 100);
    expect(Buffer.compare(back, pattern(3000, 1))).toBe(0);
    await expect(fromBlob.write(back, 0)).rejects.toMatchObject({ code: "read-only" });
  });
});

describe("platforms", () => {
  it.each(["zlib", "zstd"] as const)("%s: what one compresses the other decompresses", async (method) => {
    const portable = await portablePlatform[method]();
    const node = await nodePlatform[method]();
    const data = pattern(65536, 5);
    for (const [from, to] of [
      [portable, node],
      [node, portable],
    ]) {
      const packed = (await from.compress(data, data.length))!;
      expect(packed.length).toBeLessThan(data.length / 2);
      const padded = new Uint8Array(Math.ceil(packed.length / 512) * 512 + 512).fill(0xab);
      padded.set(packed);
      const back = new Uint8Array(data.length);
      await to.decompress(padded, back);
      expect(Buffer.compare(back, data)).toBe(0);
      await expect((async () => to.decompress(packed.subarray(0, packed.length / 2), back))()).rejects.toThrow();
      await expect((async () => to.decompress(pattern(1000, 3), back))()).rejects.toThrow();
    }
    expect(await node.compress(crypto.getRandomValues(new Uint8Array(65536)), 65536)).toBeUndefined();
  });

  it("the two cryptographies agree", async () => {
    const portable = await portablePlatform.crypto();
    const node = await nodePlatform.crypto();
    for (const name of ["sha1", "sha256", "sha512", "ripemd160"] as const) {
      const salt = pattern(32, 1);
      expect(Buffer.from(portable.hash(name, salt))).toEqual(Buffer.from(node.hash(name, salt)));
      const derived = await Promise.all([portable, node].map((p) => p.pbkdf2(name, pattern(10, 2), salt, 1000, 64)));
      expect(Buffer.from(derived[0])).toEqual(Buffer.from(derived[1]));
    }
    // More than WebCrypto gives at once.
    for (const { random } of [portable, node]) expect(new Set(random(100_000)).size).toBe(256);
    for (const bits of [128, 192, 256]) {
      const key = pattern(bits / 8, 9);
      const results = [portable, node].map((p) => {
        const cipher = p.aes(key);
        const data = pattern(4096, 4);
        cipher.encryptBlocks(data);
        cipher.encryptCbc(data, pattern(16, 7));
        return Buffer.from(data);
      });
      expect(results[0]).toEqual(results[1]);
    }
  });
});
