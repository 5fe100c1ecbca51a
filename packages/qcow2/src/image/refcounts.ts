import { Qcow2Error } from "../errors.js";
import { MAX_REFCOUNT_TABLE_BYTES } from "../format/constants.js";
import { type RefcountCodec, refcountCodec } from "../format/refcounts.js";
import type { Geometry } from "./geometry.js";
import type { HostFile } from "./host.js";
import { type MetadataKind, overlapError } from "./overlaps.js";
import { type Table, TableCache } from "./table-cache.js";
import { writeBack } from "./write-back.js";

/** A run of host clusters. */
export interface ClusterRun {
  /** Byte offset in the file. */
  readonly offset: number;
  /** Clusters. */
  readonly count: number;
  /** Never used before: the file reads as zeros there. */
  readonly fresh: boolean;
}

/** Counts that go down once the next metadata flush is through. */
interface Pending {
  readonly cluster: number;
  /** Clusters. */
  count: number;
  /** The new count; without it, one less than before. */
  readonly to?: number;
}

/** What the refcounts need of the image around them. */
export interface RefcountOwner {
  readonly host: HostFile;
  readonly geometry: Geometry;
  /** Makes the header point to the refcount table that was just written, durably. */
  moveRefcountTable(offset: number, clusters: number): Promise<void>;
  /** The metadata a write there would damage, other than what is being written. */
  overlap(offset: number, length: number, own?: MetadataKind): MetadataKind | undefined;
}

/**
 * The refcount table and blocks. Increments are applied at once; decrements wait in `pending` until the flush has
 * made the metadata that dropped the reference durable, so that the file never counts too little and no cluster is
 * reused while something on disk still points to it.
 *
 * Methods that change something must run one at a time (the image's metadata mutex).
 */
export class Refcounts {
  readonly codec: RefcountCodec;
  readonly cache: TableCache;
  /** Offsets of the refcount blocks; 0 where there is none. */
  table: Float64Array;
  tableOffset: number;
  /** Entries of `table` that differ from the file. */
  readonly dirtyEntries = new Set<number>();
  #blockOffsets: Set<number>;
  /** No free cluster lies before this index. */
  #firstFree = 1;
  /** Host bytes from here on were never handed out. */
  #unusedFrom: number;
  #pending: Pending[] = [];
  /** Counts that repairs will lower. */
  readonly #lowered = new Map<number, number>();
  #pendingClusters = 0;
  readonly #owner: RefcountOwner;

  constructor(owner: RefcountOwner, order: number, tableOffset: number, table: Float64Array, cacheBytes: number) {
    this.#owner = owner;
    this.codec = refcountCodec(order);
    this.table = table;
    this.tableOffset = tableOffset;
    this.#blockOffsets = new Set(table.filter((offset) => offset !== 0));
    this.cache = new TableCache(owner.geometry.clusterSize, cacheBytes, (offset, into) =>
      owner.host.read(into, offset),
    );
    this.#unusedFrom = owner.host.end;
  }

  /** The block for a table index; undefined when none exists. Use it before the next `await`. */
  async block(index: number): Promise<Table | undefined> {
    const offset = index < this.table.length ? this.table[index] : 0;
    if (offset === 0) return undefined;
    if (offset % this.#owner.geometry.clusterSize !== 0) {
      throw new Qcow2Error("corrupt", "refcount block is not aligned to a cluster", {
        file: this.#owner.host.name,
        structure: "refcount table",
        offset: this.tableOffset + 8 * index,
      });
    }
    return this.cache.peek(offset) ?? (await this.cache.load(offset));
  }

  /** Whether a refcount block lies there. */
  isBlock(offset: number): boolean {
    return this.#blockOffsets.has(offset);
  }

  async get(cluster: number): Promise<number> {
    const lowered = this.#lowered.get(cluster);
    if (lowered !== undefined) return lowered;
    const perBlock = this.#owner.geometry.refcountsPerBlock;
    const block = await this.block(Math.floor(cluster / perBlock));
    return block === undefined ? 0 : this.codec.get(block.data, cluster % perBlock);
  }

