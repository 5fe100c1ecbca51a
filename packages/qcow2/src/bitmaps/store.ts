import { roundUp } from "../format/binary.js";
import {
  BITMAP_FLAG,
  BITMAP_TYPE_DIRTY,
  type BitmapEntry,
  decodeBitmapDirectory,
  encodeBitmapDirectory,
} from "../format/bitmap-directory.js";
import {
  AUTOCLEAR,
  MAX_BITMAP_DIRECTORY_BYTES,
  MAX_BITMAP_NAME,
  MAX_BITMAP_TABLE_ENTRIES,
  MAX_BITMAPS,
} from "../format/constants.js";
import type { ChangeObserver, ImageCore } from "../image/core.js";
import { decodeTable, encodeTable } from "../image/refcounts.js";
import type { BitmapInfo } from "../image/types.js";
import { BitPages } from "./pages.js";

/** One bitmap of the image, and what this use of the image adds to it. */
interface Bitmap {
  readonly entry: BitmapEntry;
  /** Was in use when the image was opened: its content is worthless. */
  readonly inconsistent: boolean;
  /** Bits set since the image was opened and not yet in the file. */
  recorded: BitPages | undefined;
}

/** The persistent dirty bitmaps. Changing methods want the image's exclusive lock. */
export class BitmapStore implements ChangeObserver {
  #bitmaps: Bitmap[] = [];
  #directoryOffset = 0;
  #directorySize = 0;
  readonly #core: ImageCore;

  private constructor(core: ImageCore) {
    this.#core = core;
  }

