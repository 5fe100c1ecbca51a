import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import {
  commit,
  compare,
  convert,
  createQcow2,
  map,
  measureQcow2,
  openRaw,
  type Qcow2Image,
  rebase,
} from "../src/index.js";
import { nodePlatform, openFile, openImage } from "../src/node/index.js";
import { hasQemuImg, pattern, qemuImg, qemuIo, temporaryFolder, tryQemuImg } from "./support.js";

const folder = temporaryFolder();
afterAll(() => folder.remove());
const MB = 1024 * 1024;

async function create(name: string, options: Parameters<typeof createQcow2>[1]): Promise<string> {
  const path = folder.path(name);
  const file = await openFile(path, { create: true });
  await createQcow2(file, { platform: nodePlatform, ...options });
  await file.close();
  return path;
}
const open = async (path: string, readOnly = false): Promise<Qcow2Image> =>
  (await openImage(path, { readOnly })) as Qcow2Image;
const clean = (path: string): void => expect(tryQemuImg("check", path).output).toContain("No errors were found");

describe.skipIf(!hasQemuImg)("snapshots", () => {
  it.each([{}, { version: 2 as const }, { clusterSize: 512 }, { extendedL2: true }])(
    "created here work there: %o",
    async (options) => {
      const path = await create(`snap-${JSON.stringify(options).replaceAll(/\W/g, "")}.qcow2`, {
        size: 4 * MB,
        ...options,
      });
      const image = await open(path);
      await image.write(new Uint8Array(300_000).fill(1), 100);
      await image.createSnapshot({ name: "first" });
      await image.write(new Uint8Array(300_000).fill(2), 70_000);
      await image.createSnapshot({ name: "second" });
      await image.write(new Uint8Array(1_000_000).fill(3), 200_000);
      await image.close();
      clean(path);
      expect(qemuImg("snapshot", "-l", path)).toMatch(/1\s+first[\s\S]*2\s+second/);
      const state = folder.path("state.raw");
      qemuImg("convert", "-l", "first", "-O", "raw", path, state);
      expect(
        readFileSync(state)
          .subarray(100, 300_100)
          .every((byte) => byte === 1),
      ).toBe(true);
      qemuImg("snapshot", "-a", "first", path);
      qemuIo(["-f", "qcow2", path], ["read -P 1 100 300000", "read -P 0 310000 4096"]);
      const again = await open(path);
      await again.applySnapshot("second");
      await again.deleteSnapshot("first");
      await again.close();
      clean(path);
      qemuIo(["-f", "qcow2", path], ["read -P 1 100 69000", "read -P 2 70000 300000"]);
      const last = await open(path);
      await last.deleteSnapshot("2");
      expect(last.listSnapshots()).toEqual([]);
      await last.close();
      clean(path);
    },
  );

  it("created there are listed, applied and deleted here", async () => {
    const path = folder.path("theirs.qcow2");
    qemuImg("create", "-q", "-f", "qcow2", path, "4M");
    qemuIo(["-f", "qcow2", path], ["write -q -P 7 0 1M"]);
    qemuImg("snapshot", "-c", "old", path);
    qemuIo(["-f", "qcow2", path], ["write -q -P 8 512k 1M"]);
    const image = await open(path);
    expect(image.listSnapshots()).toMatchObject([{ id: "1", name: "old", diskSize: 4 * MB, vmStateSize: 0 }]);
    await image.applySnapshot("old");
    await image.deleteSnapshot("old");
    await image.close();
    clean(path);
    qemuIo(["-f", "qcow2", path], ["read -P 7 0 1M", "read -P 0 1M 1M"]);
  });

  it("bring back their size", async () => {
    const path = await create("sizes.qcow2", { size: 4 * MB, clusterSize: 512 });
    const image = await open(path);
    await image.write(pattern(4 * MB, 1), 0);
    await image.createSnapshot({ name: "small" });
    await image.resize(9 * MB);
    await image.write(pattern(MB, 2), 8 * MB);
    await image.createSnapshot({ name: "large" });
    await image.applySnapshot("small");
    expect(image.size).toBe(4 * MB);
    expect(await image.check()).toMatchObject({ corruptions: 0, leaks: 0 });
    await image.close();
    clean(path);
    qemuImg("snapshot", "-a", "large", path);
    const again = await open(path);
    expect(again.size).toBe(9 * MB);
    const back = new Uint8Array(MB);
    await again.read(back, 8 * MB);
    expect(Buffer.compare(back, pattern(MB, 2))).toBe(0);
    await again.close();
    clean(path);
  });

  it("a snapshot can be opened, and its machine state is kept", async () => {
    const path = await create("state.qcow2", { size: 4 * MB });
    const image = await open(path);
    await image.write(pattern(100_000, 1), 0);
    const state = pattern(200_000, 2);
    await image.writeVmState(state, 0);
    await image.createSnapshot({ name: "running", vmStateSize: state.length, vmClock: 123_456_789n });
    await image.write(new Uint8Array(100_000), 0);
    await image.close();
    clean(path);
    const snapshot = (await openImage(path, { snapshot: "running" })) as Qcow2Image;
    const disk = new Uint8Array(100_000);
    await snapshot.read(disk, 0);
    expect(Buffer.compare(disk, pattern(100_000, 1))).toBe(0);
    const back = new Uint8Array(state.length);
    await snapshot.readVmState(back, 0);
    expect(Buffer.compare(back, state)).toBe(0);
    expect(snapshot.listSnapshots()[0]).toMatchObject({ vmStateSize: state.length, vmClock: 123_456_789n });
    await snapshot.close();
  });
});

