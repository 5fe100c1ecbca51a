import type { Disk } from "../disk.js";
import { Qcow2Error } from "../errors.js";
import { roundUp } from "../format/binary.js";
import { AUTOCLEAR, COMPATIBLE, CRYPT_NONE, INCOMPATIBLE } from "../format/constants.js";
import { decodeHeader, type Header } from "../format/header.js";
import type { SnapshotEntry } from "../format/snapshot-table.js";
import type { ClusterCodec, Platform } from "../platform.js";
import { type Geometry, geometryOf } from "./geometry.js";
import { writeHeaderCluster } from "./header-writer.js";
import type { HostFile } from "./host.js";
import { Mutex, type Range, RangeLock } from "./locks.js";
import { Mapping } from "./mapping.js";
import { type MetadataKind, MetadataMap, overlapError } from "./overlaps.js";
import { decodeTable, type RefcountOwner, Refcounts } from "./refcounts.js";
import { snapshotTable, type TableWrite, undoSnapshot } from "./write-back.js";

/** Encrypts and decrypts guest data in place. `sector` counts 512-byte sectors. */
export interface DataCipher {
  /** Sectors are counted in the image file (LUKS) rather than on the virtual disk (legacy AES). */
  readonly physicalSectors: boolean;
  encrypt(data: Uint8Array, sector: number): void;
  decrypt(data: Uint8Array, sector: number): void;
}

/** Is told of every change of guest data, before it happens. */
export interface ChangeObserver {
  /** Called (and awaited) once, before the first write. */
  start(): Promise<void>;
  changed(offset: number, length: number): void;
  /** Saves what was recorded; the image is closed next. */
  finish(): Promise<void>;
}

export interface CoreOptions {
  readonly readOnly: boolean;
  readonly flushes: boolean;
  readonly discard: boolean;
  readonly lazyRefcounts: boolean | undefined;
  readonly l2CacheSize: number;
  readonly refcountCacheSize: number;
  readonly platform: Platform;
  /** Opened to be repaired: writing is allowed although the image is marked as corrupt. */
  readonly repair: boolean;
}

/** Clusters that may wait to be freed before metadata is flushed. */
const MAX_PENDING_CLUSTERS = 65536;

/** The state of an open image that reading, writing and all operations share. */
export class ImageCore implements RefcountOwner {
  readonly locks = new RangeLock();
  readonly metadata = new Mutex();
  readonly #flushing = new Mutex();
  geometry: Geometry;
  refcounts!: Refcounts;
  mapping!: Mapping;
  snapshots: SnapshotEntry[] = [];
  /** Why the snapshot table of an image that is opened for repair cannot be read. */
  snapshotDamage: Qcow2Error | undefined;
  /** Bytes of the snapshot table in the file. */
  snapshotTableSize = 0;
  /** Where the bitmaps' directory and tables lie; replaced as a whole when they move. */
  bitmapTables: readonly { kind: "bitmap directory" | "bitmap table"; offset: number; length: number }[] = [];
  readonly #metadataMap = new MetadataMap(this);
  backing: Disk | undefined;
  cipher: DataCipher | undefined;
  /** Encrypted, but opened without a passphrase. */
  locked = false;
  observer: ChangeObserver | undefined;
  closed = false;
  /** Virtual size of the snapshot that is read; undefined for the active state. */
  snapshotSize: number | undefined;
  /** Drops cached decompressed clusters; set by the reader. */
  onCompressedChange: () => void = () => {};
  /** Tells the compressed writer that the cluster it fills may be free now. */
  onCompressedFree: () => void = () => {};
  #started: Promise<void> | undefined;
  /** `#started` is through. */
  #ready = false;
  #observed = false;
  #observing: Promise<void> | undefined;
  /** The dirty bit in the header is ours. */
  #markedDirty = false;
  #failure: Qcow2Error | undefined;

  constructor(
    readonly host: HostFile,
    /** Where guest data lies: the image itself or the external data file. */
    readonly data: HostFile,
    readonly header: Header,
    readonly options: CoreOptions,
  ) {
    this.geometry = geometryOf(header);
  }

  /** Reads the refcount table and the given L1 table. */
  async load(l1Offset: number, l1Size: number): Promise<void> {
    const { header, geometry, options } = this;
    const table = new Uint8Array(header.refcountTableClusters * geometry.clusterSize);
    await this.host.read(table, header.refcountTableOffset);
    this.refcounts = new Refcounts(
      this,
      header.refcountOrder,
      header.refcountTableOffset,
      decodeTable(table),
      options.refcountCacheSize,
    );
    const l1 = new Uint8Array(l1Size * 8);
    await this.host.read(l1, l1Offset);
    this.mapping = new Mapping(
      this.host,
      geometry,
      header,
      this.refcounts,
      this.metadata,
      this.hasDataFile,
      new DataView(l1.buffer),
      l1Offset,
      options.l2CacheSize,
    );
    this.mapping.onReplaceL2 = (from, to) => this.#metadataMap.replaceL2(from, to);
  }

