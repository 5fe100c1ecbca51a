import { Qcow2Error } from "../errors.js";
import { COMPRESSED_HIGH, COPIED_HIGH, entryOffset, highOf, lowOf, ZERO_LOW } from "../format/entries.js";
import type { Geometry } from "./geometry.js";
import type { HostFile } from "./host.js";
import type { Mutex } from "./locks.js";
import type { Refcounts } from "./refcounts.js";
import { type Table, TableCache } from "./table-cache.js";

/** State of a run of guest bytes. "Owned" means refcount one: it may be written in place. */
export const Kind = {
  Unallocated: 0,
  /** Reads as zeros, no host cluster. */
  Zero: 1,
  /** Reads as zeros, a host cluster is there. */
  ZeroOwned: 2,
  ZeroShared: 3,
  DataOwned: 4,
  DataShared: 5,
  Compressed: 6,
} as const;
export type Kind = (typeof Kind)[keyof typeof Kind];

export interface Segment {
  readonly kind: Kind;
  /** Guest offset. */
  readonly offset: number;
  length: number;
  /** Host offset of the first byte, for kinds with a host cluster. For compressed data unused. */
  readonly host: number;
  /** The L2 entry, for compressed data. */
  readonly high: number;
  readonly low: number;
}

/** The active L1 table and the L2 tables behind it. */
export class Mapping {
  readonly cache: TableCache;
  l1: DataView;
  l1Offset: number;
  /** Indexes of L1 entries that differ from the file. */
  readonly dirtyL1 = new Set<number>();
  /** Told when an L1 entry changes from one L2 table to another; 0 is none. */
  onReplaceL2: (from: number, to: number) => void = () => {};

  constructor(
    readonly host: HostFile,
    readonly geometry: Geometry,
    /** The header, whose version may change. */
    readonly header: { readonly version: number },
    readonly refcounts: Refcounts,
    readonly metadata: Mutex,
    /** Data clusters lie in a file of their own, at their guest offset. */
    readonly externalData: boolean,
    l1: DataView,
    l1Offset: number,
    cacheBytes: number,
  ) {
    this.l1 = l1;
    this.l1Offset = l1Offset;
    this.cache = new TableCache(geometry.clusterSize, cacheBytes, (offset, into) => host.read(into, offset));
  }

  get l1Size(): number {
    return this.l1.byteLength / 8;
  }

  corrupt(reason: string, structure: string, offset: number): Qcow2Error {
    return new Qcow2Error("corrupt", reason, { file: this.host.name, structure, offset });
  }

  /** Offset of the L2 table of an L1 entry, 0 when there is none. */
  l2Offset(l1Index: number): number {
    if (l1Index >= this.l1Size) return 0;
    const offset = entryOffset(this.l1.getUint32(8 * l1Index), this.l1.getUint32(8 * l1Index + 4));
    if (offset % this.geometry.clusterSize !== 0) {
      throw this.corrupt("L2 table is not aligned to a cluster", "L1 table", this.l1Offset + 8 * l1Index);
    }
    if (offset > Number.MAX_SAFE_INTEGER) throw this.corrupt("L2 table is out of reach", "L1 table", this.l1Offset);
    return offset;
  }

  setL1(l1Index: number, offset: number, copied: boolean): void {
    const old = entryOffset(this.l1.getUint32(8 * l1Index), this.l1.getUint32(8 * l1Index + 4));
    this.onReplaceL2(old, offset);
    this.l1.setUint32(8 * l1Index, (highOf(offset) | (copied ? COPIED_HIGH : 0)) >>> 0);
    this.l1.setUint32(8 * l1Index + 4, lowOf(offset));
    this.dirtyL1.add(l1Index);
  }

  /** Describes [offset, end) as runs, waiting only for tables that are not in memory. */
  async lookup(offset: number, end: number): Promise<Segment[]> {
    const segments: Segment[] = [];
    let at = this.scan(offset, end, segments);
    while (at < end) {
      await this.cache.load(this.l2Offset(Math.floor(at / this.geometry.l2Coverage)));
      at = this.scan(at, end, segments);
    }
    return segments;
  }