describe.skipIf(!hasQemuImg)("bitmaps", () => {
  const bitmapsOf = (path: string): unknown =>
    JSON.parse(qemuImg("info", "--output=json", path))["format-specific"].data.bitmaps;

  it("are recorded here and kept consistent for qemu-img", async () => {
    const path = await create("bitmap.qcow2", { size: 64 * MB });
    const image = await open(path);
    await image.createBitmap("b0");
    await image.createBitmap("b1", { granularity: 4096, enabled: false });
    await image.write(new Uint8Array(1000), 10 * MB - 500);
    await image.close();
    clean(path);
    expect(bitmapsOf(path)).toEqual([
      { flags: ["auto"], name: "b0", granularity: 65536 },
      { flags: [], name: "b1", granularity: 4096 },
    ]);
    const again = await open(path);
    const ranges = async (name: string): Promise<unknown[]> => {
      const list = [];
      for await (const range of again.dirtyRanges(name)) list.push(range);
      return list;
    };
    expect(await ranges("b0")).toEqual([{ offset: 10 * MB - 65536, length: 2 * 65536 }]);
    expect(await ranges("b1")).toEqual([]);
    await again.mergeBitmap("b1", "b0");
    await again.setBitmapEnabled("b0", false);
    expect(await ranges("b1")).toEqual([{ offset: 10 * MB - 65536, length: 2 * 65536 }]);
    await again.clearBitmap("b0");
    expect(await ranges("b0")).toEqual([]);
    await again.resize(130 * MB);
    await again.close();
    clean(path);
    qemuImg("bitmap", "--remove", path, "b0");
    qemuImg("bitmap", "--add", "--enable", path, "b2");
    qemuImg("bitmap", "--merge", "b1", path, "b2");
    const last = await open(path);
    const merged = [];
    for await (const range of last.dirtyRanges("b2")) merged.push(range);
    expect(merged).toEqual([{ offset: 10 * MB - 65536, length: 2 * 65536 }]);
    await last.removeBitmap("b1");
    await last.removeBitmap("b2");
    await last.close();
    clean(path);
    expect(bitmapsOf(path)).toBeUndefined();
  });
});

describe.skipIf(!hasQemuImg)("chains", () => {
  it("overlays, commit and rebase agree with qemu-img", async () => {
    const base = folder.path("base.raw");
    writeFileSync(base, pattern(3 * MB, 5));
    await create("middle.qcow2", { size: 4 * MB, backing: { name: "base.raw", format: "raw" } });
    const top = await create("top.qcow2", {
      size: 4 * MB,
      backing: { name: "middle.qcow2", format: "qcow2" },
      extendedL2: true,
    });
    const image = await open(top);
    await image.write(pattern(5000, 6), 1_000_000);
    await image.writeZeroes(2 * MB, 100_000);
    const flat = new Uint8Array(4 * MB);
    await image.read(flat, 0);
    await image.close();
    clean(top);
    const flatPath = folder.path("flat.raw");
    writeFileSync(flatPath, flat);
    expect(tryQemuImg("compare", "-F", "raw", top, flatPath).output).toContain("identical");
    const info = JSON.parse(qemuImg("info", "--output=json", top));
    expect(info["backing-filename"]).toBe("middle.qcow2");
    expect(info["backing-filename-format"]).toBe("qcow2");

    const rebased = await open(top);
    const raw = await openImage(base, { format: "raw", readOnly: true });
    await rebase(rebased, { name: "base.raw", format: "raw", disk: raw });
    await rebased.close();
    await raw.close();
    clean(top);
    expect(tryQemuImg("compare", "-F", "raw", top, flatPath).output).toContain("identical");

    const last = await open(top);
    const writable = await openRaw(await openFile(base));
    await commit(last, writable);
    await writable.close();
    await last.close();
    expect(Buffer.compare(readFileSync(base), flat)).toBe(0);
    clean(top);
    expect(tryQemuImg("compare", "-F", "raw", top, flatPath).output).toContain("identical");
  });

  it("json: names are understood", async () => {
    const base = folder.path("json-base.raw");
    writeFileSync(base, pattern(MB, 8));
    const name = `json:{"driver":"raw","offset":512,"size":65536,"file":{"driver":"file","filename":"${base}"}}`;
    const top = await create("json.qcow2", { size: MB, backing: { name } });
    const image = await open(top, true);
    const data = new Uint8Array(65536);
    await image.read(data, 0);
    expect(Buffer.compare(data, pattern(MB, 8).slice(512, 512 + 65536))).toBe(0);
    await image.close();
  });
});

