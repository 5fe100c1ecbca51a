import type { MaybePromise } from "../file.js";

/** One cluster of metadata in memory: an L2 table or a refcount block. */
export interface Table {
  /** Offset in the file. */
  readonly offset: number;
  readonly data: Uint8Array;
  readonly view: DataView;
  /** Bytes [dirtyFrom, dirtyTo) differ from the file; equal when clean. */
  dirtyFrom: number;
  dirtyTo: number;
  /** A write of this table is under way. */
  writing: number;
  /** Nothing in the file refers to it yet, so it may be written before anything else is durable. */
  fresh: boolean;
}

/**
 * Metadata clusters by file offset, least recently used first. Only clean tables are evicted, so what is dirty is
 * bounded by whoever calls `overfull` and writes back. A table must be used in the turn in which `peek` returned it:
 * after an `await` it may be gone.
 */
export class TableCache {
  readonly #tables = new Map<number, Table>();
  readonly #loading = new Map<number, Promise<Table>>();
  readonly #capacity: number;
  #dirty = 0;
  #last: Table | undefined;

  constructor(
    readonly clusterSize: number,
    bytes: number,
    readonly readCluster: (offset: number, into: Uint8Array) => MaybePromise<void>,
  ) {
    this.#capacity = Math.max(4, Math.floor(bytes / clusterSize));
  }

  peek(offset: number): Table | undefined {
    const last = this.#last;
    if (last !== undefined && last.offset === offset) return last;
    const table = this.#tables.get(offset);
    if (table === undefined) return undefined;
    this.#tables.delete(offset);
    this.#tables.set(offset, table);
    this.#last = table;
    return table;
  }

  /** Reads a table; afterwards `peek` finds it unless others pushed it out. */
  load(offset: number): Promise<Table> {
    let loading = this.#loading.get(offset);
    if (loading === undefined) {
      loading = this.#load(offset);
      this.#loading.set(offset, loading);
    }
    return loading;
  }

  async #load(offset: number): Promise<Table> {
    try {
      const data = new Uint8Array(this.clusterSize);
      await this.readCluster(offset, data);
      return this.peek(offset) ?? this.#insert(offset, data, false);
    } finally {
      this.#loading.delete(offset);
    }
  }

  /** Adds a table with the given content that is not in the file yet; all of it is dirty. */
  create(offset: number, data: Uint8Array): Table {
    this.forget(offset);
    const table = this.#insert(offset, data, true);
    this.markDirty(table, 0, data.length);
    return table;
  }

  #insert(offset: number, data: Uint8Array, fresh: boolean): Table {
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    const table: Table = { offset, data, view, dirtyFrom: 0, dirtyTo: 0, writing: 0, fresh };
    this.#tables.set(offset, table);
    this.#last = table;
    if (this.#tables.size > this.#capacity) this.#evict(table);
    return table;
  }

  #evict(keep: Table): void {
    for (const [offset, table] of this.#tables) {
      if (this.#tables.size <= this.#capacity) return;
      if (table === keep || table.dirtyTo > table.dirtyFrom || table.writing > 0) continue;
      this.#tables.delete(offset);
    }
  }

  markDirty(table: Table, from: number, to: number): void {
    if (table.dirtyTo === table.dirtyFrom) {
      table.dirtyFrom = from;
      table.dirtyTo = to;
      this.#dirty++;
    } else {
      if (from < table.dirtyFrom) table.dirtyFrom = from;
      if (to > table.dirtyTo) table.dirtyTo = to;
    }
  }

  markClean(table: Table): void {
    if (table.dirtyTo > table.dirtyFrom) this.#dirty--;
    table.dirtyFrom = 0;
    table.dirtyTo = 0;
  }

  /** Drops a table whose cluster is no longer in use, with what was not written. */
  forget(offset: number): void {
    const table = this.#tables.get(offset);
    if (table === undefined) return;
    this.markClean(table);
    this.#tables.delete(offset);
    if (this.#last === table) this.#last = undefined;
  }

  /** Drops everything; nothing may be dirty that is still wanted. */
  clear(): void {
    this.#tables.clear();
    this.#dirty = 0;
    this.#last = undefined;
  }

  dirtyTables(): Table[] {
    if (this.#dirty === 0) return [];
    return [...this.#tables.values()].filter((table) => table.dirtyTo > table.dirtyFrom);
  }

  get hasDirty(): boolean {
    return this.#dirty > 0;
  }

  /** More than half of the capacity waits to be written. */
  get overfull(): boolean {
    return this.#dirty * 2 > this.#capacity;
  }
}
