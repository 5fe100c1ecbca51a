import { readFileSync, writeFileSync } from "node:fs";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { commit, createQcow2, map, type Qcow2CreateOptions, type Qcow2Image } from "../src/index.js";
import { nodePlatform, openFile, openImage } from "../src/node/index.js";
import { hasQemuImg, qemuImg, qemuIo, temporaryFolder, tryQemuImg } from "./support.js";

const folder = temporaryFolder();
afterAll(() => folder.remove());
const RUNS = Number(process.env.SOFTMETAL_RANDOM_RUNS ?? 4);
const SEED = Number(process.env.SOFTMETAL_SEED ?? 5);
const MB = 1024 * 1024;
const SIZE = 2 * MB;

type Step =
  | { kind: "write" | "zero" | "unmap" | "discard" | "compressed"; offset: number; length: number; value: number }
  | { kind: "snapshot" | "apply" | "delete"; which: number }
  | { kind: "grow"; by: number };

const extent = fc.record({
  offset: fc.nat(SIZE / 512 - 1).map((sector) => sector * 512),
  length: fc.oneof(
    fc.constant(512),
    fc.integer({ min: 1, max: 400 }).map((sectors) => sectors * 512),
    fc.constant(65536),
  ),
  value: fc.integer({ min: 1, max: 255 }),
});
const step: fc.Arbitrary<Step> = fc.oneof(
  ...(["write", "write", "write", "zero", "unmap", "discard", "compressed"] as const).map((kind) =>
    extent.map((e) => ({ kind, ...e })),
  ),
  ...(["snapshot", "apply", "delete"] as const).map((kind) => fc.nat(3).map((which) => ({ kind, which }))),
  fc.integer({ min: 1, max: 200 }).map((sectors) => ({ kind: "grow" as const, by: sectors * 512 })),
);

const variants: [string, Partial<Qcow2CreateOptions>, string][] = [
  ["default", {}, "cluster_size=64k"],
  ["4 KiB clusters with a backing file", { clusterSize: 4096 }, "cluster_size=4k"],
  ["version 2", { version: 2, clusterSize: 4096 }, "compat=0.10,cluster_size=4k"],
  ["extended L2 with a backing file", { extendedL2: true, clusterSize: 16384 }, "extended_l2=on,cluster_size=16k"],
  ["zstd, 512-byte clusters", { clusterSize: 512, compressionType: "zstd" }, "cluster_size=512,compression_type=zstd"],
];

/** Steps as both sides can do them: clipped, aligned, with snapshot names. */
function plan(steps: Step[], options: Partial<Qcow2CreateOptions>): Step[] {
  const clusterSize = options.clusterSize ?? 65536;
  const v2 = options.version === 2;
  const extended = options.extendedL2 === true;
  let size = SIZE;
  let alive: number[] = [];
  let named = 0;
  // QEMU does not compress over a cluster that is there; we do.
  const touched = new Set<number>();
  // With subclusters, QEMU writes all of a request as bytes when it meets a part of a compressed cluster; we do not.
  const compressed: number[] = [];
  const result: Step[] = [];
  for (const action of steps) {
    if ("offset" in action) {
      let { offset } = action;
      let length = Math.min(action.length, size - offset);
      if (action.kind === "compressed") {
        offset -= offset % clusterSize;
        length = Math.min(clusterSize, size - offset);
        if (length < clusterSize || touched.has(offset)) continue;
      }
      if (action.kind === "compressed") compressed.push(offset);
      const zeroing = action.kind === "zero" || action.kind === "unmap";
      const meets = (at: number): boolean => at < offset + length && offset < at + clusterSize;
      if (extended && zeroing && compressed.some(meets)) continue;
      for (let at = offset - (offset % clusterSize); at < offset + length; at += clusterSize) touched.add(at);
      result.push({ ...action, offset, length });
    } else if (action.kind === "snapshot") {
      if (alive.length >= 3) continue;
      alive.push(named);
      result.push({ ...action, which: named++ });
    } else if (action.kind === "grow") {
      if (v2 && alive.length > 0) continue;
      size += action.by;
      result.push(action);
    } else if (alive.length > 0) {
      const which = alive[action.which % alive.length];
      // Sizes differ between snapshots once the disk has grown; that is tested elsewhere.
      if (action.kind === "apply" && size !== SIZE) continue;
      if (action.kind === "delete") alive = alive.filter((id) => id !== which);
      result.push({ ...action, which });
    }
  }
  return result;
}

async function runOurs(path: string, steps: Step[]): Promise<void> {
  const image = (await openImage(path)) as Qcow2Image;
  for (const action of steps) {
    switch (action.kind) {
      case "write":
        await image.write(new Uint8Array(action.length).fill(action.value), action.offset);
        break;
      case "compressed":
        await image.writeCompressed(new Uint8Array(action.length).fill(action.value), action.offset);
        break;
      case "zero":
        await image.writeZeroes(action.offset, action.length, { unmap: false });
        break;
      case "unmap":
        await image.writeZeroes(action.offset, action.length);
        break;
      case "discard":
        await image.discard(action.offset, action.length);
        break;
      case "snapshot":
        await image.createSnapshot({ name: `s${action.which}` });
        break;
      case "apply":
        await image.applySnapshot(`s${action.which}`);
        break;
      case "delete":
        await image.deleteSnapshot(`s${action.which}`);
        break;
      case "grow":
        await image.resize(image.size + action.by);
    }
  }
  await image.close();
}

