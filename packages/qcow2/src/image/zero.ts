import { roundDown, roundUp } from "../format/binary.js";
import { COMPRESSED_HIGH, COPIED_HIGH, entryOffset, ZERO_LOW } from "../format/entries.js";
import type { ImageCore } from "./core.js";
import type { Range } from "./locks.js";
import { Kind } from "./mapping.js";
import { status } from "./status.js";
import type { Table } from "./table-cache.js";
import { bitRange, type Writer } from "./writer.js";

/** Zeros written in one piece where the format cannot just say "zero". */
const ZERO_BUFFER = new Uint8Array(1024 * 1024);

/** Clears and discards ranges by changing L2 entries. */
export class Zeroer {
  readonly #core: ImageCore;
  readonly #writer: Writer;

  constructor(core: ImageCore, writer: Writer) {
    this.#core = core;
    this.#writer = writer;
  }

  async #locked(offset: number, length: number, action: () => Promise<void>): Promise<void> {
    const core = this.#core;
    const { clusterSize } = core.geometry;
    const from = roundDown(offset, clusterSize);
    let lock: Range | Promise<Range> = core.locks.acquire(from, roundUp(offset + length, clusterSize), true);
    if (lock instanceof Promise) lock = await lock;
    try {
      // What ran while this waited may have taken the dirty bit away.
      if (!core.started) await core.start(true);
      await action();
    } finally {
      core.locks.release(lock);
    }
  }

  async writeZeroes(offset: number, length: number, unmap: boolean): Promise<void> {
    const core = this.#core;
    if (length === 0) return;
    await core.start(true);
    if (core.needsFlush()) await core.flush();
    await this.#locked(offset, length, async () => {
      core.observer?.changed(offset, length);
      await this.#zero(offset, offset + length, unmap);
    });
  }

  /** Makes a range read as zeros, for callers that hold the exclusive lock. */
  async zeroUnlocked(offset: number, end: number): Promise<void> {
    await this.#zero(offset, end, false);
  }

  /** The same by writing bytes where something else than zeros is; no entry changes its kind. */
  async overwrite(offset: number, end: number): Promise<void> {
    await this.#zeroByWriting(offset, end);
  }

  /** Replaces zero clusters by clusters full of zeros. */
  async materialize(offset: number, end: number): Promise<void> {
    await this.#writeZeroBytes(offset, end);
  }

  /** Empties the entries of whole clusters, so that nothing describes them any more. */
  async forget(from: number, to: number): Promise<void> {
    const { l2EntrySize } = this.#core.geometry;
    await this.#eachTable(from, to, true, (table, position) => {
      this.#writer.release(table, position);
      table.data.fill(0, position, position + l2EntrySize);
      this.#core.mapping.cache.markDirty(table, position, position + l2EntrySize);
    });
  }

  async #zero(offset: number, end: number, unmap: boolean): Promise<void> {
    const core = this.#core;
    if (core.header.version < 3) return this.#zeroByWriting(offset, end);
    const { clusterSize, subclusterSize } = core.geometry;
    // The last cluster of the disk counts as whole where the disk ends.
    const stop = end === core.header.size ? roundUp(end, subclusterSize) : end;
    let from = offset;
    let to = stop;
    const first = roundDown(offset, subclusterSize);
    if (first !== offset || stop < first + subclusterSize) {
      const whole = await this.#canZeroWhole(first, offset, Math.min(stop, first + subclusterSize));
      from = whole ? first : Math.min(first + subclusterSize, stop);
    }
    const last = roundDown(stop, subclusterSize);
    if (last !== stop && last >= from) {
      if (last === from && from === first) to = first + subclusterSize;
      else to = (await this.#canZeroWhole(last, last, stop)) ? last + subclusterSize : last;
    }
    if (to <= from) return this.#zeroByWriting(offset, end);
    // A part of a compressed cluster has no bits to say "zero"; such a cluster is written instead.
    const headEnd = Math.min(to, roundUp(from, clusterSize));
    if (headEnd > from && (await this.#isCompressed(from, headEnd))) from = headEnd;
    const tailStart = Math.max(from, roundDown(to, clusterSize));
    if (to > tailStart && (await this.#isCompressed(tailStart, to))) to = tailStart;
    if (from > offset) await this.#zeroByWriting(offset, Math.min(from, end));
    if (core.dataFileRaw) await this.#zeroDataFile(from, Math.min(to, core.header.size));
    await this.#eachTable(from, to, false, (table, position, start, partEnd) =>
      this.#zeroEntry(table, position, start, partEnd, unmap),
    );
    if (to < end) await this.#zeroByWriting(to, end);
  }

  /**
   * Whether the subcluster at `start` can become zero as a whole when only [from, to) of it was asked for: nothing
   * is stored for it, and its rest reads as zeros.
   */
  async #canZeroWhole(start: number, from: number, to: number): Promise<boolean> {
    const core = this.#core;
    const end = Math.min(start + core.geometry.subclusterSize, core.header.size);
    for (const { kind } of await core.mapping.lookup(start, end)) {
      if (kind !== Kind.Unallocated && kind !== Kind.Zero && kind !== Kind.ZeroOwned && kind !== Kind.ZeroShared)
        return false;
    }
    for (const [restFrom, restTo] of [
      [start, from],
      [Math.min(to, end), end],
    ]) {
      for (let at = restFrom; at < restTo; ) {
        const extent = await status(core, at, restTo - at);
        if (!extent.zero) return false;
        at += extent.length;
      }
    }
    return true;
  }

  async #isCompressed(start: number, stop: number): Promise<boolean> {
    return (await this.#core.mapping.lookup(start, stop)).some(({ kind }) => kind === Kind.Compressed);
  }

  /** Keeps a raw external data file readable on its own. */
  async #zeroDataFile(from: number, to: number): Promise<void> {
    for (let at = from; at < to; at += ZERO_BUFFER.length) {
      await this.#core.data.write(ZERO_BUFFER.subarray(0, Math.min(ZERO_BUFFER.length, to - at)), at);
    }
  }

  /** Partial subclusters, and everything in version 2: bytes are written unless zeros are there already. */
  async #zeroByWriting(offset: number, end: number): Promise<void> {
    const core = this.#core;
    const { clusterSize } = core.geometry;
    for (let at = offset; at < end; ) {
      const segments = await core.mapping.lookup(at, Math.min(end, at + 16 * ZERO_BUFFER.length));
      for (const segment of segments) {
        const stop = segment.offset + segment.length;
        const { kind } = segment;
        const noBacking = core.backing === undefined || segment.offset >= core.backing.size;
        const zero = kind === Kind.Zero || kind === Kind.ZeroOwned || kind === Kind.ZeroShared;
        if (!zero && !(kind === Kind.Unallocated && noBacking)) {
          let from = segment.offset;
          if (core.header.version < 3 && core.header.backingFile === undefined) {
            const whole = [
              roundUp(from, clusterSize),
              roundDown(stop === core.header.size ? roundUp(stop, clusterSize) : stop, clusterSize),
            ];
            if (whole[1] > whole[0]) {
              await this.#writeZeroBytes(from, whole[0]);
              await this.#discard(whole[0], whole[1]);
              from = Math.min(stop, whole[1]);
            }
          }
          await this.#writeZeroBytes(from, stop);
        }
        at = stop;
      }
    }
  }

  async #writeZeroBytes(from: number, to: number): Promise<void> {
    for (let at = from; at < to; at += ZERO_BUFFER.length) {
      await this.#writer.writeUnlocked(ZERO_BUFFER.subarray(0, Math.min(ZERO_BUFFER.length, to - at)), at);
    }
  }

  /** Calls `change` for every cluster of [from, to), in one turn per L2 table. */
  async #eachTable(
    from: number,
    to: number,
    skipMissing: boolean,
    change: (table: Table, position: number, start: number, stop: number) => void,
  ): Promise<void> {
    const core = this.#core;
    const { mapping } = core;
    const { l2Coverage, clusterSize, l2EntrySize } = core.geometry;
    for (let at = from; at < to; ) {
      const l1Index = Math.floor(at / l2Coverage);
      const stop = Math.min(to, (l1Index + 1) * l2Coverage);
      const start = at;
      at = stop;
      if (skipMissing && mapping.l2Offset(l1Index) === 0) continue;
      if (core.needsFlush()) await core.flush();
      await mapping.withTable(l1Index, (table) => {
        for (let cluster = start; cluster < stop; ) {
          const next = Math.min(stop, roundDown(cluster, clusterSize) + clusterSize);
          const position = Math.floor((cluster % l2Coverage) / clusterSize) * l2EntrySize;
          const inside = cluster % clusterSize;
          change(table, position, inside, inside + (next - cluster));
          cluster = next;
        }
      });
    }
  }

  #zeroEntry(table: Table, position: number, start: number, stop: number, unmap: boolean): void {
    const core = this.#core;
    const { clusterSize, subclusterSize, extendedL2, l2EntrySize } = core.geometry;
    const { view } = table;
    const high = view.getUint32(position);
    const low = view.getUint32(position + 4);
    const compressed = (high & COMPRESSED_HIGH) !== 0;
    const whole = start === 0 && stop === clusterSize;
    if (extendedL2 && !whole) {
      const bits = bitRange(start, stop, subclusterSize);
      view.setUint32(position + 8, (view.getUint32(position + 8) | bits) >>> 0);
      view.setUint32(position + 12, (view.getUint32(position + 12) & ~bits) >>> 0);
    } else {
      const present = !compressed && (entryOffset(high, low) !== 0 || (core.hasDataFile && (high & COPIED_HIGH) !== 0));
      // Compressed data never stays behind a zero entry; a plain cluster does unless it may be released.
      const keep = present && (!unmap || core.dataFileRaw);
      if (!keep) {
        this.#writer.release(table, position);
        view.setUint32(position, 0);
        view.setUint32(position + 4, 0);
      }
      if (extendedL2) {
        view.setUint32(position + 8, 0xffff_ffff);
        view.setUint32(position + 12, 0);
      } else {
        view.setUint32(position + 4, (view.getUint32(position + 4) | ZERO_LOW) >>> 0);
      }
    }
    core.mapping.cache.markDirty(table, position, position + l2EntrySize);
  }

  /** Discards the whole clusters inside of the range. */
  async discard(offset: number, length: number): Promise<void> {
    const core = this.#core;
    const { clusterSize } = core.geometry;
    const end = offset + length;
    const from = roundUp(offset, clusterSize);
    const to = roundDown(end === core.header.size ? roundUp(end, clusterSize) : end, clusterSize);
    if (to <= from) return;
    await core.start(true);
    if (core.needsFlush()) await core.flush();
    await this.#locked(from, to - from, async () => {
      core.observer?.changed(from, Math.min(to, core.header.size) - from);
      await this.#discard(from, to);
      if (core.hasDataFile && core.options.discard) {
        await core.data.punchHole(from, Math.min(to, core.header.size) - from);
      }
    });
  }

  async #discard(from: number, to: number): Promise<void> {
    if (this.#core.dataFileRaw) {
      await this.#zeroDataFile(from, Math.min(to, this.#core.header.size));
    }
    await this.#eachTable(from, to, this.#core.backing === undefined, (table, position) =>
      this.#discardEntry(table, position),
    );
  }

  #discardEntry(table: Table, position: number): void {
    const core = this.#core;
    const { extendedL2, l2EntrySize } = core.geometry;
    const { view } = table;
    const high = view.getUint32(position);
    const low = view.getUint32(position + 4);
    const empty = high === 0 && low === 0 && (!extendedL2 || view.getBigUint64(position + 8) === 0n);
    // With a backing file, "unallocated" would let old content shine through.
    if (empty && core.backing === undefined && core.header.backingFile === undefined) return;
    if (core.header.version < 3 && core.header.backingFile !== undefined) return;
    this.#writer.release(table, position);
    view.setUint32(position, 0);
    view.setUint32(position + 4, core.header.version < 3 || extendedL2 ? 0 : ZERO_LOW);
    if (extendedL2) {
      view.setUint32(position + 8, 0xffff_ffff);
      view.setUint32(position + 12, 0);
    }
    core.mapping.cache.markDirty(table, position, position + l2EntrySize);
  }
}
