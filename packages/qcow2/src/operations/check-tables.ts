import {
  COMPRESSED_HIGH,
  COPIED_HIGH,
  decodeCompressed,
  entryOffset,
  l1Reserved,
  l2Reserved,
  ZERO_LOW,
} from "../format/entries.js";
import type { ImageCore } from "../image/core.js";
import type { CheckReport, RepairMode } from "./check-report.js";
import { ClusterCounts } from "./cluster-counts.js";

/** Tables that damage makes overlap are walked until this many bytes more than a sound image can hold. */
const TABLE_ALLOWANCE = 64 * 1024 * 1024;

/** How often a table is named again after it was walked. */
interface Repeats {
  active: number;
  inactive: number;
}

/** Walks L1 and L2 tables and counts what they refer to. */
export class TableWalk {
  readonly counts: ClusterCounts;
  readonly #walked = new Map<number, Repeats>();
  /** Bytes of tables read so far, and how many may be. */
  #bytes = 0;
  readonly #limit: number;

  constructor(
    readonly core: ImageCore,
    readonly report: CheckReport,
    readonly mode: RepairMode,
  ) {
    this.counts = new ClusterCounts(core.refcounts.codec.max);
    this.#limit = 4 * core.host.end + TABLE_ALLOWANCE;
  }

  /** Counts references to every cluster the bytes touch, unless they lie beyond the file. */
  count(offset: number, length: number, times = 1): void {
    if (length > 0) countRange(this.core, this.report, this.counts, offset, length, times);
  }

  /** Walks an L1 table and the L2 tables it names. */
  async l1(tableOffset: number, entries: number, active: boolean): Promise<void> {
    const { core, report } = this;
    const { clusterSize } = core.geometry;
    if (entries === 0) return;
    this.count(tableOffset, entries * 8);
    const { view } = await this.#read(tableOffset, entries * 8, "L1 table");
    for (let at = 0; at < view.byteLength; at += 8) {
      const high = view.getUint32(at);
      const low = view.getUint32(at + 4);
      if (high === 0 && low === 0) continue;
      if (l1Reserved(high, low)) {
        report.corruption(`found L1 entry with reserved bits set: ${view.getBigUint64(at).toString(16)}`);
      }
      const offset = entryOffset(high, low);
      this.count(offset, clusterSize);
      if (offset % clusterSize !== 0) {
        report.corruption(`l2_offset=${offset.toString(16)}: Table is not cluster aligned; L1 entry corrupted`);
      }
      if (offset >= core.host.end) continue;
      // A table that is named again is walked once more at the end, for all these times: its references count double,
      // but neither many snapshots nor damage must make the check walk it as often.
      const repeats = this.#walked.get(offset);
      if (repeats === undefined) {
        this.#walked.set(offset, { active: 0, inactive: 0 });
        await this.#l2(offset, active ? 1 : 0, 1);
      } else if (active) {
        repeats.active++;
      } else {
        repeats.inactive++;
      }
      report.options.signal?.throwIfAborted();
    }
  }

  /** Counts what tables refer to that are named more than once. */
  async finish(): Promise<void> {
    for (const [offset, { active, inactive }] of this.#walked) {
      if (active + inactive > 0) await this.#l2(offset, active, active + inactive);
      this.report.options.signal?.throwIfAborted();
    }
    this.#walked.clear();
  }

  /** Reads a table, as far as the file goes. Neither caches nor alignment are in the way. */
  async #read(offset: number, length: number, structure: string): Promise<{ data: Uint8Array; view: DataView }> {
    const { core } = this;
    const inside = Math.max(0, Math.min(length, core.host.end - offset));
    this.#bytes += inside;
    if (this.#bytes > this.#limit) core.fail("corrupt", "tables overlap each other", structure, offset);
    const data = new Uint8Array(inside - (inside % 8));
    await core.host.read(data, offset);
    return { data, view: new DataView(data.buffer) };
  }

