import { encodeUtf8, roundUp } from "../format/binary.js";
import { BITMAP_FLAG, BITMAP_TYPE_DIRTY, type BitmapEntry } from "../format/bitmap-directory.js";
import { MAX_BITMAP_NAME, MAX_BITMAP_TABLE_ENTRIES, MAX_BITMAPS } from "../format/constants.js";
import type { ChangeObserver, ImageCore } from "../image/core.js";
import { encodeTable } from "../image/refcounts.js";
import type { BitmapInfo } from "../image/types.js";
import { type Bitmap, extentOf, records } from "./bitmap.js";
import { BitmapDirectory } from "./directory.js";
import { BitPages } from "./pages.js";
import { rangesOf } from "./ranges.js";
import { describeBitmap, isInUse } from "./read.js";
import { countBitmaps } from "./references.js";
import { clearTail, freePage, readPage, readTable, writeNewTable } from "./tables.js";

/** The persistent dirty bitmaps. Changing methods want the image's exclusive lock. */
export class BitmapStore implements ChangeObserver {
  #bitmaps: Bitmap[] = [];
  /** Guest data may change from now on; enabled bitmaps count as in use in the file. */
  #recording = false;
  readonly #directory: BitmapDirectory;
  readonly #core: ImageCore;

  private constructor(core: ImageCore) {
    this.#core = core;
    this.#directory = new BitmapDirectory(core);
  }

