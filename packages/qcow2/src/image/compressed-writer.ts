import { COMPRESSED_HIGH, compressedOffsetLimit, encodeCompressedHigh, lowOf } from "../format/entries.js";
import type { ClusterCodec } from "../platform.js";
import type { ImageCore } from "./core.js";
import { Mutex, type Range } from "./locks.js";
import type { Writer } from "./writer.js";

/**
 * Writes compressed clusters one behind the other. Compression of several clusters runs in parallel (as many as the
 * caller has in flight); they are written in the order of the calls, so that the same data makes the same image.
 */
export class CompressedWriter {
  readonly #core: ImageCore;
  readonly #writer: Writer;
  #codec: ClusterCodec | undefined;
  /** Host byte where the next compressed cluster may start; `#room` bytes of its host cluster are left. */
  #next = 0;
  #room = 0;
  readonly #order = new Mutex();

  constructor(core: ImageCore, writer: Writer) {
    this.#core = core;
    this.#writer = writer;
    core.onCompressedFree = () => {
      this.#room = 0;
    };
  }

  /** Writes the cluster at `offset`; `data` is a whole cluster, or the shorter end of the disk. */
  write(data: Uint8Array, offset: number): Promise<void> {
    const packed = this.#compress(data);
    // It may fail before its turn comes, which is when somebody hears of it.
    packed.catch(() => {});
    return this.#order.run(async () => this.#store(data, await packed, offset));
  }

  /** The compressed cluster, or undefined when that would not be smaller. */
  async #compress(data: Uint8Array): Promise<Uint8Array | undefined> {
    const core = this.#core;
    const { clusterSize } = core.geometry;
    await core.start(true);
    if (core.needsFlush()) await core.flush();
    this.#codec ??= await core.codec();
    let cluster = data;
    if (data.length < clusterSize) {
      cluster = new Uint8Array(clusterSize);
      cluster.set(data);
    }
    const packed = await this.#codec.compress(cluster, clusterSize);
    return packed !== undefined && packed.length < clusterSize ? packed : undefined;
  }

  async #store(data: Uint8Array, packed: Uint8Array | undefined, offset: number): Promise<void> {
    if (packed === undefined) return this.#writer.write(data, offset);
    const core = this.#core;
    const { clusterSize } = core.geometry;
    let lock: Range | Promise<Range> = core.locks.acquire(offset, offset + clusterSize, true);
    if (lock instanceof Promise) lock = await lock;
    try {
      // What ran while this waited may have taken the dirty bit away.
      if (!core.started) await core.start(true);
      core.observer?.changed(offset, data.length);
      const host = await core.metadata.run(() => this.#allocate(packed.length));
      try {
        core.checkOverlap(host, packed.length);
        await core.host.write(packed, host);
        await this.#link(offset, host, packed.length);
      } catch (error) {
        core.refcounts.free(host, packed.length);
        throw error;
      }
    } finally {
      core.locks.release(lock);
    }
  }

  /** Space for `length` bytes, in the rest of the cluster used last and the one behind it, or in a new one. */
  async #allocate(length: number): Promise<number> {
    const { refcounts, geometry } = this.#core;
    const { clusterSize } = geometry;
    if (this.#room > 0) {
      const count = await refcounts.get(Math.floor(this.#next / clusterSize));
      if (count === 0 || count >= refcounts.codec.max) this.#room = 0;
    }
    let start = this.#next;
    if (this.#room < length) {
      const offset = await refcounts.allocateExact(1);
      if (offset + clusterSize > compressedOffsetLimit(geometry.clusterBits)) {
        refcounts.free(offset, clusterSize);
        this.#core.fail("too-large", "compressed data would lie beyond what its descriptor can say");
      }
      if (this.#room === 0 || offset !== start + this.#room) {
        start = offset;
        this.#room = clusterSize;
      } else {
        await refcounts.increment(start, 1);
        this.#room += clusterSize;
      }
    } else {
      await refcounts.increment(start, 1);
    }
    this.#next = start + length;
    this.#room -= length;
    if (this.#next % clusterSize === 0) this.#room = 0;
    return start;
  }

  async #link(guest: number, host: number, length: number): Promise<void> {
    const { mapping, geometry } = this.#core;
    const { l2Coverage, clusterSize, l2EntrySize, extendedL2, clusterBits } = geometry;
    await mapping.withTable(Math.floor(guest / l2Coverage), (table) => {
      const position = Math.floor((guest % l2Coverage) / clusterSize) * l2EntrySize;
      this.#writer.release(table, position);
      table.view.setUint32(position, encodeCompressedHigh(host, length, clusterBits) | COMPRESSED_HIGH);
      table.view.setUint32(position + 4, lowOf(host));
      if (extendedL2) table.view.setBigUint64(position + 8, 0n);
      mapping.cache.markDirty(table, position, position + l2EntrySize);
    });
    this.#core.onCompressedChange();
  }
}
