import { type Disk, MemoryFile, openRaw, Qcow2Error, type Qcow2Image } from "../../src/index.js";
import { backingNames, type Configuration, type Opened, openImages } from "./configurations.js";
import type { BitmapState, Model } from "./model.js";
import { type ScratchFile, SECTOR } from "./scratch-file.js";
import { fillSectors, type Recording } from "./workload.js";

/** When power was lost, in terms of the model. */
export interface Moment {
  /** Index of the last flush that is certain. */
  readonly floor: number;
  /** The same of the image that is committed into. */
  readonly baseFloor: number;
  /** Nothing that began after this moment is on the disk. */
  readonly latest: number;
}

/** What else is examined of a state, for a part of them. */
export interface Depth {
  /** Contents of all snapshots. */
  readonly snapshots: boolean;
  /** Repairs leaks, writes, takes and drops a snapshot, and opens the image again. */
  readonly goOn: boolean;
}

/** A promise that power loss broke. */
export class BrokenPromise extends Error {
  override readonly name = "BrokenPromise";
}

export function demand(condition: boolean, message: () => string): asserts condition {
  if (!condition) throw new BrokenPromise(message());
}

/** Opens the images as they are after power loss, and throws when something of what is promised is not so. */
export async function examine(
  { configuration, model, baseModel }: Recording,
  files: readonly ScratchFile[],
  moment: Moment,
  depth: Depth,
): Promise<void> {
  const opened = await openImages(configuration, files);
  const { image, base } = opened;
  const { backingFile } = image.info();
  demand(backingNames(configuration).includes(backingFile), () => `the backing file is ${backingFile}`);
  await clean(image, "image");
  const values = await contents(image, model, moment.floor, moment.latest);
  if (image.core.dataFileRaw) await rawData(files[1], image.size, model, moment);
  if (base !== undefined) {
    await clean(base, "base");
    await contents(base, baseModel!, moment.baseFloor, moment.latest);
  }
  const snapshots = snapshotsOf(image, model, moment);
  if (depth.snapshots) {
    for (const { id, sectors, values: expected, state } of snapshots) {
      const old = (await openImages(configuration, files, { snapshot: id, readOnly: true })).image;
      demand(old.size === sectors * SECTOR, () => `snapshot ${id} has ${old.size} bytes`);
      const found = await readSectors(old);
      const wrong = found.findIndex((value, i) => value !== expected[i]);
      demand(wrong < 0, () => `sector ${wrong} of snapshot ${id} holds ${found[wrong]} instead of ${expected[wrong]}`);
      const saved = new Uint8Array(state.length * SECTOR);
      await old.readVmState(saved, 0);
      demand(
        fillSectors(state).every((byte, i) => byte === saved[i]),
        () => `the machine state of snapshot ${id} has changed`,
      );
    }
  }
  await bitmapsOf(image, model, moment, values);
  if (depth.goOn) await goOn(configuration, files, opened, values);
}

async function clean(image: Qcow2Image, name: string): Promise<void> {
  const result = await image.check();
  demand(
    result.corruptions === 0 && result.checkErrors === 0,
    () => `${name}: ${result.corruptions} corruptions, ${result.checkErrors} errors: ${texts(result.messages)}`,
  );
}

function texts(messages: readonly { text: string }[]): string {
  return messages.map(({ text }) => text).join("; ");
}

/** The number in each sector; a sector that does not hold one number throws. */
async function readSectors(disk: Disk): Promise<number[]> {
  const words = new Uint32Array(disk.size / 4);
  await disk.read(new Uint8Array(words.buffer), 0);
  const values: number[] = [];
  for (let at = 0; at < words.length; at += SECTOR / 4) {
    const value = words[at];
    for (let i = at; i < at + SECTOR / 4; i++) {
      if (words[i] === value) continue;
      throw new BrokenPromise(`sector ${(at * 4) / SECTOR} holds ${value} and ${words[i]}`);
    }
    values.push(value);
  }
  return values;
}

/** Compares a disk with the model and returns the number in each sector. */
export async function contents(image: Disk, model: Model, floor: number, latest: number): Promise<number[]> {
  const sizes = model.possible(model.sizes, model.flushed[floor].sizes, latest);
  demand(
    sizes.some(({ sectors }) => sectors * SECTOR === image.size),
    () => `the disk has ${image.size / SECTOR} sectors, allowed ${sizes.map(({ sectors }) => sectors).join(" ")}`,
  );
  const values = await readSectors(image);
  values.forEach((value, sector) => {
    demand(
      model.allows(sector, value, floor, latest),
      () => `sector ${sector} holds ${value}, allowed ${model.allowed(sector, floor, latest).join(" ")}`,
    );
  });
  return values;
}