  static async load(core: ImageCore): Promise<BitmapStore> {
    const store = new BitmapStore(core);
    const { bitmaps, autoclearFeatures } = core.header;
    if (bitmaps === undefined) return store;
    if ((autoclearFeatures & AUTOCLEAR.bitmaps) === 0n) {
      // Somebody wrote to the image without knowing bitmaps: none of them can be trusted.
      if (!core.options.readOnly) core.header.bitmaps = undefined;
      return store;
    }
    const where = ["bitmaps extension", bitmaps.directoryOffset] as const;
    if (
      bitmaps.nbBitmaps === 0 ||
      bitmaps.nbBitmaps > MAX_BITMAPS ||
      bitmaps.directorySize > MAX_BITMAP_DIRECTORY_BYTES
    ) {
      core.fail("too-large", "impossible number of bitmaps or size of their directory", ...where);
    }
    if (
      bitmaps.directoryOffset % core.geometry.clusterSize !== 0 ||
      bitmaps.directoryOffset + bitmaps.directorySize > core.host.end
    ) {
      core.fail("corrupt", "bitmap directory is not where it can be", ...where);
    }
    const data = new Uint8Array(bitmaps.directorySize);
    await core.host.read(data, bitmaps.directoryOffset);
    const entries = decodeBitmapDirectory(data, bitmaps.nbBitmaps, core.name, bitmaps.directoryOffset);
    store.#bitmaps = entries.map((entry) => ({
      entry,
      inconsistent: (entry.flags & BITMAP_FLAG.inUse) !== 0,
      recorded: undefined,
    }));
    store.#directoryOffset = bitmaps.directoryOffset;
    store.#directorySize = bitmaps.directorySize;
    return store;
  }

  list(): BitmapInfo[] {
    return this.#bitmaps.map(({ entry, inconsistent }) => ({
      name: entry.name,
      granularity: 2 ** entry.granularityBits,
      enabled: (entry.flags & BITMAP_FLAG.auto) !== 0,
      inconsistent,
    }));
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

  /** Bits of the bitmap for a disk of `size` bytes, and the entries of its table. */
  #extent(entry: BitmapEntry, size: number): { bits: number; tableSize: number } {
    const bits = Math.ceil(size / 2 ** entry.granularityBits);
    return { bits, tableSize: Math.ceil(Math.ceil(bits / 8) / this.#core.geometry.clusterSize) };
  }

  async create(name: string, options: { granularity?: number; enabled?: boolean }): Promise<void> {
    const core = this.#core;
    const { header } = core;
    if (header.version < 3) core.fail("unsupported", "bitmaps need version 3");
    const nameBytes = new TextEncoder().encode(name).length;
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
      // An enabled bitmap counts as in use from its first moment; `finish` makes it consistent.
      flags: options.enabled === false ? 0 : BITMAP_FLAG.auto,
      type: BITMAP_TYPE_DIRTY,
      granularityBits,
      name,
      extraData: new Uint8Array(0),
    };
    entry.tableSize = this.#extent(entry, header.size).tableSize;
    if (entry.tableSize > MAX_BITMAP_TABLE_ENTRIES) core.fail("too-large", "the bitmap would be too large");
    if (entry.tableSize > 0) entry.tableOffset = await this.#writeNewTable(new Float64Array(entry.tableSize));
    this.#bitmaps.push({ entry, inconsistent: false, recorded: undefined });
    await this.#writeDirectory();
  }

  async #writeNewTable(table: Float64Array): Promise<number> {
    const core = this.#core;
    const { clusterSize } = core.geometry;
    const data = new Uint8Array(roundUp(table.length * 8, clusterSize));
    data.set(encodeTable(table));
    const offset = await core.metadata.run(() => core.refcounts.allocateExact(data.length / clusterSize));
    await core.host.write(data, offset);
    return offset;
  }

  /** Writes the directory to a new place and makes the header name it. */
  async #writeDirectory(): Promise<void> {
    const core = this.#core;
    const { header, host, geometry } = core;
    const old = { offset: this.#directoryOffset, size: this.#directorySize };
    const data = encodeBitmapDirectory(this.#bitmaps.map(({ entry }) => entry));
    if (data.length > MAX_BITMAP_DIRECTORY_BYTES) core.fail("too-large", "the bitmap directory would be too large");
    let offset = 0;
    if (data.length > 0) {
      const clusters = roundUp(data.length, geometry.clusterSize) / geometry.clusterSize;
      offset = await core.metadata.run(() => core.refcounts.allocateExact(clusters));
      await host.write(data, offset);
    }
    await core.flush();
    if (data.length > 0) {
      header.bitmaps = { nbBitmaps: this.#bitmaps.length, directorySize: data.length, directoryOffset: offset };
      header.autoclearFeatures |= AUTOCLEAR.bitmaps;
    } else {
      header.bitmaps = undefined;
      header.autoclearFeatures &= ~AUTOCLEAR.bitmaps;
    }
    await core.writeHeader();
    await host.flush();
    this.#directoryOffset = offset;
    this.#directorySize = data.length;
    if (old.size > 0) core.refcounts.free(old.offset, old.size);
  }

  /** Rewrites the directory where it is; only flags may have changed. */
  async #updateFlags(): Promise<void> {
    const data = encodeBitmapDirectory(this.#bitmaps.map(({ entry }) => entry));
    await this.#core.host.write(data, this.#directoryOffset);
    await this.#core.host.flush();
  }

  async remove(name: string): Promise<void> {
    const bitmap = this.#find(name);
    const table = await this.#table(bitmap.entry);
    this.#bitmaps = this.#bitmaps.filter((other) => other !== bitmap);
    await this.#writeDirectory();
    this.#freeTable(bitmap.entry, table);
    await this.#core.flush();
  }

  #freeTable(entry: BitmapEntry, table: Float64Array): void {
    for (const offset of table) this.#freePage(offset);
    if (table.length > 0) this.#core.refcounts.free(entry.tableOffset, table.length * 8);
  }

  #freePage(offset: number): void {
    if (offset >= 512) this.#core.refcounts.free(offset, this.#core.geometry.clusterSize);
  }

  async clear(name: string): Promise<void> {
    const bitmap = this.#findUsable(name);
    const table = await this.#table(bitmap.entry);
    bitmap.recorded = bitmap.recorded === undefined ? undefined : new BitPages(this.#core.geometry.clusterSize);
    if (table.length === 0) return;
    await this.#core.host.write(encodeTable(new Float64Array(table.length)), bitmap.entry.tableOffset);
    await this.#core.flush();
    for (const offset of table) this.#freePage(offset);
    await this.#core.flush();
  }

  async setEnabled(name: string, enabled: boolean): Promise<void> {
    const bitmap = this.#findUsable(name);
    const { entry } = bitmap;
    entry.flags = enabled ? entry.flags | BITMAP_FLAG.auto : entry.flags & ~BITMAP_FLAG.auto;
    if (!enabled && bitmap.recorded !== undefined) await this.#save(bitmap);
    await this.#updateFlags();
  }

  async merge(targetName: string, source: BitmapStore, sourceName: string): Promise<void> {
    const target = this.#findUsable(targetName);
    const pages = new BitPages(this.#core.geometry.clusterSize);
    const bits = this.#extent(target.entry, this.#core.header.size).bits;
    for await (const { offset, length } of source.ranges(sourceName)) {
      pages.setRange(offset, length, target.entry.granularityBits, bits);
    }
    const recorded = target.recorded;
    target.recorded = pages;
    target.entry.flags |= BITMAP_FLAG.inUse;
    await this.#updateFlags();
    await this.#save(target);
    if (recorded !== undefined) {
      target.recorded = recorded;
      target.entry.flags |= BITMAP_FLAG.inUse;
    }
    await this.#updateFlags();
  }

  async #table(entry: BitmapEntry): Promise<Float64Array> {
    const core = this.#core;
    const { clusterSize } = core.geometry;
    const where = ["bitmap table", entry.tableOffset] as const;
    if (entry.tableSize > MAX_BITMAP_TABLE_ENTRIES) core.fail("too-large", "bitmap table is too large", ...where);
    if (entry.tableOffset % clusterSize !== 0 || (entry.tableSize > 0 && entry.tableOffset >= core.host.end)) {
      core.fail("corrupt", "bitmap table is not where it can be", ...where);
    }
    // A table cannot be longer than the file that holds it, whatever the directory says.
    if (entry.tableOffset + entry.tableSize * 8 > roundUp(core.host.end, clusterSize)) {
      core.fail("corrupt", "bitmap table reaches beyond the end of the file", ...where);
    }
    const data = new Uint8Array(entry.tableSize * 8);
    await core.host.read(data, entry.tableOffset);
    const table = decodeTable(data);
    for (const offset of table) {
      if (offset !== 0 && offset !== 1 && (Number.isNaN(offset) || offset % clusterSize !== 0)) {
        core.fail("corrupt", "bitmap data cluster is not aligned", ...where);
      }
    }
    return table;
  }

  /** The stored bits of one page with what was recorded since. */
  async #page(bitmap: Bitmap, table: Float64Array, index: number): Promise<Uint8Array | undefined> {
    const { clusterSize } = this.#core.geometry;
    const recorded = bitmap.recorded?.page(index);
    const offset = index < table.length ? table[index] : 0;
    if (offset === 0) return recorded;
    const page = new Uint8Array(clusterSize);
    if (offset === 1) page.fill(0xff);
    else await this.#core.host.read(page, offset);
    if (recorded !== undefined) for (let i = 0; i < clusterSize; i++) page[i] |= recorded[i];
    return page;
  }

  async *ranges(name: string): AsyncGenerator<{ offset: number; length: number }> {
    const bitmap = this.#findUsable(name);
    const { entry } = bitmap;
    const size = this.#core.header.size;
    const granularity = 2 ** entry.granularityBits;
    const { bits, tableSize } = this.#extent(entry, size);
    const table = await this.#table(entry);
    const perPage = this.#core.geometry.clusterSize * 8;
    let start = -1;
    for (let index = 0; index < tableSize; index++) {
      const page = await this.#page(bitmap, table, index);
      const last = Math.min(bits, (index + 1) * perPage);
      for (let bit = index * perPage; bit < last; bit++) {
        const byte = page === undefined ? 0 : page[(bit % perPage) >> 3];
        if (bit % 8 === 0 && bit + 8 <= last && ((byte === 0 && start < 0) || (byte === 0xff && start >= 0))) {
          bit += 7;
          continue;
        }
        const set = ((byte >> (bit & 7)) & 1) !== 0;
        if (set && start < 0) start = bit;
        if (!set && start >= 0) {
          yield { offset: start * granularity, length: (bit - start) * granularity };
          start = -1;
        }
      }
    }
    if (start >= 0)
      yield { offset: start * granularity, length: Math.min(size, bits * granularity) - start * granularity };
  }

  /** Marks all enabled bitmaps as in use, before the first change of the disk. */
  async start(): Promise<void> {
    let changed = false;
    for (const bitmap of this.#bitmaps) {
      if (!this.#records(bitmap)) continue;
      bitmap.recorded ??= new BitPages(this.#core.geometry.clusterSize);
      if ((bitmap.entry.flags & BITMAP_FLAG.inUse) === 0) changed = true;
      bitmap.entry.flags |= BITMAP_FLAG.inUse;
    }
    if (changed) await this.#updateFlags();
  }

  #records({ entry, inconsistent }: Bitmap): boolean {
    return (entry.flags & BITMAP_FLAG.auto) !== 0 && !inconsistent;
  }

  changed(offset: number, length: number): void {
    const size = this.#core.header.size;
    const end = Math.min(offset + length, size);
    if (end <= offset) return;
    for (const bitmap of this.#bitmaps) {
      if (!this.#records(bitmap)) continue;
      bitmap.recorded ??= new BitPages(this.#core.geometry.clusterSize);
      const { bits } = this.#extent(bitmap.entry, size);
      bitmap.recorded.setRange(offset, end - offset, bitmap.entry.granularityBits, bits);
    }
  }

  async finish(): Promise<void> {
    let changed = false;
    for (const bitmap of this.#bitmaps) {
      if (bitmap.recorded === undefined || bitmap.inconsistent) continue;
      await this.#save(bitmap);
      changed = true;
    }
    if (changed) await this.#updateFlags();
  }

  /** Stores recorded bits and clears the in-use flag in memory; the caller writes the flags. */
  async #save(bitmap: Bitmap): Promise<void> {
    const core = this.#core;
    const { entry } = bitmap;
    const table = await this.#table(entry);
    const pages = bitmap.recorded;
    for (const index of pages?.indexes() ?? []) {
      if (table[index] === 1) continue;
      const page = (await this.#page(bitmap, table, index))!;
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

  /** Fits the bitmaps to a disk of `size` bytes; new parts are clean. */
  async resize(size: number): Promise<void> {
    const core = this.#core;
    const { clusterSize } = core.geometry;
    const old: { entry: BitmapEntry; tableOffset: number; table: Float64Array; kept: number }[] = [];
    for (const bitmap of this.#bitmaps) {
      if (bitmap.recorded !== undefined) await this.#save(bitmap);
      const { entry } = bitmap;
      const table = await this.#table(entry);
      const { bits, tableSize } = this.#extent(entry, size);
      await this.#clearTail(table, bits);
      if (tableSize === entry.tableSize) continue;
      if (tableSize > MAX_BITMAP_TABLE_ENTRIES) core.fail("too-large", "the bitmap would be too large");
      const next = new Float64Array(tableSize);
      next.set(table.subarray(0, tableSize));
      old.push({ entry, tableOffset: entry.tableOffset, table, kept: tableSize });
      entry.tableOffset = tableSize > 0 ? await this.#writeNewTable(next) : 0;
      entry.tableSize = tableSize;
    }
    if (old.length === 0) {
      if (this.#bitmaps.length > 0) await this.#updateFlags();
      return;
    }
    await this.#writeDirectory();
    for (const { tableOffset, table, kept } of old) {
      for (const offset of table.subarray(kept)) this.#freePage(offset);
      if (table.length > 0) core.refcounts.free(tableOffset, roundUp(table.length * 8, clusterSize));
    }
    await core.flush();
  }

  /** Bits behind the last one must be zero. */
  async #clearTail(table: Float64Array, bits: number): Promise<void> {
    const { clusterSize } = this.#core.geometry;
    const index = Math.floor(bits / (clusterSize * 8));
    const offset = table[index] ?? 0;
    if (offset < 512) return;
    const page = new Uint8Array(clusterSize);
    await this.#core.host.read(page, offset);
    const first = bits % (clusterSize * 8);
    page[first >> 3] &= 2 ** (first & 7) - 1;
    page.fill(0, (first >> 3) + 1);
    await this.#core.host.write(page, offset);
  }

  /** Reports every range of the file the bitmaps occupy. */
  async references(count: (offset: number, length: number) => void): Promise<void> {
    if (this.#directorySize > 0) count(this.#directoryOffset, this.#directorySize);
    for (const { entry } of this.#bitmaps) {
      const table = await this.#table(entry);
      if (table.length > 0) count(entry.tableOffset, table.length * 8);
      for (const offset of table) if (offset >= 512) count(offset, this.#core.geometry.clusterSize);
    }
  }
}
