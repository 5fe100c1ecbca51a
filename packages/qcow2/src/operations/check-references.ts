import type { BitmapStore } from "../bitmaps/store.js";
import { Qcow2Error } from "../errors.js";
import {
  COMPRESSED_HIGH,
  COPIED_HIGH,
  decodeCompressed,
  entryOffset,
  l1Reserved,
  l2Reserved,
} from "../format/entries.js";
import type { ImageCore } from "../image/core.js";
import { snapshotL1 } from "../snapshots/table.js";
import type { CheckReport } from "./check-report.js";
import { ClusterCounts } from "./cluster-counts.js";

/** Whether a refcount table entry can be a block at all. */
export function validBlock(core: ImageCore, offset: number): boolean {
  return offset > 0 && offset % core.geometry.clusterSize === 0 && offset < core.host.end;
}

/** Counts the references to every cluster from all metadata. */
export async function countReferences(
  core: ImageCore,
  bitmaps: BitmapStore,
  report: CheckReport,
  includeRefcounts = true,
): Promise<ClusterCounts> {
  const walk = new Walk(core, report);
  const { header, geometry, mapping, refcounts } = core;
  walk.count(0, geometry.clusterSize);
  report.totalClusters = Math.ceil(header.size / geometry.clusterSize);
  walk.count(header.l1TableOffset, header.l1Size * 8);
  await walk.l1(header.l1TableOffset === mapping.l1Offset ? mapping.l1 : await activeL1(core), true);
  for (const snapshot of core.snapshots) {
    try {
      const l1 = await snapshotL1(core, snapshot);
      walk.count(snapshot.l1TableOffset, snapshot.l1Size * 8);
      await walk.l1(l1, false);
    } catch (error) {
      if (!(error instanceof Qcow2Error)) throw error;
      report.corruption(`snapshot ${snapshot.id} (${snapshot.name}): ${error.reason}`);
    }
  }
  walk.count(header.snapshotsOffset, core.snapshotTableSize);
  if (header.encryptionHeader !== undefined) walk.count(header.encryptionHeader.offset, header.encryptionHeader.length);
  try {
    await bitmaps.references((offset, length) => walk.count(offset, length));
  } catch (error) {
    if (!(error instanceof Qcow2Error)) throw error;
    report.corruption(`bitmaps: ${error.reason}`);
  }
  if (!includeRefcounts) return walk.counts;
  walk.count(refcounts.tableOffset, refcounts.table.length * 8);
  const seen = new Set<number>();
  for (let index = 0; index < refcounts.table.length; index++) {
    const offset = refcounts.table[index];
    if (offset === 0) continue;
    if (!validBlock(core, offset)) {
      report.corruption(
        Number.isNaN(offset) || offset % geometry.clusterSize !== 0
          ? `refcount block ${index} is not cluster aligned; refcount table entry corrupted`
          : `refcount block ${index} is outside image`,
      );
      report.mismatches++;
      report.rebuild = true;
      continue;
    }
    walk.count(offset, geometry.clusterSize);
    if (seen.has(offset) || walk.counts.get(offset / geometry.clusterSize) !== 1) {
      report.corruption(`refcount block ${index} refcount=${walk.counts.get(offset / geometry.clusterSize)}`);
      report.mismatches++;
      report.rebuild = true;
    }
    seen.add(offset);
  }
  return walk.counts;
}

async function activeL1(core: ImageCore): Promise<DataView> {
  const data = new Uint8Array(core.header.l1Size * 8);
  await core.host.read(data, core.header.l1TableOffset);
  return new DataView(data.buffer);
}

class Walk {
  readonly counts = new ClusterCounts();

  constructor(
    readonly core: ImageCore,
    readonly report: CheckReport,
  ) {}

  /** Counts one reference to every cluster the bytes touch, unless they lie beyond the file. */
  count(offset: number, length: number): boolean {
    if (length <= 0) return true;
    const { clusterSize } = this.core.geometry;
    const last = Math.floor((offset + length - 1) / clusterSize);
    // The last cluster may be cut short by the end of the file.
    if (offset + length - this.core.host.end >= clusterSize) {
      this.report.corruption(
        `counting reference for region exceeding the end of the file by one cluster or more: offset 0x${offset.toString(16)} size 0x${length.toString(16)}`,
      );
      return false;
    }
    for (let cluster = Math.floor(offset / clusterSize); cluster <= last; cluster++) this.counts.add(cluster);
    return true;
  }