  get name(): string {
    return this.host.name;
  }

  get hasDataFile(): boolean {
    return (this.header.incompatibleFeatures & INCOMPATIBLE.externalData) !== 0n;
  }

  get dataFileRaw(): boolean {
    return this.hasDataFile && (this.header.autoclearFeatures & AUTOCLEAR.rawExternalData) !== 0n;
  }

  get encrypted(): boolean {
    return this.header.cryptMethod !== CRYPT_NONE;
  }

  get lazy(): boolean {
    if (this.header.version < 3) return false;
    return this.options.lazyRefcounts ?? (this.header.compatibleFeatures & COMPATIBLE.lazyRefcounts) !== 0n;
  }

  codec(): ClusterCodec | Promise<ClusterCodec> {
    return this.header.compressionType === 1 ? this.options.platform.zstd() : this.options.platform.zlib();
  }

  fail(code: ConstructorParameters<typeof Qcow2Error>[0], reason: string, structure?: string, offset?: number): never {
    throw new Qcow2Error(code, reason, { file: this.name, structure, offset });
  }

  checkOpen(): void {
    if (this.closed) this.fail("closed", "image is closed");
  }

  checkRange(offset: number, length: number, limit: number): void {
    this.checkOpen();
    if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0) {
      this.fail("invalid-argument", `impossible range ${offset}+${length}`);
    }
    if (offset + length > limit) this.fail("out-of-range", `${offset}+${length} is beyond the end at ${limit}`);
    this.checkUnlocked();
  }

  /** @throws Qcow2Error "passphrase-required" when guest data cannot be read and written */
  checkUnlocked(): void {
    if (this.locked) this.fail("passphrase-required", "image is encrypted and was opened without its passphrase");
  }

  checkWritable(): void {
    this.checkOpen();
    if (this.options.readOnly) this.fail("read-only", "image was opened read-only");
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Nothing is left to do for `start(true)`, so that requests need not wait for it. */
  get started(): boolean {
    return this.#ready && (this.#observed || this.observer === undefined);
  }

  /** Must be awaited before anything is changed; `observe` says that guest data changes. */
  async start(observe: boolean): Promise<void> {
    if (this.snapshotDamage !== undefined) throw this.snapshotDamage;
    if (this.#started === undefined) {
      this.#started = this.#markInUse();
      this.#started.catch(() => {
        this.#started = undefined;
      });
    }
    const started = this.#started;
    await started;
    if (this.#started === started) this.#ready = true;
    if (observe && !this.#observed && this.observer !== undefined) {
      // Requests that come together wait for the same start: none may write before it is through.
      this.#observing ??= this.observer.start().finally(() => {
        this.#observing = undefined;
      });
      await this.#observing;
      this.#observed = true;
    }
  }

  async #markInUse(): Promise<void> {
    if (!this.lazy || (this.header.incompatibleFeatures & INCOMPATIBLE.dirty) !== 0n) return;
    this.header.incompatibleFeatures |= INCOMPATIBLE.dirty;
    await this.writeHeader();
    await this.host.flush();
    this.#markedDirty = true;
  }

  /** Does anew what `start` does, after lazy refcounts were switched on. */
  async restart(): Promise<void> {
    this.#stop();
    await this.start(false);
  }

  #stop(): void {
    this.#started = undefined;
    this.#ready = false;
  }

  /** Writes refcounts that lazy updates held back, and clears the dirty bit that stood for them. */
  async settle(): Promise<void> {
    await this.#writeRefcounts();
    if (!this.#markedDirty || this.#failure !== undefined) return;
    await this.host.flush();
    this.header.incompatibleFeatures &= ~INCOMPATIBLE.dirty;
    await this.writeHeader();
    this.#markedDirty = false;
    this.#stop();
  }

  /** Reads the tables anew, after their place or shape changed in the file. */
  async reload(): Promise<void> {
    this.geometry = geometryOf(this.header);
    await this.load(this.header.l1TableOffset, this.header.l1Size);
  }

  /** Writes the header and the extensions; the caller orders it with flushes. */
  async writeHeader(): Promise<void> {
    await writeHeaderCluster(this.host, this.header);
  }

  async moveRefcountTable(offset: number, clusters: number): Promise<void> {
    this.header.refcountTableOffset = offset;
    this.header.refcountTableClusters = clusters;
    // This may happen in the middle of another change of the header, which must not become visible early.
    const cluster = new Uint8Array(this.geometry.clusterSize);
    await this.host.read(cluster, 0);
    const inFile = decodeHeader(cluster, this.name);
    await writeHeaderCluster(this.host, {
      ...inFile,
      refcountTableOffset: offset,
      refcountTableClusters: clusters,
    });
    await this.host.flush();
  }

  overlap(offset: number, length: number, own?: MetadataKind): MetadataKind | undefined {
    return this.#metadataMap.find(offset, length, own);
  }

  /**
   * Refuses a write over metadata, which only damage can cause.
   * @param own the kind of structure that is being written
   * @throws Qcow2Error "corrupt"
   */
  checkOverlap(offset: number, length: number, own?: MetadataKind): void {
    const kind = this.#metadataMap.find(offset, length, own);
    if (kind !== undefined) throw overlapError(kind, this.name, offset);
  }

  /** Sets the corrupt bit, so that nobody writes to the image before it is repaired. */
  async markCorrupt(error: Qcow2Error): Promise<void> {
    if (this.options.readOnly || this.#failure !== undefined) return;
    this.#failure = error;
    if (this.header.version < 3) return;
    this.header.incompatibleFeatures |= INCOMPATIBLE.corrupt;
    await this.writeHeader();
    await this.host.flush();
  }

  /** Runs `action` while no request is under way and nothing is dirty. */
  async exclusively<T>(action: () => Promise<T>): Promise<T> {
    let lock: Range | Promise<Range> = this.locks.acquire(0, Number.POSITIVE_INFINITY, true);
    if (lock instanceof Promise) lock = await lock;
    try {
      this.checkOpen();
      return await action();
    } finally {
      this.locks.release(lock);
    }
  }

  /** Called by writers between requests: bounds what waits in memory. */
  needsFlush(): boolean {
    return (
      this.mapping.cache.overfull ||
      this.refcounts.cache.overfull ||
      this.refcounts.pendingClusters > MAX_PENDING_CLUSTERS
    );
  }

  /**
   * Writes all metadata in an order that power loss cannot harm, and makes it and the data durable.
   *
   * 1. Increased refcounts and L2 tables that nothing in the file refers to yet; then a flush, which covers the data.
   * 2. Changed L2 tables and L1 entries; then a flush.
   * 3. Decrements of what these changes no longer refer to, in memory; they are written with the next step 1.
   */
  flush(): Promise<void> {
    return this.#flushing.run(() => this.#flush());
  }

  async #flush(): Promise<void> {
    const { host, mapping, refcounts } = this;
    const writes = mapping.cache.dirtyTables().map((table) => snapshotTable(mapping.cache, table));
    const l1 = mapping.takeDirtyL1();
    const pending = refcounts.takePending();
    let step = 0;
    try {
      if (!this.lazy || refcounts.cache.overfull) await this.#writeRefcounts();
      for (const write of writes) if (write.fresh) await this.#write(write);
      await host.flush();
      if (this.data !== host) await this.data.flush();
      const changed = writes.filter((write) => !write.fresh);
      if (changed.length > 0 || l1.length > 0) {
        for (const write of changed) await this.#write(write);
        for (const { offset, data } of l1) await host.write(data, offset);
        await host.flush();
      }
      step = 3;
      if (pending.length > 0) {
        await this.metadata.run(() =>
          refcounts.applyPending(pending, this.options.discard && host.file.punchHole !== undefined),
        );
      }
    } catch (error) {
      if (step < 3) {
        for (const write of writes) undoSnapshot(mapping.cache, write);
        for (const { indexes } of l1) for (const index of indexes) mapping.dirtyL1.add(index);
        refcounts.restorePending(pending);
      }
      if (error instanceof Qcow2Error && error.code === "corrupt") await this.markCorrupt(error);
      throw error;
    } finally {
      for (const write of writes) write.table.writing--;
    }
  }

  async #write(write: TableWrite): Promise<void> {
    this.checkOverlap(write.table.offset, write.table.data.length, "active L2 table");
    await this.host.write(write.data, write.table.offset + write.from);
  }

  async #writeRefcounts(): Promise<void> {
    const { refcounts } = this;
    if (!refcounts.cache.hasDirty && refcounts.dirtyEntries.size === 0) return;
    await this.metadata.run(async () => {
      await refcounts.writeBlocks();
      if (refcounts.dirtyEntries.size > 0) {
        await this.host.flush();
        await refcounts.writeEntries();
      }
    });
  }

  /** Brings the file into its final, clean state. */
  async finish(): Promise<void> {
    if (this.options.readOnly) return;
    if (this.#observed) {
      this.#observed = false;
      await this.observer?.finish();
    }
    await this.flush();
    // The file ends at a cluster boundary, so that no reader meets half a cluster.
    await this.host.extend(roundUp(this.host.end, this.geometry.clusterSize));
    await this.settle();
    await this.host.flush();
  }
}