function runTheirs(path: string, steps: Step[]): void {
  let commands: string[] = [];
  const flush = (): void => {
    if (commands.length > 0) qemuIo(["-f", "qcow2", "-d", "unmap", path], commands);
    commands = [];
  };
  for (const action of steps) {
    if ("offset" in action) {
      const where = `${action.offset} ${action.length}`;
      const verbs = {
        write: `write -q -P ${action.value}`,
        compressed: `write -q -c -P ${action.value}`,
        zero: "write -q -z",
        unmap: "write -q -z -u",
        discard: "discard -q",
      };
      commands.push(`${verbs[action.kind]} ${where}`);
      continue;
    }
    flush();
    if (action.kind === "grow") qemuImg("resize", "-q", "-f", "qcow2", path, `+${action.by}`);
    else qemuImg("snapshot", { snapshot: "-c", apply: "-a", delete: "-d" }[action.kind], `s${action.which}`, path);
  }
  flush();
}

/** Which ranges are data, zero or left to the backing file, without host offsets. */
async function shape(path: string): Promise<string[]> {
  const image = await openImage(path, { readOnly: true });
  const lines: string[] = [];
  let last = "";
  for await (const { offset, data, zero, depth, allocated } of map(image)) {
    const state = `${data ? "data" : ""}${zero ? "zero" : ""}${allocated ? "" : " absent"} depth ${depth}`;
    if (state !== last) lines.push(`${offset} ${state}`);
    last = state;
  }
  lines.push(String(image.size));
  await image.close();
  return lines;
}

/** Commits both images, ours into a copy of the base, and compares what became of it. */
async function commitBoth(ours: string, theirs: string, base: string): Promise<void> {
  const copy = `${base}.copy`;
  const before = readFileSync(base);
  writeFileSync(copy, before);
  const top = await openImage(ours, {
    format: "qcow2",
    backing: await openImage(copy, { format: "raw", readOnly: true }),
  });
  const target = await openImage(copy, { format: "raw" });
  await commit(top, target);
  await target.close();
  await top.close();
  qemuImg("commit", "-q", theirs);
  expect(Buffer.compare(readFileSync(copy), readFileSync(base))).toBe(0);
  expect(tryQemuImg("compare", ours, theirs).output).toBe("Images are identical.\n");
  expect(tryQemuImg("check", ours).output).toContain("No errors were found");
  writeFileSync(base, before);
}

describe.skipIf(!hasQemuImg).each(variants)("random operations: %s", (name, options, qemuOptions) => {
  it("give the same contents, snapshots and map as in qemu-img", async () => {
    const id = name.replaceAll(/\W/g, "-");
    const base = folder.path(`${id}-base.raw`);
    const withBase = name.includes("backing");
    writeFileSync(base, new Uint8Array(SIZE - 100 * 1024).fill(0xee));
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (random) => {
        const ours = folder.path(`${id}-ours.qcow2`);
        const theirs = folder.path(`${id}-theirs.qcow2`);
        const steps = plan(random, options);
        const file = await openFile(ours, { create: true });
        await createQcow2(file, {
          size: SIZE,
          ...options,
          backing: withBase ? { name: base, format: "raw" } : undefined,
          platform: nodePlatform,
        });
        await file.close();
        qemuImg(
          "create",
          "-q",
          "-f",
          "qcow2",
          "-o",
          qemuOptions,
          ...(withBase ? ["-b", base, "-F", "raw"] : []),
          theirs,
          String(SIZE),
        );
        await runOurs(ours, steps);
        runTheirs(theirs, steps);
        expect(tryQemuImg("check", ours).output).toContain("No errors were found");
        expect(tryQemuImg("compare", ours, theirs).output).toBe("Images are identical.\n");
        expect(await shape(ours)).toEqual(await shape(theirs));
        const image = (await openImage(ours)) as Qcow2Image;
        expect(await image.check()).toMatchObject({ corruptions: 0, leaks: 0 });
        for (const { name: snapshot } of image.listSnapshots()) await image.applySnapshot(snapshot);
        await image.close();
        for (const snapshot of ((await openImage(theirs, { readOnly: true })) as Qcow2Image).listSnapshots()) {
          qemuImg("snapshot", "-a", snapshot.name, theirs);
        }
        expect(tryQemuImg("compare", ours, theirs).output).toBe("Images are identical.\n");
        if (withBase) await commitBoth(ours, theirs, base);
      }),
      { numRuns: RUNS, seed: SEED, endOnFailure: process.env.SOFTMETAL_SHRINK === undefined },
    );
  });
});
