import { type AmendOptions, commit, Qcow2Error, type Qcow2Image, rebase } from "../../src/index.js";
import { random } from "../support.js";
import {
  backingNames,
  backingValue,
  type Configuration,
  createImages,
  type Opened,
  openBackingFile,
  openImages,
  type StepKind,
} from "./configurations.js";
import { type BitmapState, Model } from "./model.js";
import { Recorder } from "./recorder.js";
import { SECTOR } from "./scratch-file.js";

/** What a run of random work left behind: the log, and what the disks may hold at each moment of it. */
export interface Recording {
  readonly configuration: Configuration;
  readonly recorder: Recorder;
  /** The moment when the images were complete and flushed; power is not lost before. */
  readonly born: number;
  readonly model: Model;
  /** The image that is committed into. */
  readonly baseModel: Model | undefined;
  /** What was done, each with the moment when it began; for messages. */
  readonly steps: readonly { from: number; text: string }[];
}

const MAX_SNAPSHOTS = 3;
const MAX_WRITE = 40;

/** A sector full of one number; 0 gives zeros. */
export function fillSectors(values: readonly number[]): Uint8Array {
  const words = new Uint32Array((values.length * SECTOR) / 4);
  values.forEach((value, i) => {
    words.fill(value, (i * SECTOR) / 4, ((i + 1) * SECTOR) / 4);
  });
  return new Uint8Array(words.buffer);
}

export async function record(configuration: Configuration, steps: number, seed: number): Promise<Recording> {
  const next = random(seed * 2 + 1);
  for (let i = 0; i < 10; i++) next(2);
  const recorder = new Recorder([undefined, undefined], next);
  await createImages(configuration, recorder.files);
  if (configuration.leaked !== undefined) {
    const { image } = await openImages(configuration, recorder.files);
    await image.core.metadata.run(() => image.core.refcounts.allocateExact(configuration.leaked!));
    await image.close();
  }
  for (const file of recorder.files) await file.flush();
  const work = new Work(configuration, recorder, next);
  await work.open();
  for (let i = 0; i < steps; i++) await work.step();
  await work.close();
  const { born, model, baseModel, steps: list } = work;
  return { configuration, recorder, born, model, baseModel, steps: list };
}

class Work {
  readonly born: number;
  readonly model: Model;
  readonly baseModel: Model | undefined;
  readonly steps: { from: number; text: string }[] = [];
  readonly #configuration: Configuration;
  readonly #recorder: Recorder;
  readonly #next: (limit: number) => number;
  readonly #kinds: StepKind[] = [];
  #opened!: Opened;
  #value = 0;
  #bitmaps = 0;
  /** Machine state for the next snapshot, by sectors. */
  #state: readonly number[] = [];
  /** Requests under way, with the sectors they touch. */
  #pending: { start: number; end: number; done: Promise<void> }[] = [];

  constructor(configuration: Configuration, recorder: Recorder, next: (limit: number) => number) {
    this.#configuration = configuration;
    this.#recorder = recorder;
    this.#next = next;
    this.born = recorder.now;
    const { sectors, limit } = configuration;
    const initial = Array.from({ length: limit }, (_, i) => (i < sectors ? backingValue(configuration, i) : 0));
    this.model = new Model(initial, sectors, this.born);
    if (configuration.second === "base") this.baseModel = new Model(Array(limit).fill(0), sectors, this.born);
    for (const [kind, weight] of Object.entries(configuration.steps)) {
      for (let i = 0; i < weight; i++) this.#kinds.push(kind as StepKind);
    }
  }

