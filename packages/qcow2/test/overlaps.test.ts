import { spawnSync } from "node:child_process";
import { copyFileSync, readFileSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import type { Qcow2Image } from "../src/index.js";
import { openImage } from "../src/node/index.js";
import { COMPRESSED, COPIED, ImageBytes } from "./damaged-images.js";
import { hasQemuImg, qemuImg, qemuIo, temporaryFolder } from "./support.js";

const KB = 1024;
const CORRUPT_BIT = 2;

/** Sends the cluster at guest offset 0 elsewhere. */
const redirect =
  (where: (image: ImageBytes) => number) =>
  (image: ImageBytes): void =>
    image.set(image.dataEntries()[0], COPIED | BigInt(where(image)));

const bitmapTable = (image: ImageBytes): number => Number(image.u64(image.bitmapDirectory!));

/** Damages that direct a write of guest offset 0 at metadata, by what is hit. QEMU does not protect bitmap tables. */
const CASES: readonly { kind: string; how: string; damage: (image: ImageBytes) => unknown; qemu?: false }[] = [
  { kind: "active L1 table", how: "a data cluster", damage: redirect((image) => image.l1Table) },
  {
    kind: "active L2 table",
    how: "a data cluster",
    damage: redirect((image) => image.offsetAt(image.l1Entries()[0])),
  },
  { kind: "refcount table", how: "a data cluster", damage: redirect((image) => image.refcountTable) },
  {
    kind: "refcount block",
    how: "a data cluster",
    damage: redirect((image) => image.offsetAt(image.refcountTable)),
  },
  { kind: "snapshot table", how: "a data cluster", damage: redirect((image) => image.snapshotTable) },
  {
    kind: "inactive L1 table",
    how: "a data cluster",
    damage: redirect((image) => Number(image.u64(image.snapshotTable))),
  },
  { kind: "bitmap directory", how: "a data cluster", damage: redirect((image) => image.bitmapDirectory!) },
  { kind: "bitmap table", how: "a data cluster", damage: redirect(bitmapTable), qemu: false },
  {
    kind: "active L1 table",
    how: "a refcount of 0",
    damage: (image) => {
      image.set(image.dataEntries()[0], 0n);
      image.setRefcount(image.cluster(image.l1Table), 0);
    },
  },
  {
    kind: "active L2 table",
    how: "a refcount of 0",
    damage: (image) => {
      image.set(image.dataEntries()[0], 0n);
      image.setRefcount(image.cluster(image.offsetAt(image.l1Entries()[0])), 0);
    },
  },
  {
    // The block is written before the table.
    kind: "active L2 table",
    how: "the refcount block",
    damage: (image) => image.set(image.l1Entries()[0], COPIED | image.u64(image.refcountTable)),
  },
  {
    kind: "active L1 table",
    how: "an L2 table",
    damage: (image) => image.set(image.l1Entries()[0], COPIED | BigInt(image.l1Table)),
  },
];

describe.skipIf(!hasQemuImg)("writes that damage directs at metadata", () => {
  const folder = temporaryFolder();
  afterAll(() => folder.remove());
  const base = folder.path("base.qcow2");
  if (hasQemuImg) {
    qemuImg("create", "-q", "-f", "qcow2", "-o", "cluster_size=4k", base, "1M");
    qemuIo(["-f", "qcow2", base], ["write -q -P 1 0 64k"]);
    qemuImg("snapshot", "-c", "one", base);
    qemuIo(["-f", "qcow2", base], ["write -q -P 2 0 64k"]);
    qemuImg("bitmap", "--add", "--disable", base, "b");
  }

  it.each(CASES)("$how over the $kind", async ({ kind, damage, qemu }) => {
    const hurt = folder.path("hurt.qcow2");
    copyFileSync(base, hurt);
    const image = new ImageBytes(hurt);
    damage(image);
    image.save();

    if (qemu !== false) {
      const theirs = folder.path("theirs.qcow2");
      copyFileSync(hurt, theirs);
      const { stdout, stderr } = spawnSync("qemu-io", ["-f", "qcow2", "-c", "write -P 3 0 4k", "-c", "flush", theirs], {
        encoding: "utf8",
      });
      expect(stdout + stderr).toContain(`Preventing invalid write on metadata (overlaps with ${kind})`);
      expect(readFileSync(theirs)[79] & CORRUPT_BIT).toBe(CORRUPT_BIT);
    }

    const ours = folder.path("ours.qcow2");
    copyFileSync(hurt, ours);
    const disk = (await openImage(ours, { format: "qcow2" })) as Qcow2Image;
    const write = async (): Promise<void> => {
      await disk.write(new Uint8Array(4 * KB).fill(3), 0);
      await disk.flush();
    };
    const refused = {
      code: "corrupt",
      structure: kind,
      file: ours,
      offset: expect.any(Number),
      reason: `preventing invalid write on metadata (overlaps with ${kind}); image marked as corrupt`,
    };
    await expect(write()).rejects.toMatchObject(refused);
    // Nothing more is written.
    await expect(disk.write(new Uint8Array(512), 32 * KB)).rejects.toMatchObject({ code: "corrupt" });
    await disk.close().catch(() => {});
    const after = readFileSync(ours);
    expect(after[79] & CORRUPT_BIT).toBe(CORRUPT_BIT);
    await expect(openImage(ours, { format: "qcow2" })).rejects.toMatchObject({ code: "corrupt" });
    // But for the bit, the metadata is what it was.
    const offset = placeOf(kind, image);
    const end = Math.min(offset + image.clusterSize, image.data.length);
    expect(after.toString("hex", offset, end)).toBe(image.data.toString("hex", offset, end));
  });

  it("compressed data over the header", async () => {
    const ours = folder.path("compressed.qcow2");
    copyFileSync(base, ours);
    const image = new ImageBytes(ours);
    image.set(image.dataEntries()[0], COMPRESSED);
    image.save();
    const disk = (await openImage(ours, { format: "qcow2" })) as Qcow2Image;
    // Its reference to the header is given up, as any other; the header's refcount cannot fall below one for long.
    await disk.write(new Uint8Array(4 * KB).fill(3), 0);
    await disk.close();
    const again = (await openImage(ours, { format: "qcow2" })) as Qcow2Image;
    await expect(
      (async () => {
        for (let at = 512 * KB; at < 1024 * KB; at += 4 * KB) await again.write(new Uint8Array(4 * KB).fill(4), at);
        await again.flush();
      })().then(() => readFileSync(ours).readUInt32BE(0)),
    ).resolves.toBe(0x514649fb);
    await again.close();
  });
});

/** Where the structure lies that a case protects. */
function placeOf(kind: string, image: ImageBytes): number {
  switch (kind) {
    case "active L1 table":
      return image.l1Table;
    case "active L2 table":
      return image.offsetAt(image.l1Entries()[0]);
    case "refcount table":
      return image.refcountTable;
    case "snapshot table":
      return image.snapshotTable;
    case "inactive L1 table":
      return Number(image.u64(image.snapshotTable));
    case "bitmap directory":
      return image.bitmapDirectory!;
    case "bitmap table":
      return bitmapTable(image);
    default:
      return image.offsetAt(image.refcountTable);
  }
}

describe.skipIf(!hasQemuImg)("what keeps a check from going on", () => {
  const folder = temporaryFolder();
  afterAll(() => folder.remove());

  it.each([
    ["snapshot table", (image: ImageBytes) => image.data.writeUInt32BE(2000, image.snapshotTable + 36)],
    ["snapshot table", (image: ImageBytes) => image.set(image.snapshotTable, 1n << 60n)],
    ["refcount table", (image: ImageBytes) => image.setRefcount(0, 0)],
  ] as const)("names file, structure and offset: %s", async (structure, damage) => {
    const path = folder.path("damaged.qcow2");
    qemuImg("create", "-q", "-f", "qcow2", path, "1M");
    qemuImg("snapshot", "-c", "one", path);
    const image = new ImageBytes(path);
    damage(image);
    image.save();
    const disk = (await openImage(path, { format: "qcow2", repair: true })) as Qcow2Image;
    await expect(disk.check({ repair: "leaks" })).rejects.toMatchObject({
      file: path,
      structure,
      offset: expect.any(Number),
    });
    await disk.close();
  });
});
