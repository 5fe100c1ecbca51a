import { readFileSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  createQcow2,
  keepOpen,
  MemoryFile,
  openQcow2,
  type Preallocation,
  type Qcow2CreateOptions,
  type Qcow2Image,
  type Qcow2OpenOptions,
  type RandomAccessFile,
} from "../src/index.js";
import { nodePlatform } from "../src/node/index.js";
import { hasQemuImg, qemuImg, qemuIo, temporaryFolder } from "./support.js";

const KB = 1024;
const OLD = 300 * KB;
/** Not a whole number of clusters. */
const NEW = OLD + 401 * KB + 512;
const PASSPHRASE = "secret";

const formats: [string, Omit<Qcow2CreateOptions, "size">][] = [
  ["4 KiB clusters", { clusterSize: 4 * KB }],
  ["version 2", { clusterSize: 4 * KB, version: 2 }],
  ["extended L2 entries", { clusterSize: 16 * KB, extendedL2: true }],
  ["LUKS", { clusterSize: 4 * KB, encryption: { format: "luks", passphrase: PASSPHRASE, iterTime: 1 } }],
  ["AES", { clusterSize: 4 * KB, encryption: { format: "aes", passphrase: PASSPHRASE } }],
  ["AES, version 2", { clusterSize: 4 * KB, version: 2, encryption: { format: "aes", passphrase: PASSPHRASE } }],
];
const modes: Preallocation[] = ["metadata", "falloc", "full"];
const cases = formats.flatMap(([name, options]) => modes.map((mode) => [name, mode, options] as const));

const noise = (length: number): Uint8Array => new Uint8Array(length).fill(0xaa);

function open(file: RandomAccessFile, options: Qcow2OpenOptions = {}): Promise<Qcow2Image> {
  return openQcow2(file, { passphrase: PASSPHRASE, platform: nodePlatform, ...options });
}

const allZero = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0);

async function expectZeros(image: Qcow2Image, from: number, to: number): Promise<void> {
  const data = new Uint8Array(to - from);
  await image.read(data, from);
  expect(data.findIndex((byte) => byte !== 0)).toBe(-1);
}

async function expectSound(image: Qcow2Image): Promise<void> {
  expect(await image.check()).toMatchObject({ corruptions: 0, leaks: 0, checkErrors: 0 });
}

/** A file that only has what every file has. */
function plainFile(): RandomAccessFile {
  return Object.assign(new MemoryFile("plain"), { punchHole: undefined, allocate: undefined });
}

/** A file of fixed size, like a block device: nothing makes it shorter, and what it held stays. */
function device(bytes: number): RandomAccessFile {
  const file = new MemoryFile("device", noise(bytes));
  return Object.assign(keepOpen(file), { truncate: () => {} });
}