  get #now(): number {
    return this.#recorder.now;
  }

  get #image(): Qcow2Image {
    return this.#opened.image;
  }

  async open(): Promise<void> {
    const cluster = this.#configuration.create.clusterSize ?? 65536;
    // A small cache, so that metadata has to be written in the middle of the work.
    const tables = 4 + this.#next(8);
    this.#opened = await openImages(this.#configuration, this.#recorder.files, {
      l2CacheSize: tables * cluster,
      refcountCacheSize: tables * cluster,
    });
  }

  async close(): Promise<void> {
    await this.#settle();
    const progress = this.model.completed();
    await this.#image.close();
    this.model.flush(progress, this.#now);
  }

  async #settle(): Promise<void> {
    const pending = this.#pending;
    this.#pending = [];
    await Promise.all(pending.map(({ done }) => done));
  }

  /** Starts a request. Requests that touch have no order, so that the model wants one of them to be over. */
  async #start(start: number, end: number, request: () => Promise<void>): Promise<void> {
    const cluster = this.#image.clusterSize / SECTOR;
    const from = start - (start % cluster);
    const to = Math.ceil(end / cluster) * cluster;
    if (this.#pending.some((other) => other.start < to && from < other.end) || this.#next(3) === 0) {
      await this.#settle();
    }
    this.#pending.push({ start: from, end: to, done: request() });
  }

  #change(start: number, values: readonly number[]): void {
    values.forEach((value, i) => {
      this.model.set(start + i, value, this.#now);
    });
    for (const { enabled, missed } of this.model.currentBitmaps) {
      if (!enabled) values.forEach((_, i) => void (missed as Set<number>).add(start + i));
    }
  }

  #fresh(start: number, count: number): number[] {
    this.#value++;
    return Array.from({ length: count }, (_, i) => this.#value * 4096 + start + i);
  }

  async step(): Promise<void> {
    const kind = this.#kinds[this.#next(this.#kinds.length)];
    const { sectors } = this.model;
    const start = this.#next(sectors);
    const longest = this.#next(4) === 0 ? MAX_WRITE : 6;
    const count = Math.min(sectors - start, 1 + this.#next(longest));
    this.steps.push({ from: this.#now, text: `${kind} ${start}+${count} of ${sectors}` });
    switch (kind) {
      case "write":
        return this.#start(start, start + count, () => {
          const values = this.#fresh(start, count);
          this.#change(start, values);
          return this.#image.write(fillSectors(values), start * SECTOR);
        });
      case "zero":
        return this.#start(start, start + count, () => {
          this.#change(start, Array(count).fill(0));
          return this.#image.writeZeroes(start * SECTOR, count * SECTOR, { unmap: this.#next(2) === 0 });
        });
      case "discard":
        return this.#start(start, start + count, () => this.#discard(start, count));
      case "compressed":
        return this.#compressed(start);
      case "flush":
        return this.#flush();
      default:
        await this.#settle();
        return this.#alone(kind);
    }
  }

  #discard(start: number, count: number): Promise<void> {
    const cluster = this.#image.clusterSize / SECTOR;
    const first = Math.ceil(start / cluster) * cluster;
    const end = start + count === this.model.sectors ? start + count : Math.floor((start + count) / cluster) * cluster;
    if (end > first) this.#change(first, Array(end - first).fill(0));
    return this.#image.discard(start * SECTOR, count * SECTOR);
  }

  async #compressed(start: number): Promise<void> {
    const cluster = this.#image.clusterSize / SECTOR;
    const first = start - (start % cluster);
    const count = Math.min(cluster, this.model.sectors - first);
    await this.#start(first, first + count, () => {
      const values = this.#fresh(first, count);
      this.#change(first, values);
      return this.#image.writeCompressed(fillSectors(values), first * SECTOR);
    });
  }

  async #flush(): Promise<void> {
    // A flush promises something about the requests that returned before it began.
    await this.#settle();
    const progress = this.model.completed();
    const done = this.#image.flush().then(() => this.model.flush(progress, this.#now));
    this.#pending.push({ start: 0, end: 0, done });
  }

  /** An operation that waits for all others and is durable when it returns. */
  async #alone(kind: StepKind): Promise<void> {
    const { model } = this;
    try {
      switch (kind) {
        case "reopen":
          await this.close();
          await this.open();
          return;
        case "grow":
          return await this.#resize(Math.min(this.#configuration.limit, model.sectors + 1 + this.#next(60)));
        case "shrink":
          return await this.#resize(Math.max(60, model.sectors - 1 - this.#next(50)));
        case "snapshot":
          return await this.#createSnapshot();
        case "apply":
          return await this.#applySnapshot();
        case "delete":
          return await this.#deleteSnapshot();
        case "bitmap":
          return await this.#changeBitmaps();
        case "commit":
          return await this.#commit();
        case "amend":
          return await this.#amend();
        case "rebase":
          return await this.#rebase();
        case "state":
          return await this.#writeState();
      }
    } catch (error) {
      // Narrow refcounts cannot count snapshots, and version 2 cannot resize with them.
      if (!(error instanceof Qcow2Error) || error.code !== "conflict") throw error;
    }
  }

  #durable(): void {
    this.model.flush(this.model.completed(), this.#now);
  }

  #resized(sectors: number, moment: number): void {
    const { model } = this;
    const before = model.sectors;
    if (sectors === before) return;
    for (let i = sectors; i < before; i++) model.set(i, 0, moment);
    const list = model.currentBitmaps.map((bitmap) => ({
      ...bitmap,
      since: bitmap.since.map((length, i) => (i >= sectors ? model.history[i].length : length)),
    }));
    model.sizes.push({ from: moment, sectors });
    model.bitmaps.push({ from: moment, list });
  }

  async #resize(sectors: number): Promise<void> {
    const old = this.model.sectors;
    if (sectors === old) return;
    if (this.#image.info().version === 2 && this.model.currentSnapshots.length > 0) return;
    this.#resized(sectors, this.#now);
    // Space that is preallocated may be that of clusters which were freed.
    const preallocation = sectors > old && this.#next(3) === 0 ? "metadata" : "off";
    if (sectors > old && this.#next(4) === 0) await this.#image.amend({ size: sectors * SECTOR });
    else await this.#image.resize(sectors * SECTOR, { shrink: sectors < old, preallocation });
    this.#durable();
  }

  async #createSnapshot(): Promise<void> {
    const { model } = this;
    if (model.currentSnapshots.length >= MAX_SNAPSHOTS) return;
    const moment = this.#now;
    const id = `${++this.#value}`;
    const state = { id, sectors: model.sectors, values: model.current(), state: this.#state };
    const before = model.currentSnapshots;
    model.snapshots.push({ from: moment, list: [...before, state] });
    try {
      await this.#image.createSnapshot({ id, name: `s${id}`, vmStateSize: this.#state.length * SECTOR });
      this.#state = [];
      this.#durable();
    } catch (error) {
      model.snapshots.push({ from: moment, list: before });
      throw error;
    }
  }

  async #applySnapshot(): Promise<void> {
    const { model } = this;
    const snapshots = model.currentSnapshots;
    if (snapshots.length === 0) return;
    const target = snapshots[this.#next(snapshots.length)];
    const before = model.current();
    const size = model.sectors;
    this.#change(0, target.values.slice(0, target.sectors));
    this.#resized(target.sectors, this.#now);
    try {
      await this.#image.applySnapshot(target.id);
      this.#durable();
    } catch (error) {
      this.#resized(size, this.#now);
      this.#change(0, before.slice(0, size));
      throw error;
    }
  }

  async #deleteSnapshot(): Promise<void> {
    const { model } = this;
    const snapshots = model.currentSnapshots;
    if (snapshots.length === 0) return;
    const target = snapshots[this.#next(snapshots.length)];
    model.snapshots.push({ from: this.#now, list: snapshots.filter((other) => other !== target) });
    await this.#image.deleteSnapshot(target.id);
    this.#durable();
  }

  async #changeBitmaps(): Promise<void> {
    const { model } = this;
    if (this.#image.info().version === 2) return;
    const list = model.currentBitmaps;
    const target = list[this.#next(list.length || 1)] as BitmapState | undefined;
    const others = list.filter((other) => other !== target);
    const moment = this.#now;
    const since = model.history.map((values) => values.length);
    const choice = target === undefined || list.length < 2 ? 0 : 1 + this.#next(4);
    if (choice === 0) {
      const name = `bitmap${++this.#bitmaps}`;
      const enabled = this.#next(3) > 0;
      model.bitmaps.push({ from: moment, list: [...list, { name, enabled, since, missed: new Set() }] });
      await this.#image.createBitmap(name, { granularity: 512, enabled });
    } else if (choice === 1) {
      model.bitmaps.push({ from: moment, list: others });
      await this.#image.removeBitmap(target!.name);
    } else if (choice === 2) {
      model.bitmaps.push({ from: moment, list: [...others, { ...target!, since, missed: new Set() }] });
      await this.#image.clearBitmap(target!.name);
    } else if (choice === 3) {
      const enabled = !target!.enabled;
      model.bitmaps.push({ from: moment, list: [...others, { ...target!, enabled, missed: new Set(target!.missed) }] });
      await this.#image.setBitmapEnabled(target!.name, enabled);
    } else {
      // More bits than needed are no harm, so the model stays.
      await this.#image.mergeBitmap(target!.name, others[0].name);
    }
    // Only the bitmaps are durable now, not the data.
    model.flush({ ...model.flushed.at(-1)!, bitmaps: model.bitmaps.length }, this.#now);
  }

  async #amend(): Promise<void> {
    const image = this.#image;
    const { version } = image.info();
    const next = this.#next;
    const choices: AmendOptions[] = [
      { version: version === 2 ? 3 : 2 },
      { lazyRefcounts: next(2) === 0 },
      { refcountBits: 2 ** next(7) },
      { version: 3, refcountBits: 16, lazyRefcounts: false },
    ];
    if (image.core.hasDataFile) {
      choices.push({ dataFile: ["second", "another name", ""][next(3)] });
      if (next(4) === 0) choices.push({ dataFileRaw: false });
    }
    try {
      await image.amend(choices[next(choices.length)]);
    } catch (error) {
      // Counts that do not fit the new width.
      if (!(error instanceof Qcow2Error) || error.code !== "too-large") throw error;
    }
  }

  async #rebase(): Promise<void> {
    const names = backingNames(this.#configuration);
    const name = names[this.#next(names.length)];
    const disk = name === undefined ? undefined : await openBackingFile(name);
    await rebase(this.#image, name === undefined ? undefined : { name, format: "raw", disk });
    this.#durable();
    // The image that is open keeps its old backing file.
    await this.close();
    await this.open();
  }

  async #writeState(): Promise<void> {
    if (this.#state.length > 0) return;
    this.#state = this.#fresh(0, 1 + this.#next(90));
    await this.#image.writeVmState(fillSectors(this.#state), 0);
    await this.#alone("snapshot");
    // A snapshot that could not be made leaves it behind.
    this.#state = [];
  }

  async #commit(): Promise<void> {
    const { image, base } = this.#opened;
    const { model, baseModel } = this;
    const moment = this.#now;
    const values = model.current();
    if (model.sectors > baseModel!.sectors) baseModel!.sizes.push({ from: moment, sectors: model.sectors });
    for (let i = 0; i < model.sectors; i++) baseModel!.set(i, values[i], moment);
    await commit(image, base!);
    this.#durable();
    baseModel!.flush(baseModel!.completed(), this.#now);
  }
}