  static async load(core: ImageCore): Promise<BitmapStore> {
    const store = new BitmapStore(core);
    store.#bitmaps = (await store.#directory.load()).map((entry) => ({
      entry,
      inconsistent: isInUse(entry),
      recorded: undefined,
    }));
    return store;
  }

  get #entries(): BitmapEntry[] {
    return this.#bitmaps.map(({ entry }) => entry);
  }

  list(): BitmapInfo[] {
    return this.#bitmaps.map(({ entry, inconsistent }) => describeBitmap(entry, inconsistent));
  }

  #find(name: string): Bitmap {
    const found = this.#bitmaps.find(({ entry }) => entry.name === name);
    return found ?? this.#core.fail("not-found", `no bitmap named ${name}`);
  }

  #findUsable(name: string): Bitmap {
    const bitmap = this.#find(name);
    if (bitmap.inconsistent) this.#core.fail("conflict", `bitmap ${name} is inconsistent and can only be removed`);
    if (bitmap.entry.extraData.length > 0 && (bitmap.entry.flags & BITMAP_FLAG.extraDataCompatible) === 0) {
      this.#core.fail("unsupported", `bitmap ${name} has extra data that is not known here`);
    }
    return bitmap;
  }

  async create(name: string, options: { granularity?: number; enabled?: boolean }): Promise<void> {
    const core = this.#core;
    const { header } = core;
    if (header.version < 3) core.fail("unsupported", "bitmaps need version 3");
    const nameBytes = encodeUtf8(name).length;
    if (nameBytes === 0 || nameBytes > MAX_BITMAP_NAME)
      core.fail("invalid-argument", "bitmap name has 1 to 1023 bytes");
    const granularity = options.granularity ?? Math.max(4096, Math.min(65536, core.geometry.clusterSize));
    const granularityBits = Math.log2(granularity);
    if (!Number.isInteger(granularityBits) || granularityBits < 9 || granularityBits > 31) {
      core.fail("invalid-argument", `granularity ${granularity} is not a power of two between 512 and 2 GiB`);
    }
    if (this.#bitmaps.some(({ entry }) => entry.name === name)) core.fail("exists", `a bitmap named ${name} exists`);
    if (this.#bitmaps.length >= MAX_BITMAPS) core.fail("conflict", "the image has as many bitmaps as it can have");
    const entry: BitmapEntry = {
      tableOffset: 0,
      tableSize: 0,
      flags: options.enabled === false ? 0 : BITMAP_FLAG.auto,
      type: BITMAP_TYPE_DIRTY,
      granularityBits,
      name,
      extraData: new Uint8Array(0),
    };
    entry.tableSize = extentOf(entry, header.size, this.#core.geometry.clusterSize).tableSize;
    if (entry.tableSize > MAX_BITMAP_TABLE_ENTRIES) core.fail("too-large", "the bitmap would be too large");
    if (entry.tableSize > 0) entry.tableOffset = await writeNewTable(core, new Float64Array(entry.tableSize));
    const bitmap: Bitmap = { entry, inconsistent: false, recorded: undefined };
    this.#bitmaps.push(bitmap);
    if (this.#recording) this.#use(bitmap);
    await this.#directory.move(this.#entries);
  }

  async remove(name: string): Promise<void> {
    const bitmap = this.#find(name);
    const table = await readTable(this.#core, bitmap.entry);
    this.#bitmaps = this.#bitmaps.filter((other) => other !== bitmap);
    await this.#directory.move(this.#entries);
    for (const offset of table) freePage(this.#core, offset);
    if (table.length > 0) this.#core.refcounts.free(bitmap.entry.tableOffset, table.length * 8);
    await this.#core.flush();
  }

  /** Runs of the disk, in bytes and ascending, that the bitmap marks. */
  ranges(name: string): AsyncGenerator<{ offset: number; length: number }> {
    return rangesOf(this.#core, this.#findUsable(name));
  }

  async clear(name: string): Promise<void> {
    const bitmap = this.#findUsable(name);
    const table = await readTable(this.#core, bitmap.entry);
    bitmap.recorded = bitmap.recorded === undefined ? undefined : new BitPages(this.#core.geometry.clusterSize);
    if (table.length === 0) return;
    await this.#core.host.write(encodeTable(new Float64Array(table.length)), bitmap.entry.tableOffset);
    await this.#core.flush();
    for (const offset of table) freePage(this.#core, offset);
    await this.#core.flush();
  }

  async setEnabled(name: string, enabled: boolean): Promise<void> {
    const bitmap = this.#findUsable(name);
    const { entry } = bitmap;
    entry.flags = enabled ? entry.flags | BITMAP_FLAG.auto : entry.flags & ~BITMAP_FLAG.auto;
    if (!enabled && bitmap.recorded !== undefined) await this.#save(bitmap);
    if (this.#recording) this.#use(bitmap);
    await this.#directory.update(this.#entries);
  }

  async merge(targetName: string, source: BitmapStore, sourceName: string): Promise<void> {
    const target = this.#findUsable(targetName);
    const pages = new BitPages(this.#core.geometry.clusterSize);
    const bits = extentOf(target.entry, this.#core.header.size, this.#core.geometry.clusterSize).bits;
    for await (const { offset, length } of source.ranges(sourceName)) {
      pages.setRange(offset, length, target.entry.granularityBits, bits);
    }
    const recorded = target.recorded;
    target.recorded = pages;
    target.entry.flags |= BITMAP_FLAG.inUse;
    await this.#directory.update(this.#entries);
    await this.#save(target);
    if (recorded !== undefined) {
      target.recorded = recorded;
      target.entry.flags |= BITMAP_FLAG.inUse;
    }
    await this.#directory.update(this.#entries);
  }

  /** Marks all enabled bitmaps as in use, before the first change of the disk. */
  async start(): Promise<void> {
    this.#recording = true;
    let changed = false;
    for (const bitmap of this.#bitmaps) {
      if (records(bitmap) && (bitmap.entry.flags & BITMAP_FLAG.inUse) === 0) changed = true;
      this.#use(bitmap);
    }
    if (changed) await this.#directory.update(this.#entries);
  }

  /** Lets a bitmap that is enabled record; the caller writes the flags. */
  #use(bitmap: Bitmap): void {
    if (!records(bitmap)) return;
    bitmap.recorded ??= new BitPages(this.#core.geometry.clusterSize);
    bitmap.entry.flags |= BITMAP_FLAG.inUse;
  }

  changed(offset: number, length: number): void {
    const size = this.#core.header.size;
    const end = Math.min(offset + length, size);
    if (end <= offset) return;
    for (const bitmap of this.#bitmaps) {
      if (!records(bitmap)) continue;
      bitmap.recorded ??= new BitPages(this.#core.geometry.clusterSize);
      const { bits } = extentOf(bitmap.entry, size, this.#core.geometry.clusterSize);
      bitmap.recorded.setRange(offset, end - offset, bitmap.entry.granularityBits, bits);
    }
  }

  async finish(): Promise<void> {
    this.#recording = false;
    let changed = false;
    for (const bitmap of this.#bitmaps) {
      if (bitmap.recorded === undefined || bitmap.inconsistent) continue;
      await this.#save(bitmap);
      changed = true;
    }
    if (changed) await this.#directory.update(this.#entries);
  }

  /** Stores recorded bits and clears the in-use flag in memory; the caller writes the flags. */
  async #save(bitmap: Bitmap): Promise<void> {
    const core = this.#core;
    const { entry } = bitmap;
    const table = await readTable(this.#core, entry);
    const pages = bitmap.recorded;
    for (const index of pages?.indexes() ?? []) {
      if (table[index] === 1) continue;
      const page = (await readPage(core, bitmap, table, index))!;
      if (table[index] === 0) {
        table[index] = await core.metadata.run(() => core.refcounts.allocateExact(1));
      }
      await core.host.write(page, table[index]);
    }
    await core.flush();
    if (table.length > 0) await core.host.write(encodeTable(table), entry.tableOffset);
    await core.host.flush();
    bitmap.recorded = undefined;
    entry.flags &= ~BITMAP_FLAG.inUse;
  }

  checkResizable(): void {
    const broken = this.#bitmaps.find(({ inconsistent }) => inconsistent);
    if (broken !== undefined) {
      this.#core.fail("conflict", `bitmap ${broken.entry.name} is inconsistent; remove it before resizing`);
    }
  }

  /**
   * Fits the bitmaps to a disk of `size` bytes, which `action` makes; new parts are clean. Meanwhile all of them count
   * as in use: a bitmap has to have exactly the size of its disk.
   */
  async resize(size: number, action: () => Promise<void>): Promise<void> {
    if (this.#bitmaps.length === 0) return action();
    for (const { entry } of this.#bitmaps) entry.flags |= BITMAP_FLAG.inUse;
    await this.#directory.update(this.#entries);
    try {
      await action();
    } catch (error) {
      this.#release();
      await this.#directory.update(this.#entries);
      throw error;
    }
    await this.#fit(size);
  }

  /** Clears the in-use flags in memory of those bitmaps that do not record. */
  #release(): void {
    for (const bitmap of this.#bitmaps) {
      if (!bitmap.inconsistent && bitmap.recorded === undefined) bitmap.entry.flags &= ~BITMAP_FLAG.inUse;
      if (this.#recording) this.#use(bitmap);
    }
  }

  async #fit(size: number): Promise<void> {
    const core = this.#core;
    const { clusterSize } = core.geometry;
    const old: { entry: BitmapEntry; tableOffset: number; table: Float64Array; kept: number }[] = [];
    for (const bitmap of this.#bitmaps) {
      if (bitmap.recorded !== undefined) await this.#save(bitmap);
      const { entry } = bitmap;
      const table = await readTable(this.#core, entry);
      const { bits, tableSize } = extentOf(entry, size, this.#core.geometry.clusterSize);
      await clearTail(core, table, bits);
      if (tableSize === entry.tableSize) continue;
      if (tableSize > MAX_BITMAP_TABLE_ENTRIES) core.fail("too-large", "the bitmap would be too large");
      const next = new Float64Array(tableSize);
      next.set(table.subarray(0, tableSize));
      old.push({ entry, tableOffset: entry.tableOffset, table, kept: tableSize });
      entry.tableOffset = tableSize > 0 ? await writeNewTable(core, next) : 0;
      entry.tableSize = tableSize;
    }
    await core.flush();
    this.#release();
    if (old.length === 0) return this.#directory.update(this.#entries);
    await this.#directory.move(this.#entries);
    for (const { tableOffset, table, kept } of old) {
      for (const offset of table.subarray(kept)) freePage(this.#core, offset);
      if (table.length > 0) core.refcounts.free(tableOffset, roundUp(table.length * 8, clusterSize));
    }
    await core.flush();
  }

  /** Reports every range of the file that the bitmaps occupy, and entries that are `damaged`. */
  async references(count: (offset: number, length: number) => void, damaged: (text: string) => void): Promise<void> {
    await countBitmaps(this.#core, this.#directory, this.#entries, count, damaged);
  }
}