describe("preallocated space reads as zeros", () => {
  it.each(cases)("%s, %s: where clusters were freed", async (_name, mode, options) => {
    for (const file of [plainFile(), new MemoryFile("with calls")]) {
      await createQcow2(file, { size: OLD, platform: nodePlatform, ...options });
      const image = await open(keepOpen(file), { discard: false });
      await image.write(noise(OLD), 0);
      await image.flush();
      await image.discard(0, OLD);
      await image.flush();
      await image.resize(NEW, { preallocation: mode });
      await expectZeros(image, 0, NEW);
      await image.write(noise(1000), OLD + 50 * KB);
      await expectZeros(image, OLD, OLD + 50 * KB);
      await expectZeros(image, OLD + 50 * KB + 1000, NEW);
      await image.close();
      await expectSound(await open(keepOpen(file), { readOnly: true }));
    }
  });

  it.each(cases)("%s, %s: on a device that held something", async (_name, mode, options) => {
    const file = device(8 * 1024 * KB);
    await createQcow2(file, { size: OLD, platform: nodePlatform, ...options, preallocation: mode });
    const image = await open(file);
    await expectZeros(image, 0, OLD);
    await image.resize(NEW, { preallocation: mode });
    await expectZeros(image, 0, NEW);
    await expectSound(image);
    await image.close();
  });

  it.each(modes.flatMap((mode) => [false, true].map((raw) => [mode, raw] as const)))(
    "%s: in an external data file with something behind its end (raw: %s)",
    async (mode, raw) => {
      const file = new MemoryFile("image");
      const data = new MemoryFile("data", noise(1024 * KB));
      const external = { file: keepOpen(data), name: "data", raw };
      await createQcow2(file, { size: OLD, clusterSize: 4 * KB, dataFile: external, preallocation: mode });
      expect(data.size()).toBe(OLD);
      data.write(noise(500 * KB), OLD);
      const image = await openQcow2(file, { dataFile: keepOpen(data) });
      await image.resize(NEW, { preallocation: mode });
      await expectZeros(image, 0, NEW);
      if (raw) expect(allZero(data.bytes().subarray(0, NEW))).toBe(true);
      await expectSound(image);
      await image.close();
    },
  );

  it("a raw data file that grows without preallocation shows zeros", async () => {
    const file = new MemoryFile("image");
    const data = new MemoryFile("data", noise(1024 * KB));
    await createQcow2(file, { size: OLD, dataFile: { file: keepOpen(data), name: "data", raw: true } });
    // Whole clusters, as QEMU makes it.
    expect(data.size()).toBe(320 * KB);
    data.write(noise(500 * KB), OLD);
    const image = await openQcow2(file, { dataFile: keepOpen(data) });
    await image.resize(NEW);
    await expectZeros(image, 0, NEW);
    await image.close();
    expect(allZero(data.bytes().subarray(0, NEW))).toBe(true);
  });

  it("a cluster at the old end that has some subclusters keeps them", async () => {
    const file = new MemoryFile("image");
    await createQcow2(file, { size: 24 * KB, clusterSize: 16 * KB, extendedL2: true });
    const image = await openQcow2(file);
    await image.write(noise(512), 20 * KB);
    await image.resize(64 * KB, { preallocation: "metadata" });
    const data = new Uint8Array(512);
    await image.read(data, 20 * KB);
    expect(data).toEqual(noise(512));
    await expectZeros(image, 20 * KB + 512, 64 * KB);
    await expectSound(image);
    await image.close();
  });

  it("nothing is written to an encrypted image without its passphrase", async () => {
    const file = new MemoryFile("image");
    const encryption = { format: "luks", passphrase: PASSPHRASE, iterTime: 1 } as const;
    await createQcow2(file, { size: OLD + 512, platform: nodePlatform, encryption });
    const unlocked = await open(keepOpen(file));
    await unlocked.write(noise(512), OLD);
    await unlocked.close();
    const locked = await open(keepOpen(file), { passphrase: undefined, metadataOnly: true });
    await expect(locked.resize(NEW)).rejects.toMatchObject({ code: "passphrase-required" });
    expect(locked.size).toBe(OLD + 512);
    await locked.close();
    const image = await open(keepOpen(file));
    await image.resize(NEW);
    await expectZeros(image, OLD + 512, NEW);
    await expectSound(image);
    await image.close();
  });
});

describe.skipIf(!hasQemuImg)("preallocated space in images of qemu-img", () => {
  it.each(modes.flatMap((mode) => ["compat=1.1", "compat=0.10", "extended_l2=on"].map((o) => [mode, o] as const)))(
    "%s, %s",
    async (mode, option) => {
      const folder = temporaryFolder();
      const path = folder.path("image.qcow2");
      try {
        qemuImg("create", "-f", "qcow2", "-o", `cluster_size=16k,${option}`, path, "1M");
        // The clusters are freed, and their content stays in the file: there qemu-img resize would show it.
        const node = `driver=qcow2,discard=unmap,file.driver=file,file.discard=ignore,file.filename=${path}`;
        qemuIo(["--image-opts", node], ["write -P 0xaa 0 1M", "discard 0 1M"]);
        const file = new MemoryFile("image", readFileSync(path));
        expect(file.bytes().includes(0xaa)).toBe(true);
        const image = await openQcow2(keepOpen(file));
        await image.resize(2 * 1024 * KB, { preallocation: mode });
        await image.close();
        writeFileSync(path, file.bytes());
        expect(qemuImg("check", path)).toContain("No errors");
        expect(qemuIo([path], ["read -P 0 0 2M"])).toContain("read 2097152/2097152");
        expect(qemuIo([path], ["read -P 0 0 2M"])).not.toContain("failed");
      } finally {
        folder.remove();
      }
    },
  );
});
