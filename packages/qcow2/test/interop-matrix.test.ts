import { afterAll, describe, expect, it } from "vitest";
import { createQcow2, type Qcow2CreateOptions, type Qcow2Image } from "../src/index.js";
import { nodePlatform, openFile, openImage } from "../src/node/index.js";
import { hasQemuImg, pattern, qemuImg, qemuIo, temporaryFolder, tryQemuImg } from "./support.js";

const folder = temporaryFolder();
afterAll(() => folder.remove());

const SIZE = 6 * 1024 * 1024 + 512 * 5;
const variants: [string, Partial<Qcow2CreateOptions>, string][] = [
  ["default", {}, ""],
  ["compat 0.10", { version: 2 }, "compat=0.10"],
  ["512-byte clusters", { clusterSize: 512 }, "cluster_size=512"],
  ["4 KiB clusters, 1-bit refcounts", { clusterSize: 4096, refcountBits: 1 }, "cluster_size=4k,refcount_bits=1"],
  ["2-bit refcounts", { clusterSize: 1024, refcountBits: 2 }, "cluster_size=1k,refcount_bits=2"],
  ["4-bit refcounts", { clusterSize: 1024, refcountBits: 4 }, "cluster_size=1k,refcount_bits=4"],
  ["8-bit refcounts", { clusterSize: 2048, refcountBits: 8 }, "cluster_size=2k,refcount_bits=8"],
  ["32-bit refcounts", { clusterSize: 512, refcountBits: 32 }, "cluster_size=512,refcount_bits=32"],
  ["64-bit refcounts", { clusterSize: 512, refcountBits: 64 }, "cluster_size=512,refcount_bits=64"],
  ["2 MiB clusters", { clusterSize: 2 * 1024 * 1024 }, "cluster_size=2M"],
  ["lazy refcounts", { lazyRefcounts: true }, "lazy_refcounts=on"],
  ["extended L2", { extendedL2: true }, "extended_l2=on"],
  ["extended L2, 16 KiB", { extendedL2: true, clusterSize: 16384 }, "extended_l2=on,cluster_size=16k"],
  ["zstd", { compressionType: "zstd" }, "compression_type=zstd"],
  ["preallocation metadata", { preallocation: "metadata" }, "preallocation=metadata"],
  ["preallocation falloc", { preallocation: "falloc" }, "preallocation=falloc"],
  ["preallocation full", { preallocation: "full", clusterSize: 4096 }, "preallocation=full,cluster_size=4k"],
  [
    "extended L2, preallocated",
    { extendedL2: true, preallocation: "metadata" },
    "extended_l2=on,preallocation=metadata",
  ],
];

/** Writes, zeros and discards in places that meet cluster borders in every way. */
const steps: [verb: "write" | "zero" | "discard" | "compressed", offset: number, length: number][] = [
  ["write", 0, 700],
  ["write", 65536 * 3 - 100, 200_000],
  ["write", SIZE - 3000, 3000],
  ["zero", 65536 * 4 + 10, 90_000],
  ["write", 65536 * 5, 65536],
  ["discard", 65536 * 3, 65536],
  ["zero", 65536 * 20, 65536 * 3],
  ["write", 65536 * 21 + 1000, 512],
  ["compressed", 65536 * 32, 65536 * 2],
  ["write", 65536 * 32 + 5000, 300],
];

describe.skipIf(!hasQemuImg).each(variants)("%s", (name, options, qemuOptions) => {
  const id = name.replaceAll(/\W/g, "-");

  it("what this library writes passes qemu-img check and reads the same there", async () => {
    const path = folder.path(`${id}-ours.qcow2`);
    const rawPath = folder.path(`${id}-ours.raw`);
    const file = await openFile(path, { create: true });
    await createQcow2(file, { size: SIZE, ...options, platform: nodePlatform });
    await file.close();
    const image = (await openImage(path)) as Qcow2Image;
    const raw = await openFile(rawPath, { create: true });
    await raw.truncate(SIZE);
    for (const [verb, offset, length] of steps) {
      const data = pattern(length, offset);
      if (verb === "write") await image.write(data, offset);
      else if (verb === "zero") await image.writeZeroes(offset, length);
      else if (verb === "discard") await image.discard(offset, length);
      else {
        const { clusterSize } = image;
        const start = Math.floor(offset / clusterSize) * clusterSize;
        for (let at = start; at < offset + length; at += clusterSize) {
          const cluster = new Uint8Array(clusterSize);
          await image.read(cluster, at);
          const from = Math.max(at, offset);
          cluster.set(data.subarray(from - offset, from - offset + clusterSize - (from - at)), from - at);
          await image.writeCompressed(cluster, at);
        }
      }
      // Only whole clusters are discarded.
      if (verb === "discard" && image.clusterSize > length) continue;
      const expected = verb === "zero" || verb === "discard" ? new Uint8Array(length) : data;
      await raw.write(expected, offset);
      const back = new Uint8Array(length);
      await image.read(back, offset);
      expect(Buffer.compare(back, expected), `${verb} at ${offset}`).toBe(0);
    }
    await image.close();
    await raw.close();
    const check = tryQemuImg("check", path);
    expect(check.output).toContain("No errors were found");
    expect(tryQemuImg("compare", "-f", "qcow2", "-F", "raw", path, rawPath).output).toBe("Images are identical.\n");
  });

  it("what qemu-img writes reads the same here and passes our check", async () => {
    const path = folder.path(`${id}-theirs.qcow2`);
    const rawPath = folder.path(`${id}-theirs.raw`);
    qemuImg("create", "-q", "-f", "qcow2", ...(qemuOptions ? ["-o", qemuOptions] : []), path, String(SIZE));
    const commands: string[] = [];
    for (const [verb, offset, length] of steps) {
      if (verb === "write") commands.push(`write -q -P ${(offset % 250) + 1} ${offset} ${length}`);
      else if (verb === "zero") commands.push(`write -q -z -u ${offset} ${length}`);
      else if (verb === "discard") commands.push(`discard -q ${offset} ${length}`);
    }
    qemuIo(["-f", "qcow2", "-d", "unmap", path], commands);
    qemuImg("convert", "-O", "raw", path, rawPath);
    const image = (await openImage(path, { readOnly: true })) as Qcow2Image;
    const raw = await openImage(rawPath, { format: "raw", readOnly: true });
    const ours = new Uint8Array(SIZE);
    const theirs = new Uint8Array(SIZE);
    await image.read(ours, 0);
    await raw.read(theirs, 0);
    expect(Buffer.compare(ours, theirs)).toBe(0);
    const result = await image.check();
    expect(result).toMatchObject({ corruptions: 0, leaks: 0, checkErrors: 0 });
    await image.close();
    await raw.close();
  });
});