  async l1(l1: DataView, active: boolean): Promise<void> {
    const { core, report } = this;
    const { clusterSize } = core.geometry;
    const visited = new Set<number>();
    for (let index = 0; index < l1.byteLength / 8; index++) {
      const high = l1.getUint32(8 * index);
      const low = l1.getUint32(8 * index + 4);
      if (high === 0 && low === 0) continue;
      const offset = entryOffset(high, low);
      if (l1Reserved(high, low))
        report.corruption(`found L1 entry with reserved bits set: ${l1.getBigUint64(8 * index).toString(16)}`);
      if (offset === 0) continue;
      if (offset % clusterSize !== 0) {
        report.corruption(`L2 table offset 0x${offset.toString(16)} unaligned (L1 index: ${index})`);
        continue;
      }
      if (!this.count(offset, clusterSize)) continue;
      // A table that is named twice is counted twice, but walked once: damage must not cost unbounded time.
      if (visited.has(offset) || offset >= core.host.end) continue;
      visited.add(offset);
      await this.#l2(offset, active);
      report.options.signal?.throwIfAborted();
    }
  }

  async #l2(offset: number, active: boolean): Promise<void> {
    const { core, report } = this;
    const { clusterSize, clusterBits, l2Entries, l2EntrySize, extendedL2 } = core.geometry;
    const { view } = core.mapping.cache.peek(offset) ?? (await core.mapping.cache.load(offset));
    let expected = 0;
    for (let index = 0; index < l2Entries; index++) {
      const at = index * l2EntrySize;
      const high = view.getUint32(at);
      const low = view.getUint32(at + 4);
      if (extendedL2) this.#checkBitmap(view, at, high, low);
      if (high === 0 && low === 0) continue;
      if ((high & COMPRESSED_HIGH) !== 0) {
        if ((high & COPIED_HIGH) !== 0) {
          report.corruption(
            `coffset=0x${entryOffset(high, low).toString(16)}: copied flag must never be set for compressed clusters`,
          );
        }
        if (core.hasDataFile) {
          report.corruption(
            `compressed cluster ${index} with data file, entry 0x${view.getBigUint64(at).toString(16)}`,
          );
          continue;
        }
        const compressed = decodeCompressed(high, low, clusterBits);
        this.count(compressed.offset, compressed.length);
        if (active) {
          report.allocatedClusters++;
          report.compressedClusters++;
          report.fragmentedClusters++;
        }
        continue;
      }
      const host = entryOffset(high, low);
      if (l2Reserved(high, low)) {
        report.corruption(`found l2 entry with reserved bits set: ${view.getBigUint64(at).toString(16)}`);
      }
      if (host === 0) continue;
      if (host % clusterSize !== 0) {
        report.corruption(`offset=0x${host.toString(16)}: Cluster is not properly aligned; L2 entry corrupted.`);
        continue;
      }
      if (active && ((low & 1) === 0 || extendedL2)) {
        report.allocatedClusters++;
        if (expected !== 0 && expected !== host) report.fragmentedClusters++;
        expected = host + clusterSize;
      }
      if (!core.hasDataFile) this.count(host, clusterSize);
    }
  }

  /** What the subcluster bits say must fit the entry. */
  #checkBitmap(view: DataView, at: number, high: number, low: number): void {
    const zeroBits = view.getUint32(at + 8);
    const dataBits = view.getUint32(at + 12);
    if (zeroBits === 0 && dataBits === 0) return;
    const host = entryOffset(high, low);
    if ((high & COMPRESSED_HIGH) !== 0) {
      this.report.corruption(`compressed cluster has a non-zero subcluster allocation bitmap`);
    } else if ((zeroBits & dataBits) !== 0) {
      this.report.corruption(
        `offset=0x${host.toString(16)}: Allocated cluster has corrupted subcluster allocation bitmap`,
      );
    } else if (dataBits !== 0 && host === 0 && !(this.core.hasDataFile && (high & COPIED_HIGH) !== 0)) {
      this.report.corruption("Unallocated cluster has non-zero subcluster allocation map");
    }
  }
}