describe.skipIf(!hasQemuImg)("external data files", () => {
  it.each([false, true])("raw: %s", async (raw) => {
    const dataPath = folder.path(`data-${raw}.bin`);
    const data = await openFile(dataPath, { create: true });
    const path = await create(`data-${raw}.qcow2`, {
      size: 4 * MB,
      dataFile: { file: data, name: dataPath, raw },
    });
    await data.close();
    const image = await open(path);
    const content = pattern(500_000, 4);
    await image.write(content, 1_000_001);
    await image.writeZeroes(1_048_576, 65536);
    await image.discard(1_310_720, 65536);
    await image.close();
    clean(path);
    const flat = new Uint8Array(4 * MB);
    flat.set(content, 1_000_001);
    flat.fill(0, 1_048_576, 1_048_576 + 65536);
    flat.fill(0, 1_310_720, 1_310_720 + 65536);
    const flatPath = folder.path(`data-${raw}.raw`);
    writeFileSync(flatPath, flat);
    expect(tryQemuImg("compare", "-F", "raw", path, flatPath).output).toContain("identical");
    if (raw) expect(Buffer.compare(readFileSync(dataPath).subarray(0, 4 * MB), flat)).toBe(0);
    qemuIo(["-f", "qcow2", path], ["write -q -P 9 3M 64k"]);
    const again = await open(path, true);
    const back = new Uint8Array(65536);
    await again.read(back, 3 * MB);
    expect(back.every((byte) => byte === 9)).toBe(true);
    await again.close();
  });
});

