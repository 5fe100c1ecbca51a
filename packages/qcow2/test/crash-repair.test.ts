/**
 * Power loss while a damaged image is repaired: what is left can be repaired, and holds all that the damage left
 * alone, snapshots included. It reads right even before that.
 */
import { afterAll, describe, expect, it } from "vitest";
import {
  createQcow2,
  MemoryFile,
  openQcow2,
  type Qcow2CreateOptions,
  type Qcow2Image,
  type RandomAccessFile,
} from "../src/index.js";
import { losePower } from "./crash/lose-power.js";
import { Recorder } from "./crash/recorder.js";
import { pattern, random } from "./support.js";

const EFFORT = Number(process.env.SOFTMETAL_CRASH ?? 1);
const SEED = Number(process.env.SOFTMETAL_SEED ?? 20);

const KB = 1024;
const SIZE = 120 * KB;

const formats: [string, Omit<Qcow2CreateOptions, "size">][] = [
  ["512-byte clusters", { clusterSize: 512 }],
  ["1-bit refcounts", { clusterSize: 1024, refcountBits: 1 }],
  ["64-bit refcounts", { clusterSize: 512, refcountBits: 64 }],
  ["version 2", { clusterSize: 1024, version: 2 }],
  ["lazy refcounts", { clusterSize: 1024, lazyRefcounts: true }],
  ["extended L2 entries", { clusterSize: 16 * KB, extendedL2: true }],
];

interface Sample {
  readonly bytes: Uint8Array;
  readonly disk: Uint8Array;
  /** Content by the snapshot's name. */
  readonly snapshots: ReadonlyMap<string, Uint8Array>;
}

async function contentOf(image: Qcow2Image): Promise<Uint8Array> {
  const content = new Uint8Array(image.size);
  await image.read(content, 0);
  return content;
}

async function sample(options: Omit<Qcow2CreateOptions, "size">): Promise<Sample> {
  const file = new MemoryFile("image");
  await createQcow2(file, { size: SIZE, ...options });
  const image = await openQcow2(file);
  const { clusterSize } = image;
  const snapshots = new Map<string, Uint8Array>();
  await image.write(pattern(40 * KB, 1), 5000);
  await image.writeCompressed(pattern(clusterSize, 2), 4 * clusterSize);
  if (options.refcountBits !== 1) {
    await image.createSnapshot({ name: "one" });
    snapshots.set("one", await contentOf(image));
    await image.write(pattern(9 * KB, 3), 8 * KB);
    await image.createSnapshot({ name: "two" });
    snapshots.set("two", await contentOf(image));
  }
  await image.writeZeroes(20 * KB, 16 * KB);
  await image.write(pattern(3 * KB, 4), 100 * KB);
  if (options.version !== 2) await image.createBitmap("bitmap", { granularity: 512 });
  const disk = await contentOf(image);
  await image.close();
  return { bytes: file.bytes(), disk, snapshots };
}

/** Bytes of an image, with the places of what is damaged. */
class Victim {
  readonly view: DataView;
  readonly clusterSize: number;

  constructor(readonly bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer);
    this.clusterSize = 2 ** this.view.getUint32(20);
  }

  get refcountTable(): number {
    return Number(this.view.getBigUint64(48));
  }

  /** The first refcount block. */
  get block(): number {
    return Number(this.view.getBigUint64(this.refcountTable));
  }

  get l1(): number {
    return Number(this.view.getBigUint64(40));
  }

  /** The L2 tables of the active state. */
  get l2(): number[] {
    const tables = Array.from({ length: this.view.getUint32(36) }, (_, i) => this.view.getBigUint64(this.l1 + 8 * i));
    return tables.map((entry) => Number(entry & 0x00ff_ffff_ffff_fe00n)).filter((offset) => offset !== 0);
  }
}

type Next = (limit: number) => number;

