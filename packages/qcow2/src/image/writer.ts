import { Qcow2Error } from "../errors.js";
import { roundDown, roundUp } from "../format/binary.js";
import { SECTOR } from "../format/constants.js";
import {
  COMPRESSED_HIGH,
  COPIED_HIGH,
  decodeCompressed,
  entryOffset,
  highOf,
  lowOf,
  ZERO_LOW,
} from "../format/entries.js";
import type { ImageCore } from "./core.js";
import { forAll, type Range } from "./locks.js";
import { Kind, type Segment } from "./mapping.js";
import type { Reader } from "./reader.js";
import type { Table } from "./table-cache.js";

/** A span up to this size is put together in memory and written at once, rather than as head, body and tail. */
const MAX_ASSEMBLED = 256 * 1024;

/** How a cluster takes new data. */
const Way = {
  /** All touched subclusters are there and owned. */
  InPlace: 0,
  /** The host cluster is there and owned, but what it holds does not count yet. */
  Reuse: 1,
  /** A new cluster is needed. */
  New: 2,
} as const;
type Way = (typeof Way)[keyof typeof Way];

interface Run {
  way: Way;
  /** Guest bytes of the request in this run. */
  start: number;
  end: number;
  /** Host offset of the cluster that holds `start`, when there is one. */
  host: number;
  /** Old content of the first and last cluster that the new cluster has to keep. */
  keepFirst: boolean;
  keepLast: boolean;
}

/** Writes guest data: in place, into preallocated clusters, or into new ones (copy on write). */
export class Writer {
  readonly #core: ImageCore;
  readonly #reader: Reader;

  constructor(core: ImageCore, reader: Reader) {
    this.#core = core;
    this.#reader = reader;
  }

  /** Writes under a lock of its own. The range lies inside the disk (or its machine state). */
  async write(data: Uint8Array, offset: number): Promise<void> {
    const core = this.#core;
    if (data.length === 0) return;
    if (!core.started) await core.start(true);
    if (core.needsFlush()) await core.flush();
    const { clusterSize } = core.geometry;
    const end = offset + data.length;
    const from = roundDown(offset, clusterSize);
    const to = roundUp(end, clusterSize);
    const aligned = core.cipher === undefined || (offset % SECTOR === 0 && data.length % SECTOR === 0);
    if (aligned) {
      let lock: Range | Promise<Range> = core.locks.acquire(from, to, false);
      if (lock instanceof Promise) lock = await lock;
      try {
        const segments: Segment[] = [];
        const reached = core.mapping.scan(offset, end, segments);
        if (reached < end) segments.push(...(await core.mapping.lookup(reached, end)));
        if (segments.every((segment) => segment.kind === Kind.DataOwned)) {
          core.observer?.changed(offset, data.length);
          const writing = this.#writeInPlace(segments, data, offset);
          if (writing !== undefined) await writing;
          return;
        }
      } finally {
        core.locks.release(lock);
      }
    }
    let lock: Range | Promise<Range> = core.locks.acquire(from, to, true);
    if (lock instanceof Promise) lock = await lock;
    try {
      // What ran while this waited may have taken the dirty bit away.
      if (!core.started) await core.start(true);
      await this.writeUnlocked(data, offset);
    } finally {
      core.locks.release(lock);
    }
  }

  /** The same for callers that hold an exclusive lock on all clusters touched. */
  async writeUnlocked(data: Uint8Array, offset: number): Promise<void> {
    const core = this.#core;
    core.checkUnlocked();
    core.observer?.changed(offset, data.length);
    if (core.cipher !== undefined && (offset % SECTOR !== 0 || data.length % SECTOR !== 0)) {
      const from = roundDown(offset, SECTOR);
      const whole = new Uint8Array(roundUp(offset + data.length, SECTOR) - from);
      await this.#reader.readUnlocked(whole, from);
      whole.set(data, offset - from);
      return this.#writeAllocating(whole, from);
    }
    return this.#writeAllocating(data, offset);
  }