  /**
   * @param active how often the active state names the table
   * @param times how often anything does
   */
  async #l2(offset: number, active: number, times: number): Promise<void> {
    const { core, report } = this;
    const { clusterSize, clusterBits, l2EntrySize, extendedL2 } = core.geometry;
    const { data, view } = await this.#read(offset, clusterSize, "L2 table");
    let expected = 0;
    for (let at = 0; at + l2EntrySize <= data.length; at += l2EntrySize) {
      const high = view.getUint32(at);
      const low = view.getUint32(at + 4);
      const zeroBits = extendedL2 ? view.getUint32(at + 8) : 0;
      const dataBits = extendedL2 ? view.getUint32(at + 12) : 0;
      if (high === 0 && low === 0 && dataBits === 0) continue;
      const entry = (): string => view.getBigUint64(at).toString(16);
      if ((high & COMPRESSED_HIGH) !== 0) {
        const compressed = decodeCompressed(high, low, clusterBits);
        const index = at / l2EntrySize;
        if ((high & COPIED_HIGH) !== 0) {
          report.corruption(
            `: coffset=0x${compressed.offset.toString(16)}: copied flag must never be set for compressed clusters`,
            times,
          );
        }
        // Without the flag that was complained about.
        const plain = (): string => (view.getBigUint64(at) & ~(1n << 63n)).toString(16);
        if (core.hasDataFile) {
          report.corruption(`compressed cluster ${index} with data file, entry=0x${plain()}`, times);
        } else if (zeroBits !== 0 || dataBits !== 0) {
          report.corruption(
            `compressed cluster ${index} with non-zero subcluster allocation bitmap, entry=0x${plain()}`,
            times,
          );
        } else {
          this.count(compressed.offset, compressed.length, times);
          report.allocatedClusters += active;
          report.compressedClusters += active;
          report.fragmentedClusters += active;
        }
        continue;
      }
      if (l2Reserved(high, low)) report.corruption(`found l2 entry with reserved bits set: ${entry()}`, times);
      const host = entryOffset(high, low);
      if (host === 0 && !(core.hasDataFile && (high & COPIED_HIGH) !== 0 && (extendedL2 || (low & ZERO_LOW) === 0))) {
        if (dataBits !== 0) report.corruption(": Unallocated cluster has non-zero subcluster allocation map", times);
        continue;
      }
      if ((zeroBits & dataBits) !== 0) {
        report.corruption(
          `offset=${host.toString(16)}: Allocated cluster has corrupted subcluster allocation bitmap`,
          times,
        );
      }
      if (host % clusterSize !== 0) {
        const holdsData = extendedL2 ? dataBits !== 0 : (low & ZERO_LOW) === 0;
        const text = `offset=${host.toString(16)}: Preallocated cluster is not properly aligned; L2 entry corrupted.`;
        if (holdsData) {
          report.corruption(
            `offset=${host.toString(16)}: Data cluster is not properly aligned; L2 entry corrupted.`,
            times,
          );
        } else if (this.mode === "all") {
          report.repaired(text);
          await this.#makeZero(offset, at, view);
          continue;
        } else {
          report.corruption(text, times);
        }
      }
      report.allocatedClusters += active;
      if (expected !== 0 && expected !== host) report.fragmentedClusters += active;
      expected = host + clusterSize;
      if (!core.hasDataFile) this.count(host, clusterSize, times);
    }
  }

  /** Takes the impossible host cluster away from an entry that reads as zeros. */
  async #makeZero(table: number, at: number, view: DataView): Promise<void> {
    const { core } = this;
    const { l2EntrySize, extendedL2 } = core.geometry;
    view.setBigUint64(at, extendedL2 ? 0n : BigInt(ZERO_LOW));
    core.checkOverlap(table + at, l2EntrySize, "active L2 table");
    await core.host.write(new Uint8Array(view.buffer, at, l2EntrySize), table + at);
    core.mapping.cache.forget(table);
  }
}

/** Counts references to every cluster the bytes touch, unless they lie beyond the file. */
export function countRange(
  core: ImageCore,
  report: CheckReport,
  counts: ClusterCounts,
  offset: number,
  length: number,
  times = 1,
): void {
  const { clusterSize } = core.geometry;
  // The last cluster may be cut short by the end of the file.
  if (offset + length - core.host.end >= clusterSize) {
    report.corruption(
      ": counting reference for region exceeding the end of the file by one cluster or more: " +
        `offset 0x${offset.toString(16)} size 0x${length.toString(16)}`,
      times,
    );
    return;
  }
  const last = Math.floor((offset + length - 1) / clusterSize);
  for (let cluster = Math.floor(offset / clusterSize); cluster <= last; cluster++) {
    const lost = counts.add(cluster, times);
    if (lost === 0) continue;
    report.corruption(`: overflow cluster offset=0x${(cluster * clusterSize).toString(16)}`, lost);
    report.say(
      "info",
      "Use qemu-img amend to increase the refcount entry width or qemu-img convert to create a clean copy if the " +
        "image cannot be opened for writing",
    );
  }
}