  /**
   * Calls `visit` for every cluster before `end` that has a refcount block, until it returns false.
   * @param damaged is told of blocks that cannot be read; without it they end the visit
   */
  async visit(
    end: number,
    visit: (cluster: number, count: number) => boolean,
    damaged?: (error: unknown) => void,
  ): Promise<void> {
    const perBlock = this.#owner.geometry.refcountsPerBlock;
    const blocks = Math.min(this.table.length, Math.ceil(end / perBlock));
    for (let index = 0; index < blocks; index++) {
      // Files may be as large as a hostile header says, and hold nothing.
      if (this.table[index] === 0) continue;
      let block: Table | undefined;
      try {
        block = await this.block(index);
      } catch (error) {
        if (damaged === undefined) throw error;
        damaged(error);
      }
      const first = index * perBlock;
      for (let at = 0; block !== undefined && at < Math.min(perBlock, end - first); at++) {
        const count = this.#lowered.get(first + at) ?? this.codec.get(block.data, at);
        if (!visit(first + at, count)) return;
      }
    }
  }

  #set(block: Table, index: number, value: number): void {
    this.codec.set(block.data, index, value);
    const { bits } = this.codec;
    this.cache.markDirty(block, Math.floor((index * bits) / 8), Math.ceil(((index + 1) * bits) / 8));
  }

  /** Hands out up to `count` contiguous free clusters, at least one. */
  async allocate(count: number): Promise<ClusterRun> {
    return this.#allocate(1, count);
  }

  /** Hands out exactly `count` contiguous clusters and returns their offset. */
  async allocateExact(count: number): Promise<number> {
    return (await this.#allocate(count, count)).offset;
  }

  async #allocate(min: number, max: number): Promise<ClusterRun> {
    const { geometry } = this.#owner;
    const { clusterSize, refcountsPerBlock: perBlock } = geometry;
    let start = this.#firstFree;
    let length = 0;
    let sawUsedOnly = true;
    for (let cluster = start; length < min; ) {
      const block = (await this.block(Math.floor(cluster / perBlock))) ?? (await this.#createBlock(cluster, min));
      const stop = Math.min((Math.floor(cluster / perBlock) + 1) * perBlock, start + Math.max(max, 1) + perBlock);
      for (; cluster < stop && length < max; cluster++) {
        if (this.codec.get(block.data, cluster % perBlock) === 0) {
          if (length === 0) start = cluster;
          length++;
          sawUsedOnly = false;
        } else {
          if (length >= min) break;
          length = 0;
          start = cluster + 1;
          if (sawUsedOnly) this.#firstFree = cluster + 1;
        }
      }
    }
    await this.#mark(start, length);
    if (start === this.#firstFree) this.#firstFree = start + length;
    const offset = start * clusterSize;
    const fresh = offset >= this.#unusedFrom;
    this.#unusedFrom = Math.max(this.#unusedFrom, offset + length * clusterSize);
    return { offset, count: length, fresh };
  }

  async #mark(start: number, count: number): Promise<void> {
    const { clusterSize, refcountsPerBlock: perBlock } = this.#owner.geometry;
    // Clusters that hold metadata are never free; if they seem to be, the refcounts are damaged.
    const kind = this.#owner.overlap(start * clusterSize, count * clusterSize);
    if (kind !== undefined) throw overlapError(kind, this.#owner.host.name, start * clusterSize);
    for (let done = 0; done < count; ) {
      const block = await this.block(Math.floor((start + done) / perBlock));
      const stop = Math.min(count, (Math.floor((start + done) / perBlock) + 1) * perBlock - start);
      for (; done < stop; done++) this.#set(block!, (start + done) % perBlock, 1);
    }
  }

  /**
   * Adds a refcount block for the (entirely free) range around `cluster`, placed in the range itself. When that leaves
   * less room than a run of `wanted` clusters takes, blocks for the ranges behind it are added side by side.
   */
  async #createBlock(cluster: number, wanted = 0): Promise<Table> {
    const { clusterSize, refcountsPerBlock: perBlock } = this.#owner.geometry;
    const index = Math.floor(cluster / perBlock);
    if (index >= this.table.length) {
      await this.#growTable(index, wanted);
      return (await this.block(index))!;
    }
    const offset = index * perBlock * clusterSize;
    let count = 1;
    while (count * perBlock < count + wanted && this.table[index + count] === 0) count++;
    if (this.#owner.overlap(offset, count * clusterSize) !== undefined) {
      throw new Qcow2Error("corrupt", "clusters in use have no refcount block", {
        file: this.#owner.host.name,
        structure: "refcount table",
        offset: this.tableOffset + 8 * index,
      });
    }
    for (let i = 0; i < count; i++) {
      const block = this.cache.create(offset + i * clusterSize, new Uint8Array(clusterSize));
      for (let k = i * perBlock; k < Math.min(count, (i + 1) * perBlock); k++) this.#set(block, k % perBlock, 1);
      this.table[index + i] = block.offset;
      this.#blockOffsets.add(block.offset);
      this.dirtyEntries.add(index + i);
    }
    this.#unusedFrom = Math.max(this.#unusedFrom, offset + count * clusterSize);
    return (await this.block(index))!;
  }

  /**
   * Moves the table to a larger place right behind everything the old one describes; a run of `wanted` clusters has
   * room behind it.
   */
  async #growTable(index: number, wanted: number): Promise<void> {
    const { host, geometry } = this.#owner;
    const { clusterSize, refcountsPerBlock: perBlock } = geometry;
    const oldClusters = Math.ceil((this.table.length * 8) / clusterSize);
    const start = index * perBlock;
    let clusters = Math.max(oldClusters + 1, Math.ceil(oldClusters * 1.5));
    let blocks = 1;
    for (;;) {
      blocks = Math.ceil((blocks + clusters + wanted) / perBlock);
      const needed = Math.ceil(((index + blocks) * 8) / clusterSize);
      if (needed <= clusters && blocks * perBlock >= blocks + clusters + wanted) break;
      clusters = Math.max(clusters, needed);
      blocks++;
    }
    if (clusters * clusterSize > MAX_REFCOUNT_TABLE_BYTES) {
      throw new Qcow2Error("too-large", "the refcount table cannot grow any more", {
        file: host.name,
        structure: "refcount table",
      });
    }
    const table = new Float64Array((clusters * clusterSize) / 8);
    table.set(this.table);
    for (let i = 0; i < blocks; i++) {
      const offset = (start + i) * clusterSize;
      table[index + i] = offset;
      this.#blockOffsets.add(offset);
      const block = this.cache.create(offset, new Uint8Array(clusterSize));
      for (let k = 0; k < perBlock; k++) {
        if (i * perBlock + k < blocks + clusters) this.#set(block, k, 1);
      }
    }
    // The new table must not be reachable before all blocks it names are in the file.
    await this.writeBlocks();
    const tableOffset = (start + blocks) * clusterSize;
    await host.write(encodeTable(table), tableOffset);
    await host.flush();
    const oldOffset = this.tableOffset;
    await this.#owner.moveRefcountTable(tableOffset, clusters);
    this.table = table;
    this.tableOffset = tableOffset;
    this.dirtyEntries.clear();
    this.#unusedFrom = Math.max(this.#unusedFrom, tableOffset + clusters * clusterSize);
    this.free(oldOffset, oldClusters * clusterSize);
  }

  /** Adds `delta` (1 or more) to the counts of all clusters that the bytes touch. */
  async increment(offset: number, length: number, delta = 1): Promise<void> {
    await this.#change(offset, length, delta);
  }

  async #change(offset: number, length: number, delta: number): Promise<void> {
    const { clusterSize, refcountsPerBlock: perBlock } = this.#owner.geometry;
    const last = Math.floor((offset + length - 1) / clusterSize);
    for (let cluster = Math.floor(offset / clusterSize); cluster <= last; cluster++) {
      const block =
        (await this.block(Math.floor(cluster / perBlock))) ??
        (delta > 0 ? await this.#createBlock(cluster) : undefined);
      const value = (block === undefined ? 0 : this.codec.get(block.data, cluster % perBlock)) + delta;
      if (block === undefined || value < 0 || value > this.codec.max) {
        throw new Qcow2Error(value > this.codec.max ? "conflict" : "corrupt", `refcount would become ${value}`, {
          file: this.#owner.host.name,
          structure: "refcount block",
          offset: cluster * clusterSize,
        });
      }
      this.#set(block, cluster % perBlock, value);
      if (value === 0) this.#firstFree = Math.min(this.#firstFree, cluster);
    }
  }

  /** Sets the count of a cluster whose refcount block exists; for repairs. */
  async force(cluster: number, value: number): Promise<void> {
    const perBlock = this.#owner.geometry.refcountsPerBlock;
    const block = await this.block(Math.floor(cluster / perBlock));
    this.#set(block!, cluster % perBlock, value);
    if (value === 0) this.#firstFree = Math.min(this.#firstFree, cluster);
  }

  /** Drops one reference to every cluster the bytes touch, once the next metadata flush is through. */
  free(offset: number, length: number): void {
    const { clusterSize } = this.#owner.geometry;
    const cluster = Math.floor(offset / clusterSize);
    const count = Math.floor((offset + length - 1) / clusterSize) - cluster + 1;
    const last = this.#pending.at(-1);
    if (last !== undefined && last.to === undefined && last.cluster + last.count === cluster) last.count += count;
    else this.#pending.push({ cluster, count });
    this.#pendingClusters += count;
  }

  /**
   * Lowers the count of a cluster once the next metadata flush is through; `get` tells the new count at once. For
   * repairs: COPIED flags that fit the new count are in the file before it.
   */
  lower(cluster: number, value: number): void {
    this.#lowered.set(cluster, value);
    this.#pending.push({ cluster, count: 1, to: value });
    this.#pendingClusters++;
  }

  get pendingClusters(): number {
    return this.#pendingClusters;
  }

  takePending(): Pending[] {
    const pending = this.#pending;
    this.#pending = [];
    this.#pendingClusters = 0;
    return pending;
  }

  restorePending(pending: Pending[]): void {
    for (const { cluster, count, to } of pending) {
      if (to !== undefined) this.lower(cluster, to);
      else this.free(cluster * this.#owner.geometry.clusterSize, count * this.#owner.geometry.clusterSize);
    }
  }

  /** Applies decrements whose cause is durable. `punch` releases the storage of clusters nobody uses any more. */
  async applyPending(pending: readonly Pending[], punch: boolean): Promise<void> {
    const { clusterSize } = this.#owner.geometry;
    for (const { cluster, count, to } of pending) {
      if (to !== undefined) {
        this.#lowered.delete(cluster);
        await this.force(cluster, to);
        continue;
      }
      if (punch) await this.#punchUnused(cluster, count);
      await this.#change(cluster * clusterSize, count * clusterSize, -1);
    }
  }

  async #punchUnused(cluster: number, count: number): Promise<void> {
    const { clusterSize } = this.#owner.geometry;
    let start = cluster;
    for (let i = cluster; i <= cluster + count; i++) {
      if (i < cluster + count && (await this.get(i)) === 1) continue;
      if (i > start) await this.#owner.host.punchHole(start * clusterSize, (i - start) * clusterSize);
      start = i + 1;
    }
  }

  /** Writes all dirty blocks; order among them does not matter. */
  async writeBlocks(): Promise<void> {
    const { host } = this.#owner;
    for (const block of this.cache.dirtyTables()) {
      const kind = this.#owner.overlap(block.offset, block.data.length, "refcount block");
      if (kind !== undefined) throw overlapError(kind, host.name, block.offset);
      await writeBack(this.cache, block, host);
    }
  }

  /** Writes the table entries of blocks that are durable by now. */
  async writeEntries(): Promise<void> {
    const sector = 64;
    const sectors = new Set([...this.dirtyEntries].map((index) => Math.floor(index / sector)));
    this.dirtyEntries.clear();
    for (const index of sectors) {
      const part = this.table.subarray(index * sector, (index + 1) * sector);
      await this.#owner.host.write(encodeTable(part), this.tableOffset + index * sector * 8);
    }
  }

  /** End of the last cluster with a refcount, in bytes. */
  async usedEnd(): Promise<number> {
    const { clusterSize, refcountsPerBlock: perBlock } = this.#owner.geometry;
    for (let index = this.table.length - 1; index >= 0; index--) {
      const block = await this.block(index);
      if (block === undefined) continue;
      for (let i = perBlock - 1; i >= 0; i--) {
        if (this.codec.get(block.data, i) !== 0) return (index * perBlock + i + 1) * clusterSize;
      }
    }
    return 0;
  }

  /** Forgets everything in memory after the structures were rebuilt in the file. */
  replace(tableOffset: number, table: Float64Array): void {
    this.cache.clear();
    this.dirtyEntries.clear();
    this.#pending = [];
    this.#pendingClusters = 0;
    this.#lowered.clear();
    this.table = table;
    this.tableOffset = tableOffset;
    this.#blockOffsets = new Set(table.filter((offset) => offset !== 0));
    this.#firstFree = 1;
    this.#unusedFrom = Math.max(this.#unusedFrom, this.#owner.host.end);
  }
}

export function encodeTable(table: Float64Array): Uint8Array {
  const data = new Uint8Array(table.length * 8);
  const view = new DataView(data.buffer);
  for (let i = 0; i < table.length; i++) {
    if (table[i] === 0) continue;
    view.setUint32(8 * i, Math.floor(table[i] / 0x1_0000_0000));
    view.setUint32(8 * i + 4, table[i] % 0x1_0000_0000);
  }
  return data;
}

/** Entries as numbers; those beyond 2^53 become NaN, which no aligned offset is. */
export function decodeTable(data: Uint8Array): Float64Array {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const table = new Float64Array(data.length >> 3);
  for (let i = 0; i < table.length; i++) {
    const offset = view.getUint32(8 * i) * 0x1_0000_0000 + view.getUint32(8 * i + 4);
    table[i] = offset > Number.MAX_SAFE_INTEGER ? Number.NaN : offset;
  }
  return table;
}