/** Damages that a repair mends without loss. */
const damages: [string, (victim: Victim, next: Next) => void][] = [
  ["all refcounts are gone", ({ bytes, block, clusterSize }) => void bytes.fill(0, block, block + clusterSize)],
  [
    "refcounts are noise",
    ({ bytes, block, clusterSize }, next) => {
      for (let i = 0; i < clusterSize / 8; i++) bytes[block + i] = next(256);
    },
  ],
  ["some refcounts are too great", ({ bytes, block }, next) => void bytes.fill(0xff, block + 4, block + 8 + next(20))],
  [
    "some refcounts are too small",
    ({ bytes, block }, next) => {
      for (let i = 0; i < 8; i++) bytes[block + 4 + next(60)] &= next(256);
    },
  ],
  ["the refcount block is lost", ({ view, refcountTable }) => view.setBigUint64(refcountTable, 0n)],
  ["the refcount block is not aligned", ({ view, refcountTable }) => view.setUint8(refcountTable + 7, 0xa0)],
  [
    "the refcount block lies over an L2 table",
    ({ view, refcountTable, l2 }) => view.setBigUint64(refcountTable, BigInt(l2[0])),
  ],
  ["the refcount table lies beyond the file", ({ view }) => view.setBigUint64(48, 0x4000_0000n)],
  ["the header has no refcount table", ({ view }) => view.setUint32(56, 0)],
  [
    "COPIED flags are off",
    ({ view, l1, l2, clusterSize }) => {
      view.setUint8(l1, view.getUint8(l1) & 0x7f);
      for (const at of l2) {
        for (let i = 0; i < clusterSize; i += 16) view.setUint8(at + i, view.getUint8(at + i) & 0x7f);
      }
    },
  ],
  [
    "the size of the disk is missing in the snapshots",
    ({ view }) => {
      const table = Number(view.getBigUint64(64));
      if (view.getUint32(60) === 0) return;
      // The extra data ends behind the size of the machine state; what follows is taken for the id and the name.
      const [extra, id] = [view.getUint32(table + 36), view.getUint16(table + 12)];
      const name = view.getUint16(table + 14);
      const text = view.buffer.slice(table + 40 + extra, table + 40 + extra + id + name);
      new Uint8Array(view.buffer, table + 48, id + name).set(new Uint8Array(text));
      view.setUint32(table + 36, 8);
      // The entry stays as long as it was.
      view.setUint16(table + 14, name + extra - 8);
    },
  ],
];

async function openDamaged(file: RandomAccessFile, readOnly: boolean): Promise<Qcow2Image> {
  return openQcow2(file, { readOnly, repair: true, backing: "none" });
}

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

describe("power loss while an image is repaired", () => {
  let total = 0;
  afterAll(() => console.log(`power loss while repairing: ${total} states`));

  it.each(formats)("%s", { timeout: 120_000 * Math.max(1, EFFORT) }, async (_format, options) => {
    const { bytes, disk, snapshots } = await sample(options);
    for (const [index, [damage, apply]] of damages.entries()) {
      const next = random(SEED * 100 + index);
      const damaged = bytes.slice();
      apply(new Victim(damaged), next);
      const recorder = new Recorder([damaged], next);
      const [file] = recorder.files;
      const image = await openDamaged(file, false);
      const result = await image.check({ repair: "all" });
      expect(result.corruptions - result.corruptionsFixed + result.checkErrors, damage).toBe(0);
      await image.close();
      const plan = { initial: [damaged], born: 0, next, exhaustive: 5, samples: 4 * EFFORT, pairs: 2 };
      total += await losePower(recorder, plan, async ([state], epoch) => {
        const what = `${damage}, in the epoch from ${epoch.start} to ${epoch.end}`;
        const before = await openDamaged(state, true);
        expect(same(await contentOf(before), disk), `content before: ${what}`).toBe(true);
        const again = await openDamaged(state, false);
        const repaired = await again.check({ repair: "all" });
        expect(repaired.corruptions - repaired.corruptionsFixed + repaired.checkErrors, `repairs: ${what}`).toBe(0);
        await again.close();
        const sound = await openQcow2(state);
        // A cluster behind the end of the file may have a refcount, which only counts once the file is longer.
        const checked = await sound.check({ repair: "leaks" });
        expect(checked, `repaired: ${what}`).toMatchObject({ corruptions: 0, checkErrors: 0 });
        expect(checked.leaksFixed, `repaired: ${what}`).toBe(checked.leaks);
        expect(same(await contentOf(sound), disk), `content: ${what}`).toBe(true);
        expect(sound.listSnapshots().length, `snapshots: ${what}`).toBe(snapshots.size);
        for (const [position, content] of [...snapshots.values()].entries()) {
          const { id } = sound.listSnapshots()[position];
          const old = await openQcow2(state, { snapshot: id, readOnly: true });
          expect(same(await contentOf(old), content), `snapshot ${id}: ${what}`).toBe(true);
        }
        expect(sound.listBitmaps().length, `bitmaps: ${what}`).toBe(options.version === 2 ? 0 : 1);
        // As good as any other image.
        await sound.write(pattern(5000, 9), 30 * KB);
        await sound.close();
        const written = await openQcow2(state, { readOnly: true });
        expect((await written.check()).corruptions, `written on: ${what}`).toBe(0);
      });
    }
  });
});