  /** Appends runs as far as the tables in memory tell; returns the position reached. */
  scan(offset: number, end: number, segments: Segment[]): number {
    const { l2Coverage } = this.geometry;
    let at = offset;
    while (at < end) {
      const l1Index = Math.floor(at / l2Coverage);
      const stop = Math.min(end, (l1Index + 1) * l2Coverage);
      const l2Offset = this.l2Offset(l1Index);
      if (l2Offset === 0) {
        append(segments, Kind.Unallocated, at, stop - at, 0, 0, 0);
      } else {
        const table = this.cache.peek(l2Offset);
        if (table === undefined) return at;
        if (this.geometry.extendedL2) this.#scanExtended(table, at, stop, segments);
        else this.#scanTable(table, at, stop, segments);
      }
      at = stop;
    }
    return at;
  }

  #scanTable(table: Table, from: number, end: number, segments: Segment[]): void {
    const { clusterSize, l2Coverage } = this.geometry;
    const { view } = table;
    let position = Math.floor((from % l2Coverage) / clusterSize) * 8;
    for (let at = from; at < end; position += 8) {
      const next = Math.min(end, at - (at % clusterSize) + clusterSize);
      const high = view.getUint32(position);
      const low = view.getUint32(position + 4);
      if ((high & COMPRESSED_HIGH) !== 0) {
        if (this.externalData) throw this.#badEntry("compressed cluster with an external data file", table, position);
        append(segments, Kind.Compressed, at, next - at, 0, high, low);
      } else if (high === 0 && low === 0) {
        append(segments, Kind.Unallocated, at, next - at, 0, 0, 0);
      } else {
        const host = this.#hostOffset(high, low, table, position);
        const owned = (high & COPIED_HIGH) !== 0;
        const present = host !== 0 || (this.externalData && owned);
        if ((low & ZERO_LOW) !== 0) {
          if (this.header.version < 3) throw this.#badEntry("zero cluster in a version 2 image", table, position);
          const kind = !present ? Kind.Zero : owned ? Kind.ZeroOwned : Kind.ZeroShared;
          append(segments, kind, at, next - at, host + (at % clusterSize), 0, 0);
        } else if (!present) {
          append(segments, Kind.Unallocated, at, next - at, 0, 0, 0);
        } else {
          append(segments, owned ? Kind.DataOwned : Kind.DataShared, at, next - at, host + (at % clusterSize), 0, 0);
        }
      }
      at = next;
    }
  }

  #scanExtended(table: Table, from: number, end: number, segments: Segment[]): void {
    const { clusterSize, subclusterSize, l2Coverage } = this.geometry;
    const { view } = table;
    let position = Math.floor((from % l2Coverage) / clusterSize) * 16;
    for (let at = from; at < end; position += 16) {
      const clusterEnd = Math.min(end, at - (at % clusterSize) + clusterSize);
      const high = view.getUint32(position);
      const low = view.getUint32(position + 4);
      const zeroBits = view.getUint32(position + 8);
      const dataBits = view.getUint32(position + 12);
      if ((high & COMPRESSED_HIGH) !== 0) {
        if (this.externalData) throw this.#badEntry("compressed cluster with an external data file", table, position);
        append(segments, Kind.Compressed, at, clusterEnd - at, 0, high, low);
        at = clusterEnd;
        continue;
      }
      if ((zeroBits & dataBits) !== 0) throw this.#badEntry("subcluster is both data and zero", table, position);
      const host = this.#hostOffset(high, low, table, position);
      const owned = (high & COPIED_HIGH) !== 0;
      const present = host !== 0 || (this.externalData && owned);
      if (dataBits !== 0 && !present) throw this.#badEntry("subclusters without a host cluster", table, position);
      while (at < clusterEnd) {
        const inside = at % clusterSize;
        const bit = Math.floor(inside / subclusterSize);
        const next = Math.min(clusterEnd, at - inside + (bit + 1) * subclusterSize);
        let kind: Kind = Kind.Unallocated;
        if (((dataBits >>> bit) & 1) !== 0) kind = owned ? Kind.DataOwned : Kind.DataShared;
        else if (((zeroBits >>> bit) & 1) !== 0) kind = !present ? Kind.Zero : owned ? Kind.ZeroOwned : Kind.ZeroShared;
        append(segments, kind, at, next - at, kind >= Kind.ZeroOwned ? host + inside : 0, 0, 0);
        at = next;
      }
    }
  }

  #hostOffset(high: number, low: number, table: Table, position: number): number {
    const host = entryOffset(high, low);
    if (host % this.geometry.clusterSize !== 0) {
      throw this.#badEntry("data cluster is not aligned", table, position);
    }
    if (host > Number.MAX_SAFE_INTEGER) throw this.#badEntry("data cluster is out of reach", table, position);
    return host;
  }

  #badEntry(reason: string, table: Table, position: number): Qcow2Error {
    return this.corrupt(reason, "L2 table", table.offset + position);
  }

  /** The L2 table for reading, or undefined. Use it before the next `await`. */
  async table(l1Index: number): Promise<Table | undefined> {
    const offset = this.l2Offset(l1Index);
    if (offset === 0) return undefined;
    for (;;) {
      const table = this.cache.peek(offset);
      if (table !== undefined) return table;
      await this.cache.load(offset);
    }
  }

  /**
   * Makes sure that the L2 table exists, belongs to the active state alone and is in memory.
   * Call `owned` right after the promise resolves, in the same turn.
   */
  async prepareTable(l1Index: number): Promise<void> {
    for (;;) {
      const offset = this.l2Offset(l1Index);
      if (offset !== 0 && (this.l1.getUint32(8 * l1Index) & COPIED_HIGH) !== 0) {
        if (this.cache.peek(offset) !== undefined) return;
        await this.cache.load(offset);
      } else {
        await this.metadata.run(() => this.#createTable(l1Index));
      }
    }
  }

  /** The table that `prepareTable` made ready, unless something pushed it out in between. */
  owned(l1Index: number): Table | undefined {
    const offset = this.l2Offset(l1Index);
    if (offset === 0 || (this.l1.getUint32(8 * l1Index) & COPIED_HIGH) === 0) return undefined;
    return this.cache.peek(offset);
  }

  /** Runs `change` on the owned table, in one turn. */
  async withTable<T>(l1Index: number, change: (table: Table) => T): Promise<T> {
    for (;;) {
      const table = this.owned(l1Index);
      if (table !== undefined) return change(table);
      await this.prepareTable(l1Index);
    }
  }

  async #createTable(l1Index: number): Promise<void> {
    const old = this.l2Offset(l1Index);
    if (old !== 0 && (this.l1.getUint32(8 * l1Index) & COPIED_HIGH) !== 0) return;
    const { clusterSize } = this.geometry;
    const content = new Uint8Array(clusterSize);
    if (old !== 0) content.set((this.cache.peek(old) ?? (await this.cache.load(old))).data);
    const offset = await this.refcounts.allocateExact(1);
    this.cache.create(offset, content);
    this.setL1(l1Index, offset, true);
    if (old !== 0) this.refcounts.free(old, clusterSize);
  }

  /** Dirty L1 entries as writes of whole sectors. */
  takeDirtyL1(): { indexes: number[]; offset: number; data: Uint8Array }[] {
    const sectors = new Map<number, number[]>();
    for (const index of this.dirtyL1) {
      const sector = Math.floor(index / 64);
      const list = sectors.get(sector);
      if (list === undefined) sectors.set(sector, [index]);
      else list.push(index);
    }
    this.dirtyL1.clear();
    return [...sectors].map(([sector, indexes]) => {
      const from = sector * 512;
      const length = Math.min(512, this.l1.byteLength - from);
      const data = new Uint8Array(this.l1.buffer, this.l1.byteOffset + from, length).slice();
      return { indexes, offset: this.l1Offset + from, data };
    });
  }
}

function append(
  segments: Segment[],
  kind: Kind,
  offset: number,
  length: number,
  host: number,
  high: number,
  low: number,
): void {
  const last = segments.length > 0 ? segments[segments.length - 1] : undefined;
  if (last !== undefined && last.kind === kind && kind !== Kind.Compressed) {
    if (kind < Kind.ZeroOwned || last.host + last.length === host) {
      last.length += length;
      return;
    }
  }
  segments.push({ kind, offset, length, host, high, low });
}
