import type { BitmapStore } from "../bitmaps/store.js";
import type { AddPassphraseOptions, LuksVolume, RemovePassphraseOptions } from "../crypto/luks.js";
import type { Disk, Extent, StatusOptions, WriteZeroesOptions } from "../disk.js";
import { Qcow2Error } from "../errors.js";
import type { RandomAccessFile } from "../file.js";
import { roundUp } from "../format/binary.js";
import { type AmendOptions, amend } from "../operations/amend.js";
import { check } from "../operations/check.js";
import { applySnapshot, deleteSnapshot } from "../snapshots/change.js";
import { createSnapshot } from "../snapshots/create.js";
import { describeSnapshot } from "../snapshots/read.js";
import { findSnapshot } from "../snapshots/table.js";
import { CompressedWriter } from "./compressed-writer.js";
import type { ImageCore } from "./core.js";
import { describeImage } from "./describe.js";
import { Reader } from "./reader.js";
import { growL1, type ResizeOptions, resize } from "./resize.js";
import { status } from "./status.js";
import type {
  BitmapInfo,
  CheckOptions,
  CheckResult,
  OperationOptions,
  Qcow2Info,
  SnapshotCreateOptions,
  SnapshotInfo,
} from "./types.js";
import { Writer } from "./writer.js";
import { Zeroer } from "./zero.js";

/** An open qcow2 image. */
export class Qcow2Image implements Disk {
  readonly format = "qcow2";
  /** What all parts of the image share; for the operations of this package. */
  readonly core: ImageCore;
  readonly bitmaps: BitmapStore;
  readonly #reader: Reader;
  readonly #writer: Writer;
  readonly #zeroer: Zeroer;
  readonly #compressed: CompressedWriter;
  readonly #luks: LuksVolume | undefined;
  /** Virtual size when it differs from the header's: a snapshot is being read. */
  readonly #size: number | undefined;

  /** Use `openQcow2`. */
  constructor(core: ImageCore, bitmaps: BitmapStore, luks: LuksVolume | undefined, size: number | undefined) {
    this.core = core;
    this.bitmaps = bitmaps;
    this.#luks = luks;
    this.#size = size;
    core.snapshotSize = size;
    this.#reader = new Reader(core);
    this.#writer = new Writer(core, this.#reader);
    this.#zeroer = new Zeroer(core, this.#writer);
    this.#compressed = new CompressedWriter(core, this.#writer);
  }

  get name(): string {
    return this.core.name;
  }

  get size(): number {
    return this.#size ?? this.core.header.size;
  }

  get readOnly(): boolean {
    return this.core.options.readOnly;
  }

  get clusterSize(): number {
    return this.core.geometry.clusterSize;
  }

  /** The external data file, or undefined when guest data lies in the image itself. */
  get dataFile(): RandomAccessFile | undefined {
    return this.core.hasDataFile ? this.core.data.file : undefined;
  }

  get backing(): Disk | undefined {
    return this.core.backing;
  }

  async read(buffer: Uint8Array, offset: number): Promise<void> {
    this.core.checkRange(offset, buffer.length, this.size);
    await this.#reader.read(buffer, offset);
  }

  async write(data: Uint8Array, offset: number): Promise<void> {
    this.core.checkWritable();
    this.core.checkRange(offset, data.length, this.size);
    // Like `#change`, and for the many small requests without its function and promise.
    try {
      await this.#writer.write(data, offset);
    } catch (error) {
      throw await this.#noted(error);
    }
  }

