import { Qcow2Error } from "../errors.js";
import { roundDown, roundUp } from "../format/binary.js";
import { entryOffset } from "../format/entries.js";
import type { SnapshotEntry } from "../format/snapshot-table.js";
import type { ImageCore } from "./core.js";

/** Structures that nothing but themselves may be written over; the names are QEMU's where it has the structure. */
export type MetadataKind =
  | "qcow2_header"
  | "active L1 table"
  | "active L2 table"
  | "refcount table"
  | "refcount block"
  | "snapshot table"
  | "inactive L1 table"
  | "bitmap directory"
  | "bitmap table"
  | "encryption header";

interface Area {
  readonly kind: MetadataKind;
  readonly offset: number;
  readonly length: number;
}

/**
 * Knows which clusters of the image hold metadata, so that a write which damage directs there can be refused. Asking
 * costs one search among a few areas and two look-ups per cluster, whatever the size of the image: the set of L2 tables
 * follows the active L1 table as it changes (`replaceL2`), and the areas are gathered anew when a table has moved,
 * which is rare.
 */
export class MetadataMap {
  readonly #core: ImageCore;
  /** Everything but L2 tables and refcount blocks. */
  #areas: Area[] = [];
  /** What the areas cover, in whole clusters: ascending runs that do not touch. */
  #starts: number[] = [];
  #ends: number[] = [];
  /** Indexes of the clusters of active L2 tables. */
  #l2 = new Set<number>();
  /** What the sets were made from. */
  #l1: DataView | undefined;
  #l1Offset = -1;
  #refcountTable = -1;
  #snapshots: readonly SnapshotEntry[] | undefined;
  #snapshotTable = -1;
  #bitmaps: unknown;
  #encryption: unknown;

  constructor(core: ImageCore) {
    this.#core = core;
  }

  /** What a write to [offset, offset + length) would damage, other than structures of the kind `own`. */
  find(offset: number, length: number, own?: MetadataKind): MetadataKind | undefined {
    this.#refresh();
    const { clusterSize } = this.#core.geometry;
    const { refcounts } = this.#core;
    const first = Math.floor(offset / clusterSize);
    const end = Math.floor((offset + length - 1) / clusterSize) + 1;
    if (this.#covered(first * clusterSize, end * clusterSize)) {
      const area = this.#areas.find(
        (area) =>
          area.kind !== own && area.offset < end * clusterSize && area.offset + area.length > first * clusterSize,
      );
      if (area !== undefined) return area.kind;
    }
    for (let cluster = first; cluster < end; cluster++) {
      if (own !== "active L2 table" && this.#l2.has(cluster)) return "active L2 table";
      if (own !== "refcount block" && refcounts.isBlock(cluster * clusterSize)) return "refcount block";
    }
    return undefined;
  }

  /** An entry of the active L1 table changes from one L2 table to another; 0 is none. */
  replaceL2(from: number, to: number): void {
    if (from === to) return;
    const { clusterSize } = this.#core.geometry;
    if (from !== 0) this.#l2.delete(Math.floor(from / clusterSize));
    if (to !== 0) this.#l2.add(Math.floor(to / clusterSize));
  }

  #refresh(): void {
    const { mapping, refcounts, header, snapshots, bitmapTables } = this.#core;
    if (this.#l1 !== mapping.l1) {
      this.#l1 = mapping.l1;
      this.#gatherL2();
    }
    if (
      this.#l1Offset === mapping.l1Offset &&
      this.#refcountTable === refcounts.tableOffset &&
      this.#snapshots === snapshots &&
      this.#snapshotTable === header.snapshotsOffset &&
      this.#bitmaps === bitmapTables &&
      this.#encryption === header.encryptionHeader
    ) {
      return;
    }
    this.#l1Offset = mapping.l1Offset;
    this.#refcountTable = refcounts.tableOffset;
    this.#snapshots = snapshots;
    this.#snapshotTable = header.snapshotsOffset;
    this.#bitmaps = bitmapTables;
    this.#encryption = header.encryptionHeader;
    this.#gatherAreas();
  }

  #gatherL2(): void {
    const { clusterSize } = this.#core.geometry;
    const { l1 } = this.#core.mapping;
    this.#l2 = new Set();
    for (let at = 0; at < l1.byteLength; at += 8) {
      const offset = entryOffset(l1.getUint32(at), l1.getUint32(at + 4));
      if (offset !== 0) this.#l2.add(Math.floor(offset / clusterSize));
    }
  }

  #gatherAreas(): void {
    const { mapping, refcounts, header, geometry, snapshots, snapshotTableSize, bitmapTables } = this.#core;
    const encryption = header.encryptionHeader;
    const areas: Area[] = [
      { kind: "qcow2_header", offset: 0, length: geometry.clusterSize },
      { kind: "active L1 table", offset: mapping.l1Offset, length: mapping.l1Size * 8 },
      { kind: "refcount table", offset: refcounts.tableOffset, length: refcounts.table.length * 8 },
      { kind: "snapshot table", offset: header.snapshotsOffset, length: snapshotTableSize },
      { kind: "encryption header", offset: encryption?.offset ?? 0, length: encryption?.length ?? 0 },
      ...snapshots.map(({ l1TableOffset, l1Size }) => ({
        kind: "inactive L1 table" as const,
        offset: l1TableOffset,
        length: l1Size * 8,
      })),
      ...bitmapTables,
    ];
    this.#areas = areas.filter(({ length }) => length > 0).sort((a, b) => a.offset - b.offset);
    this.#starts = [];
    this.#ends = [];
    for (const { offset, length } of this.#areas) {
      const start = roundDown(offset, geometry.clusterSize);
      const end = roundUp(offset + length, geometry.clusterSize);
      const last = this.#ends.length - 1;
      if (last >= 0 && start <= this.#ends[last]) {
        this.#ends[last] = Math.max(this.#ends[last], end);
      } else {
        this.#starts.push(start);
        this.#ends.push(end);
      }
    }
  }

  /** Whether an area lies in [from, to). */
  #covered(from: number, to: number): boolean {
    // The first run that ends behind `from`.
    let low = 0;
    let high = this.#ends.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#ends[middle] > from) high = middle;
      else low = middle + 1;
    }
    return low < this.#starts.length && this.#starts[low] < to;
  }
}

/** The error of a write that would damage metadata. */
export function overlapError(kind: MetadataKind, file: string, offset: number): Qcow2Error {
  return new Qcow2Error(
    "corrupt",
    `preventing invalid write on metadata (overlaps with ${kind}); image marked as corrupt`,
    { file, structure: kind, offset },
  );
}