  #writeInPlace(segments: Segment[], data: Uint8Array, offset: number): void | Promise<void> {
    if (segments.length === 1) return this.#writeHost(data, segments[0].host, offset);
    return forAll(segments, (segment) => {
      const part = data.subarray(segment.offset - offset, segment.offset - offset + segment.length);
      return this.#writeHost(part, segment.host, segment.offset);
    });
  }

  /** Writes guest data to the host, encrypted when the image is. */
  #writeHost(data: Uint8Array, host: number, guest: number): void | Promise<void> {
    const { cipher, data: file, hasDataFile } = this.#core;
    if (!hasDataFile) this.#core.checkOverlap(host, data.length);
    if (cipher === undefined) return file.write(data, host);
    const secret = data.slice();
    cipher.encrypt(secret, (cipher.physicalSectors ? host : guest) / SECTOR);
    return file.write(secret, host);
  }

  async #writeAllocating(data: Uint8Array, offset: number): Promise<void> {
    const { mapping, geometry } = this.#core;
    const end = offset + data.length;
    for (let at = offset; at < end; ) {
      const l1Index = Math.floor(at / geometry.l2Coverage);
      const stop = Math.min(end, (l1Index + 1) * geometry.l2Coverage);
      const run = await mapping.withTable(l1Index, (table) => this.#nextRun(table, at, stop));
      await this.#writeRun(l1Index, run, data.subarray(run.start - offset, run.end - offset));
      at = run.end;
    }
  }

  /** The longest run from `at` that is written in the same way. */
  #nextRun(table: Table, at: number, stop: number): Run {
    const { clusterSize } = this.#core.geometry;
    let run: Run | undefined;
    for (let from = at; from < stop; ) {
      const to = Math.min(stop, from - (from % clusterSize) + clusterSize);
      const next = this.#classify(table, from, to);
      if (run === undefined) {
        run = next;
      } else {
        const expected = run.host + (from - roundDown(run.start, clusterSize));
        if (next.way !== run.way || (run.way !== Way.New && next.host !== expected)) break;
        run.end = to;
        run.keepLast = next.keepLast;
      }
      from = to;
    }
    return run!;
  }

  #classify(table: Table, from: number, to: number): Run {
    const { geometry, hasDataFile } = this.#core;
    const { clusterSize, subclusterSize, l2Coverage, l2EntrySize } = geometry;
    const position = Math.floor((from % l2Coverage) / clusterSize) * l2EntrySize;
    const high = table.view.getUint32(position);
    const low = table.view.getUint32(position + 4);
    if ((high & COMPRESSED_HIGH) !== 0) {
      return { way: Way.New, start: from, end: to, host: 0, keepFirst: true, keepLast: true };
    }
    const host = entryOffset(high, low);
    if (host % clusterSize !== 0 || host > Number.MAX_SAFE_INTEGER) {
      throw new Qcow2Error("corrupt", "data cluster is not aligned", {
        file: this.#core.name,
        structure: "L2 table",
        offset: table.offset + position,
      });
    }
    const owned = (high & COPIED_HIGH) !== 0;
    const present = host !== 0 || (hasDataFile && owned);
    if (!geometry.extendedL2) {
      const zero = (low & ZERO_LOW) !== 0;
      if (present && owned)
        return { way: zero ? Way.Reuse : Way.InPlace, start: from, end: to, host, keepFirst: false, keepLast: false };
      const keep = present && !zero;
      return { way: Way.New, start: from, end: to, host: 0, keepFirst: keep, keepLast: keep };
    }
    const dataBits = table.view.getUint32(position + 12);
    if (present && owned) {
      const touched = bitRange(from % clusterSize, ((to - 1) % clusterSize) + 1, subclusterSize);
      const inPlace = (dataBits & touched) >>> 0 === touched;
      return { way: inPlace ? Way.InPlace : Way.Reuse, start: from, end: to, host, keepFirst: false, keepLast: false };
    }
    return { way: Way.New, start: from, end: to, host: 0, keepFirst: dataBits !== 0, keepLast: dataBits !== 0 };
  }

  async #writeRun(l1Index: number, run: Run, data: Uint8Array): Promise<void> {
    const core = this.#core;
    const { clusterSize } = core.geometry;
    const guestBase = roundDown(run.start, clusterSize);
    if (run.way === Way.InPlace) {
      await this.#writeHost(data, run.host + (run.start - guestBase), run.start);
      return;
    }
    if (run.way === Way.Reuse) {
      await this.#fill(run, data, run.host, false);
      await this.#link(l1Index, run, run.host);
      return;
    }
    if (core.hasDataFile) {
      await this.#fill(run, data, guestBase, false);
      await this.#link(l1Index, run, guestBase);
      return;
    }
    const wanted = (roundUp(run.end, clusterSize) - guestBase) / clusterSize;
    const allocated = await core.metadata.run(() => core.refcounts.allocate(wanted));
    try {
      if (allocated.count < wanted) {
        run.end = guestBase + allocated.count * clusterSize;
        // The run now ends with a cluster that is overwritten entirely.
        run.keepLast = false;
        await this.#fill(run, data.subarray(0, run.end - run.start), allocated.offset, allocated.fresh);
      } else {
        await this.#fill(run, data, allocated.offset, allocated.fresh);
      }
      await this.#link(l1Index, run, allocated.offset);
    } catch (error) {
      core.refcounts.free(allocated.offset, allocated.count * clusterSize);
      throw error;
    }
  }

  /** Writes the data and the old content around it that shares a subcluster (or the cluster, if it is copied). */
  async #fill(run: Run, data: Uint8Array, host: number, fresh: boolean): Promise<void> {
    const { clusterSize, subclusterSize } = this.#core.geometry;
    const base = roundDown(run.start, clusterSize);
    const from = roundDown(run.start, run.keepFirst ? clusterSize : subclusterSize);
    const to = roundUp(run.end, run.keepLast ? clusterSize : subclusterSize);
    if (from === run.start && to === run.end) {
      await this.#writeHost(data, host + (from - base), from);
      return;
    }
    if (fresh && this.#core.cipher === undefined && (await this.#readsAsZeros(from, run.start, run.end, to))) {
      await this.#writeHost(data, host + (run.start - base), run.start);
      return;
    }
    if (to - from <= MAX_ASSEMBLED) {
      const whole = new Uint8Array(to - from);
      if (run.start > from) await this.#reader.readUnlocked(whole.subarray(0, run.start - from), from);
      whole.set(data, run.start - from);
      if (to > run.end) await this.#reader.readUnlocked(whole.subarray(run.end - from), run.end);
      await this.#writeHost(whole, host + (from - base), from);
      return;
    }
    for (const [start, end] of [
      [from, run.start],
      [run.end, to],
    ]) {
      if (start === end) continue;
      const part = new Uint8Array(end - start);
      await this.#reader.readUnlocked(part, start);
      await this.#writeHost(part, host + (start - base), start);
    }
    await this.#writeHost(data, host + (run.start - base), run.start);
  }

  async #readsAsZeros(...edges: [number, number, number, number]): Promise<boolean> {
    const { mapping, backing } = this.#core;
    for (const [start, end] of [edges.slice(0, 2), edges.slice(2, 4)]) {
      for (const { kind } of await mapping.lookup(start, end)) {
        const zero =
          kind === Kind.Zero ||
          kind === Kind.ZeroOwned ||
          kind === Kind.ZeroShared ||
          (kind === Kind.Unallocated && (backing === undefined || start >= backing.size));
        if (!zero) return false;
      }
    }
    return true;
  }

  /** Points the L2 entries of the run to the host clusters from `host` on. */
  async #link(l1Index: number, run: Run, host: number): Promise<void> {
    const core = this.#core;
    await core.mapping.withTable(l1Index, (table) => {
      const { clusterSize, subclusterSize, l2Coverage, l2EntrySize, extendedL2 } = core.geometry;
      const first = Math.floor((run.start % l2Coverage) / clusterSize);
      const base = roundDown(run.start, clusterSize);
      const count = (roundUp(run.end, clusterSize) - base) / clusterSize;
      for (let i = 0; i < count; i++) {
        const position = (first + i) * l2EntrySize;
        const compressed = (table.view.getUint32(position) & COMPRESSED_HIGH) !== 0;
        if (extendedL2) {
          const from = i === 0 ? run.start - base : 0;
          const to = i === count - 1 ? run.end - base - i * clusterSize : clusterSize;
          const touched = compressed ? 0xffff_ffff : bitRange(from, to, subclusterSize);
          // What the old cluster held was copied (or is still there), so its bits stay.
          const dataBits = (table.view.getUint32(position + 12) | touched) >>> 0;
          table.view.setUint32(position + 8, (table.view.getUint32(position + 8) & ~dataBits) >>> 0);
          table.view.setUint32(position + 12, dataBits);
        }
        if (run.way === Way.New) this.release(table, position);
        const target = host + i * clusterSize;
        table.view.setUint32(position, (highOf(target) | COPIED_HIGH) >>> 0);
        table.view.setUint32(position + 4, lowOf(target));
      }
      core.mapping.cache.markDirty(table, first * l2EntrySize, (first + count) * l2EntrySize);
    });
  }

  /** Gives up the host clusters of an entry that is about to be replaced. */
  release(table: Table, position: number): void {
    const core = this.#core;
    const { clusterSize, clusterBits } = core.geometry;
    const high = table.view.getUint32(position);
    const low = table.view.getUint32(position + 4);
    if ((high & COMPRESSED_HIGH) !== 0) {
      const { offset, length } = decodeCompressed(high, low, clusterBits);
      core.refcounts.free(offset, length);
      core.onCompressedChange();
      core.onCompressedFree();
      return;
    }
    const offset = entryOffset(high, low);
    if (offset !== 0 && !core.hasDataFile) core.refcounts.free(offset, clusterSize);
  }
}

/** Bits of the subclusters that [from, to) of a cluster touches. */
export function bitRange(from: number, to: number, subclusterSize: number): number {
  const first = Math.floor(from / subclusterSize);
  const count = Math.ceil(to / subclusterSize) - first;
  const ones = count >= 32 ? 0xffff_ffff : 2 ** count - 1;
  return (ones << first) >>> 0;
}