  /** Runs a change; when it meets damaged metadata, the image is marked as corrupt and takes no more changes. */
  async #change(action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (error) {
      throw await this.#noted(error);
    }
  }

  async #noted(error: unknown): Promise<unknown> {
    if (error instanceof Qcow2Error && error.code === "corrupt") await this.core.markCorrupt(error);
    return error;
  }

  async writeZeroes(offset: number, length: number, options: WriteZeroesOptions = {}): Promise<void> {
    this.core.checkWritable();
    this.core.checkRange(offset, length, this.size);
    await this.#change(() => this.#zeroer.writeZeroes(offset, length, options.unmap !== false));
  }

  /** Whole clusters inside the range are given up and read as zeros (version 2 with a backing file: unchanged). */
  async discard(offset: number, length: number): Promise<void> {
    this.core.checkWritable();
    this.core.checkRange(offset, length, this.size);
    await this.#change(() => this.#zeroer.discard(offset, length));
  }

  /** Writes one cluster compressed; it is stored plain when it does not shrink. */
  async writeCompressed(data: Uint8Array, offset: number): Promise<void> {
    const { core } = this;
    core.checkWritable();
    core.checkRange(offset, data.length, this.size);
    if (offset % this.clusterSize !== 0 || data.length !== Math.min(this.clusterSize, this.size - offset)) {
      core.fail("invalid-argument", "compressed writes take exactly one whole cluster");
    }
    if (core.hasDataFile) core.fail("unsupported", "compressed clusters do not go with an external data file");
    if (core.encrypted) core.fail("unsupported", "compressed clusters do not go with encryption");
    await this.#change(() => this.#compressed.write(data, offset));
  }

  async flush(): Promise<void> {
    this.core.checkOpen();
    if (!this.readOnly) await this.core.flush();
  }

  async status(offset: number, length: number, options: StatusOptions = {}): Promise<Extent> {
    this.core.checkOpen();
    if (length <= 0 || offset < 0 || offset + length > this.size) {
      this.core.fail("out-of-range", `${offset}+${length} is not inside the disk`);
    }
    return status(this.core, offset, length, options);
  }

  /**
   * @throws Qcow2Error "conflict" when the disk would shrink without `shrink`, or a version 2 image has snapshots.
   */
  async resize(size: number, options: ResizeOptions = {}): Promise<void> {
    this.core.checkWritable();
    await this.core.exclusively(async () => {
      await this.core.start(false);
      this.bitmaps.checkResizable();
      await this.bitmaps.resize(size, () => resize(this.core, this.#zeroer, size, options));
    });
  }

  /** Gives up all content of this layer: everything comes from the backing file again. Snapshots stay. */
  async makeEmpty(): Promise<void> {
    const { core } = this;
    core.checkWritable();
    await core.exclusively(async () => {
      await core.start(true);
      core.observer?.changed(0, this.size);
      await this.#zeroer.forget(0, roundUp(this.size, this.clusterSize));
      await core.flush();
    });
  }

  info(): Qcow2Info {
    return describeImage(this.core.header, {
      virtualSize: this.size,
      luks: this.#luks?.info(),
      snapshots: this.listSnapshots(),
      bitmaps: this.listBitmaps(),
    });
  }

  listSnapshots(): SnapshotInfo[] {
    return this.core.snapshots.map((entry) => describeSnapshot(entry, this.core.header.size));
  }

  /** Keeps the present state under a name. @throws Qcow2Error "exists", "conflict" */
  async createSnapshot(options: SnapshotCreateOptions): Promise<SnapshotInfo> {
    this.core.checkWritable();
    return this.core.exclusively(() => createSnapshot(this.core, this.#zeroer, options));
  }

  /** Goes back to a snapshot, which stays. @throws Qcow2Error "not-found" */
  async applySnapshot(idOrName: string): Promise<void> {
    const { core } = this;
    core.checkWritable();
    await core.exclusively(async () => {
      const snapshot = findSnapshot(core, idOrName);
      const size = snapshot.diskSize ?? core.header.size;
      if (size === core.header.size) return applySnapshot(core, snapshot);
      this.bitmaps.checkResizable();
      await this.bitmaps.resize(size, () => applySnapshot(core, snapshot));
      // What the disk gained is the snapshot's content.
      this.bitmaps.changed(0, size);
    });
  }

  /** @throws Qcow2Error "not-found" */
  async deleteSnapshot(idOrName: string): Promise<void> {
    this.core.checkWritable();
    await this.core.exclusively(() => deleteSnapshot(this.core, findSnapshot(this.core, idOrName)));
  }

  /** Byte on the virtual disk where machine state starts: the first L2 table that holds no disk content. */
  get #vmStateStart(): number {
    return roundUp(this.size, this.core.geometry.l2Coverage);
  }

  /** Reads machine state: of the snapshot that is open, or what `writeVmState` wrote. */
  async readVmState(buffer: Uint8Array, position: number): Promise<void> {
    this.core.checkRange(position, buffer.length, Number.MAX_SAFE_INTEGER - this.#vmStateStart);
    await this.#reader.read(buffer, this.#vmStateStart + position);
  }

  /** Writes machine state, to be kept by the next `createSnapshot`. */
  async writeVmState(data: Uint8Array, position: number): Promise<void> {
    const { core } = this;
    core.checkWritable();
    core.checkRange(position, data.length, Number.MAX_SAFE_INTEGER - this.#vmStateStart);
    if (core.hasDataFile) core.fail("unsupported", "machine state does not go with an external data file");
    const start = this.#vmStateStart + position;
    const entries = Math.ceil((start + data.length) / core.geometry.l2Coverage);
    if (entries > core.mapping.l1Size) {
      await core.exclusively(async () => {
        await core.start(false);
        await growL1(core, entries);
      });
    }
    await this.#writer.write(data, start);
  }

  listBitmaps(): BitmapInfo[] {
    return this.bitmaps.list();
  }

  /** @param granularity bytes per bit, a power of two from 512 to 2 GiB (default: the cluster size, at least 4 KiB). */
  async createBitmap(name: string, options: { granularity?: number; enabled?: boolean } = {}): Promise<void> {
    await this.#changeBitmaps(() => this.bitmaps.create(name, options));
  }

  async removeBitmap(name: string): Promise<void> {
    await this.#changeBitmaps(() => this.bitmaps.remove(name));
  }

  async clearBitmap(name: string): Promise<void> {
    await this.#changeBitmaps(() => this.bitmaps.clear(name));
  }

  async setBitmapEnabled(name: string, enabled: boolean): Promise<void> {
    await this.#changeBitmaps(() => this.bitmaps.setEnabled(name, enabled));
  }

  /** Adds the bits of `source` (of this image or of `from`) to `target`. Granularities may differ. */
  async mergeBitmap(target: string, source: string, from: Qcow2Image = this): Promise<void> {
    await this.#changeBitmaps(() => this.bitmaps.merge(target, from.bitmaps, source));
  }

  /** Runs of the disk that the bitmap marks, in ascending order. */
  dirtyRanges(name: string): AsyncGenerator<{ offset: number; length: number }> {
    return this.bitmaps.ranges(name);
  }

  async #changeBitmaps(action: () => Promise<void>): Promise<void> {
    this.core.checkWritable();
    await this.core.exclusively(async () => {
      await this.core.start(false);
      await action();
    });
  }

  /** Examines all metadata and repairs it when asked to. */
  async check(options: CheckOptions = {}): Promise<CheckResult> {
    if (options.repair !== undefined && options.repair !== "none") this.core.checkWritable();
    return this.core.exclusively(() => check(this.core, this.bitmaps, options));
  }

  /** Changes the backing file's name and format in the header only; the data is not looked at ("unsafe rebase"). */
  async setBackingFile(backing: { readonly name: string; readonly format?: string } | undefined): Promise<void> {
    const { core } = this;
    core.checkWritable();
    if (backing !== undefined && core.dataFileRaw) {
      core.fail("conflict", "a raw external data file does not go with a backing file");
    }
    await core.exclusively(async () => {
      await core.flush();
      const old = { name: core.header.backingFile, format: core.header.backingFormat };
      core.header.backingFile = backing?.name;
      core.header.backingFormat = backing?.format;
      try {
        await core.writeHeader();
      } catch (error) {
        core.header.backingFile = old.name;
        core.header.backingFormat = old.format;
        throw error;
      }
      await core.host.flush();
    });
  }

  /** Changes format options of the image in place. */
  async amend(options: AmendOptions, operation: OperationOptions = {}): Promise<void> {
    this.core.checkWritable();
    if (options.size !== undefined) await this.resize(options.size);
    await this.core.exclusively(() => amend(this.core, this.bitmaps, options, operation, this.#zeroer));
  }

  /** Adds a passphrase to a LUKS image that is unlocked. Returns the key slot. */
  async addPassphrase(options: AddPassphraseOptions): Promise<number> {
    this.core.checkWritable();
    return this.#luksVolume().addPassphrase(options);
  }

  /** Erases the key slots a passphrase opens, or one slot. @throws Qcow2Error "wrong-passphrase", "not-found", "conflict" */
  async removePassphrase(options: RemovePassphraseOptions): Promise<void> {
    this.core.checkWritable();
    await this.#luksVolume().removePassphrase(options);
  }

  #luksVolume(): LuksVolume {
    return this.#luks ?? this.core.fail("unsupported", "image is not encrypted with LUKS");
  }

  /** How many clusters of the image file are in use; no more than `limit` are looked for. */
  async countUsedClusters(limit: number): Promise<number> {
    const { core } = this;
    core.checkOpen();
    let used = 0;
    await core.refcounts.visit(
      Math.ceil(core.host.end / this.clusterSize),
      (_cluster, count) => {
        if (count > 0) used++;
        return used < limit;
      },
      // Damaged refcounts are the business of `check`.
      () => {},
    );
    return Math.min(used, limit);
  }

  /** Bytes of storage the image file uses, as far as its file knows. */
  async allocatedSize(): Promise<number> {
    const { file } = this.core.host;
    return (await file.allocatedSize?.()) ?? file.size();
  }

  /** Writes everything back and closes the files and the backing chain. */
  async close(): Promise<void> {
    const { core } = this;
    if (core.closed) return;
    try {
      await core.exclusively(async () => {
        core.closed = true;
        await core.finish();
      });
    } finally {
      core.closed = true;
      await core.host.file.close();
      if (core.data !== core.host) await core.data.file.close();
      await core.backing?.close();
    }
  }
}