describe.skipIf(!hasQemuImg)("whole-image operations", () => {
  it.each(["zlib", "zstd"] as const)("convert to compressed %s and back", async (compressionType) => {
    const source = folder.path(`mixed-${compressionType}.raw`);
    const content = new Uint8Array(8 * MB + 1536);
    content.set(pattern(2 * MB, 1), 0);
    content.set(pattern(MB, 2), 5 * MB + 77);
    crypto.getRandomValues(content.subarray(7 * MB, 7 * MB + 65536));
    writeFileSync(source, content);
    const target = await create(`packed-${compressionType}.qcow2`, { size: content.length, compressionType });
    const from = await openImage(source, { format: "raw", readOnly: true });
    const to = (await openImage(target, { cache: "unsafe" })) as Qcow2Image;
    await convert(from, to, { compress: true, targetIsZero: true });
    await to.close();
    clean(target);
    expect(tryQemuImg("compare", "-f", "raw", source, target).output).toContain("identical");
    const theirs = folder.path(`packed-theirs-${compressionType}.qcow2`);
    qemuImg("convert", "-c", "-O", "qcow2", "-o", `compression_type=${compressionType}`, source, theirs);
    const packed = await openImage(theirs, { readOnly: true });
    expect(await compare(from, packed)).toEqual({ equal: true });
    const flat = await create(`flat-${compressionType}.qcow2`, { size: packed.size, clusterSize: 4096 });
    const flatImage = await openImage(flat);
    await convert(packed, flatImage, { targetIsZero: true });
    expect(await compare(from, flatImage)).toEqual({ equal: true });
    await flatImage.write(new Uint8Array([1]), 6 * MB + 5);
    expect(await compare(from, flatImage)).toMatchObject({ equal: false, reason: "content", offset: 6 * MB });
    await Promise.all([from.close(), packed.close(), flatImage.close()]);
    clean(flat);
  });

  it("resize both ways, amend, measure and map as qemu-img does", async () => {
    const path = await create("resize.qcow2", { size: 10 * MB, clusterSize: 4096 });
    const image = await open(path);
    await image.write(new Uint8Array(10 * MB).fill(6), 0);
    await image.resize(200 * MB);
    await image.write(new Uint8Array(MB).fill(7), 150 * MB);
    await expect(image.resize(5 * MB)).rejects.toMatchObject({ code: "conflict" });
    await image.resize(5 * MB, { shrink: true });
    await image.resize(6 * MB);
    await image.close();
    clean(path);
    qemuIo(["-f", "qcow2", path], ["read -P 6 0 5M", "read -P 0 5M 1M"]);
    const again = await open(path);
    await again.amend({ refcountBits: 32, lazyRefcounts: true });
    expect(again.info()).toMatchObject({ refcountBits: 32, lazyRefcounts: true });
    await again.write(new Uint8Array(100).fill(1), 0);
    await again.close();
    clean(path);
    const once = await open(path);
    await once.amend({ refcountBits: 16, lazyRefcounts: false });
    await once.writeZeroes(MB, MB);
    await once.amend({ version: 2 });
    await once.close();
    clean(path);
    const last = await open(path);
    expect(last.info().version).toBe(2);
    await last.amend({ version: 3 });
    const extents = [];
    for await (const { offset, length, allocated, data, zero, depth, hostOffset } of map(last)) {
      extents.push({
        start: offset,
        length,
        depth,
        present: allocated,
        zero,
        data,
        ...(hostOffset === undefined ? {} : { offset: hostOffset }),
      });
    }
    await last.close();
    expect(extents).toEqual(JSON.parse(qemuImg("map", "--output=json", path)));
    const measured = await measureQcow2({ size: 10 * MB }, { clusterSize: 4096 });
    const theirs = JSON.parse(
      qemuImg("measure", "--output=json", "-O", "qcow2", "-o", "cluster_size=4096", "--size", "10M"),
    );
    expect(measured).toMatchObject({ required: theirs.required, fullyAllocated: theirs["fully-allocated"] });
    const source = await open(path, true);
    const full = JSON.parse(qemuImg("measure", "--output=json", "-O", "qcow2", path));
    expect(await measureQcow2(source)).toMatchObject({
      required: full.required,
      fullyAllocated: full["fully-allocated"],
    });
    await source.close();
  });

  it("very large and very small disks", async () => {
    const path = await create("huge.qcow2", { size: 60 * 1024 ** 4, clusterSize: 2 * MB, refcountBits: 1 });
    const image = await open(path);
    await image.write(pattern(5000, 1), 60 * 1024 ** 4 - 5000);
    await image.write(pattern(5000, 2), 31 * 1024 ** 4);
    await image.close();
    clean(path);
    const same = await open(path, true);
    const back = new Uint8Array(5000);
    await same.read(back, 60 * 1024 ** 4 - 5000);
    expect(Buffer.compare(back, pattern(5000, 1))).toBe(0);
    await same.close();
    const empty = await create("empty.qcow2", { size: 0 });
    const none = await open(empty);
    await none.resize(512);
    await none.write(new Uint8Array(512).fill(3), 0);
    await none.close();
    clean(empty);
    qemuIo(["-f", "qcow2", empty], ["read -P 3 0 512"]);
  });

  it("repairs what qemu-img calls leaks and errors", async () => {
    const path = await create("broken.qcow2", { size: 10 * MB });
    const image = await open(path);
    await image.write(new Uint8Array(MB).fill(1), 0);
    await image.close();
    const bytes = readFileSync(path);
    // Cluster 2 is the refcount block: one leak, two missing counts.
    bytes.writeUInt16BE(2, 2 * 65536 + 2 * 10);
    bytes.writeUInt16BE(0, 2 * 65536 + 2 * 8);
    bytes.writeUInt16BE(0, 2 * 65536 + 2 * 9);
    writeFileSync(path, bytes);
    const theirs = JSON.parse(tryQemuImg("check", "--output=json", path).stdout);
    const check = (await openImage(path, { repair: true })) as Qcow2Image;
    const result = await check.check();
    expect(result).toMatchObject({
      leaks: theirs.leaks,
      // qemu-img takes the flag of the leaked cluster for one more.
      corruptions: theirs.corruptions - 1,
      flagsOverLeaks: 1,
      totalClusters: theirs["total-clusters"],
      allocatedClusters: theirs["allocated-clusters"],
    });
    const repaired = await check.check({ repair: "all" });
    expect(repaired.corruptionsFixed).toBe(repaired.corruptions);
    expect(repaired.leaksFixed).toBe(1);
    await check.close();
    clean(path);
  });

  it("rebuilds a destroyed refcount table", async () => {
    const path = await create("rebuild.qcow2", { size: 10 * MB, clusterSize: 1024 });
    const image = await open(path);
    await image.write(pattern(MB, 1), 12345);
    await image.createSnapshot({ name: "s" });
    await image.write(pattern(1000, 1), 0);
    await image.close();
    const bytes = readFileSync(path);
    bytes.fill(0xff, 1024, 2048);
    writeFileSync(path, bytes);
    const check = (await openImage(path, { repair: true })) as Qcow2Image;
    await check.check({ repair: "all" });
    const back = new Uint8Array(MB);
    await check.read(back, 12345);
    expect(Buffer.compare(back, pattern(MB, 1))).toBe(0);
    await check.close();
    clean(path);
  });
});