/** A raw data file holds by itself what the disk does. */
async function rawData(file: ScratchFile, size: number, model: Model, { floor, latest }: Moment): Promise<void> {
  const whole = new MemoryFile(file.name, file.bytes());
  whole.truncate(size);
  (await readSectors(await openRaw(whole))).forEach((value, sector) => {
    demand(
      model.allows(sector, value, floor, latest),
      () => `sector ${sector} of the raw data file holds ${value}, allowed ${model.allowed(sector, floor, latest)}`,
    );
  });
}

function snapshotsOf(image: Qcow2Image, model: Model, { floor, latest }: Moment): Model["currentSnapshots"] {
  const ids = image.listSnapshots().map(({ id }) => id);
  const candidates = model.possible(model.snapshots, model.flushed[floor].snapshots, latest);
  const found = candidates.find(({ list }) => list.length === ids.length && list.every(({ id }, i) => ids[i] === id));
  demand(found !== undefined, () => `snapshots ${ids.join(" ")} are not what is possible`);
  return found.list;
}

/** A bitmap that counts as consistent has to know all changes. */
async function bitmapsOf(image: Qcow2Image, model: Model, { floor, latest }: Moment, values: number[]): Promise<void> {
  const bitmaps = image.listBitmaps();
  const certain = model.flushed[floor];
  const candidates = model.possible(model.bitmaps, certain.bitmaps, latest);
  const names = bitmaps.map(({ name }) => name).sort();
  const possible = candidates.filter(
    ({ list }) => list.length === names.length && list.every(({ name }) => names.includes(name)),
  );
  demand(possible.length > 0, () => `bitmaps ${names.join(" ")} are not what is possible`);
  for (const { name, inconsistent, enabled } of bitmaps) {
    if (inconsistent) continue;
    const states = possible.map(({ list }) => list.find((bitmap) => bitmap.name === name)!);
    demand(
      states.some((state) => state.enabled === enabled),
      () => `bitmap ${name} is ${enabled ? "on" : "off"}`,
    );
    const marked = new Set<number>();
    for await (const { offset, length } of image.dirtyRanges(name)) {
      for (let at = offset; at < offset + length; at += SECTOR) marked.add(at / SECTOR);
    }
    const missing = (state: BitmapState): number =>
      values.findIndex((value, sector) => {
        if (marked.has(sector) || state.missed.has(sector)) return false;
        const first = certain.lengths[sector] - 1;
        const position = model.history[sector].findIndex((entry, i) => i >= first && entry.value === value);
        return position >= state.since[sector];
      });
    demand(
      states.some((state) => missing(state) < 0),
      () => `bitmap ${name} counts as consistent and does not mark sector ${missing(states[0])}`,
    );
  }
}

/** The image has to be as good as any other: it is repaired, written, closed and opened again. */
async function goOn(
  configuration: Configuration,
  files: readonly ScratchFile[],
  { image, base }: Opened,
  values: number[],
): Promise<void> {
  if (base !== undefined) await repairLeaks(base);
  await repairLeaks(image);
  const cluster = image.clusterSize / SECTOR;
  const expected = [...values];
  const write = async (start: number, count: number, value: number): Promise<void> => {
    const fresh = Array(Math.min(count, values.length - start)).fill(value);
    await image.write(fillSectors(fresh), start * SECTOR);
    expected.splice(start, fresh.length, ...fresh);
  };
  await write(0, 3, 0xfeed_0000);
  await write(values.length >> 1, cluster + 1, 0xfeed_0001);
  const zeroed = Math.min(7, values.length - 20);
  await image.writeZeroes(20 * SECTOR, zeroed * SECTOR);
  expected.fill(0, 20, 20 + zeroed);
  if (!image.core.hasDataFile) {
    try {
      const { id } = await image.createSnapshot({ name: "after" });
      await write(values.length - 5, 5, 0xfeed_0002);
      await image.deleteSnapshot(id);
    } catch (error) {
      if (!(error instanceof Qcow2Error) || error.code !== "conflict") throw error;
    }
  }
  await image.flush();
  await image.close();
  const again = await openImages(configuration, files, { readOnly: true });
  await clean(again.image, "image that was written on");
  const found = await readSectors(again.image);
  const wrong = found.findIndex((value, i) => value !== expected[i]);
  demand(wrong < 0, () => `written on, sector ${wrong} holds ${found[wrong]} instead of ${expected[wrong]}`);
}

async function repairLeaks(image: Qcow2Image): Promise<void> {
  const repaired = await image.check({ repair: "leaks" });
  demand(
    repaired.leaksFixed === repaired.leaks,
    () => `${repaired.leaks - repaired.leaksFixed} leaks were not repaired`,
  );
  const after = await image.check();
  demand(
    after.corruptions === 0 && after.leaks === 0 && after.checkErrors === 0,
    () => `repaired: ${after.corruptions} corruptions, ${after.leaks} leaks: ${texts(after.messages)}`,
  );
}
