import { readFileSync, truncateSync, writeFileSync } from "node:fs";

/** A damage, by what it does to an image's bytes. Returns false when the image lacks what is to be damaged. */
export type Damage = (image: ImageBytes) => boolean | void;

/** Bits of L1 and L2 entries. */
export const COPIED = 1n << 63n;
export const COMPRESSED = 1n << 62n;
const OFFSET = 0x00ff_ffff_ffff_fe00n;

/** A qcow2 file in memory with just enough understanding of it to damage a structure by name. */
export class ImageBytes {
  data: Buffer;
  readonly version: number;
  readonly clusterSize: number;
  readonly refcountBits: number;
  readonly l2EntrySize: number;

  constructor(readonly path: string) {
    this.data = readFileSync(path);
    this.version = this.data.readUInt32BE(4);
    this.clusterSize = 2 ** this.data.readUInt32BE(20);
    this.refcountBits = this.version < 3 ? 16 : 2 ** this.data.readUInt32BE(96);
    const extended = this.version >= 3 && (this.data.readUInt32BE(76) & 16) !== 0;
    this.l2EntrySize = extended ? 16 : 8;
  }

  save(): void {
    writeFileSync(this.path, this.data);
  }

  /** Cuts the file or makes it longer; takes effect at once. */
  resize(size: number): void {
    this.save();
    truncateSync(this.path, size);
    this.data = readFileSync(this.path);
  }

  u64(offset: number): bigint {
    return this.data.readBigUInt64BE(offset);
  }

  set(offset: number, value: bigint): void {
    this.data.writeBigUInt64BE(value, offset);
  }

  offsetAt(offset: number): number {
    return Number(this.u64(offset) & OFFSET);
  }

  get l1Size(): number {
    return this.data.readUInt32BE(36);
  }

  get l1Table(): number {
    return Number(this.u64(40));
  }

  get refcountTable(): number {
    return Number(this.u64(48));
  }

  get refcountTableClusters(): number {
    return this.data.readUInt32BE(56);
  }

  get snapshotCount(): number {
    return this.data.readUInt32BE(60);
  }

  get snapshotTable(): number {
    return Number(this.u64(64));
  }

  /** Offsets of the L1 entries that name an L2 table. */
  l1Entries(table = this.l1Table, size = this.l1Size): number[] {
    const entries: number[] = [];
    for (let i = 0; i < size; i++) if (this.offsetAt(table + 8 * i) !== 0) entries.push(table + 8 * i);
    return entries;
  }

  /** Offsets of the L2 entries of the active state that `test` accepts. */
  l2Entries(test: (entry: bigint, bits: bigint) => boolean, l1 = this.l1Entries()): number[] {
    const found: number[] = [];
    for (const at of l1) {
      const table = this.offsetAt(at);
      for (let entry = table; entry < table + this.clusterSize; entry += this.l2EntrySize) {
        const bits = this.l2EntrySize === 16 ? this.u64(entry + 8) : 0n;
        if (test(this.u64(entry), bits)) found.push(entry);
      }
    }
    return found;
  }

  /** L2 entries of plain data clusters. */
  dataEntries(l1 = this.l1Entries()): number[] {
    return this.l2Entries((entry) => (entry & COMPRESSED) === 0n && (entry & OFFSET) !== 0n, l1);
  }

  compressedEntries(): number[] {
    return this.l2Entries((entry) => (entry & COMPRESSED) !== 0n);
  }

  /** Offset of the refcount table entry for a cluster. */
  refcountTableEntry(cluster: number): number {
    const perBlock = (this.clusterSize * 8) / this.refcountBits;
    return this.refcountTable + 8 * Math.floor(cluster / perBlock);
  }

  setRefcount(cluster: number, value: number): boolean {
    const perBlock = (this.clusterSize * 8) / this.refcountBits;
    const block = this.offsetAt(this.refcountTableEntry(cluster));
    const bit = (cluster % perBlock) * this.refcountBits;
    if (this.refcountBits < 8) {
      const at = block + (bit >> 3);
      const mask = (2 ** this.refcountBits - 1) << (bit & 7);
      if (value >= 2 ** this.refcountBits) return false;
      this.data[at] = (this.data[at] & ~mask) | (value << (bit & 7));
      return true;
    }
    const bytes = this.refcountBits / 8;
    if (bytes < 6 && value >= 2 ** this.refcountBits) return false;
    if (bytes === 8) this.set(block + bit / 8, BigInt(value));
    else this.data.writeUIntBE(value, block + bit / 8, bytes);
    return true;
  }

  /** Offset of the content of a header extension. */
  extension(type: number): number | undefined {
    for (let at = this.data.readUInt32BE(100); ; ) {
      const found = this.data.readUInt32BE(at);
      if (found === type) return at + 8;
      if (found === 0) return undefined;
      at += 8 + Math.ceil(this.data.readUInt32BE(at + 4) / 8) * 8;
    }
  }

  /** Where the bitmap directory is, when there is one. */
  get bitmapDirectory(): number | undefined {
    if (this.version < 3) return undefined;
    const extension = this.extension(0x23852875);
    return extension === undefined ? undefined : Number(this.u64(extension + 16));
  }

  get encryptionHeader(): number | undefined {
    if (this.version < 3) return undefined;
    const extension = this.extension(0x0537be77);
    return extension === undefined ? undefined : Number(this.u64(extension));
  }

  cluster(offset: number): number {
    return Math.floor(offset / this.clusterSize);
  }
}

/** Damages by name, every one on one structure. */
export const DAMAGES: Readonly<Record<string, Damage>> = {
  nothing: () => {},

  // Refcounts
  "refcount of a data cluster 0": (i) => onEntry(i, (at) => i.setRefcount(i.cluster(i.offsetAt(at)), 0)),
  "refcount of a data cluster 2": (i) => onEntry(i, (at) => i.setRefcount(i.cluster(i.offsetAt(at)), 2)),
  "refcount of a data cluster 3": (i) => onEntry(i, (at) => i.setRefcount(i.cluster(i.offsetAt(at)), 3)),
  "refcount of a data cluster 1": (i) => onEntry(i, (at) => i.setRefcount(i.cluster(i.offsetAt(at)), 1)),
  "refcounts of many data clusters 2": (i) =>
    i.dataEntries().filter((at) => i.setRefcount(i.cluster(i.offsetAt(at)), 2)).length > 0,
  "refcount of the header 0": (i) => i.setRefcount(0, 0),
  "refcount of the header 2": (i) => i.setRefcount(0, 2),
  "refcount of the active L1 table 0": (i) => i.setRefcount(i.cluster(i.l1Table), 0),
  "refcount of the active L1 table 2": (i) => i.setRefcount(i.cluster(i.l1Table), 2),
  "refcount of an L2 table 0": (i) => onL1(i, (at) => i.setRefcount(i.cluster(i.offsetAt(at)), 0)),
  "refcount of an L2 table 2": (i) => onL1(i, (at) => i.setRefcount(i.cluster(i.offsetAt(at)), 2)),
  "refcount of an L2 table 3": (i) => onL1(i, (at) => i.setRefcount(i.cluster(i.offsetAt(at)), 3)),
  "refcount of the refcount table 0": (i) => i.setRefcount(i.cluster(i.refcountTable), 0),
  "refcount of a refcount block 0": (i) => i.setRefcount(i.cluster(i.offsetAt(i.refcountTable)), 0),
  "refcount of a refcount block 3": (i) => i.setRefcount(i.cluster(i.offsetAt(i.refcountTable)), 3),
  "refcount of a compressed cluster 0": (i) => onCompressed(i, (at) => i.setRefcount(compressedCluster(i, at), 0)),
  "refcount of a compressed cluster 1": (i) => onCompressed(i, (at) => i.setRefcount(compressedCluster(i, at), 1)),
  "refcount of the snapshot table 0": (i) => i.snapshotCount > 0 && i.setRefcount(i.cluster(i.snapshotTable), 0),
  "refcount of a snapshot's L1 table 0": (i) =>
    i.snapshotCount > 0 && i.setRefcount(i.cluster(Number(i.u64(i.snapshotTable))), 0),
  "refcount of the bitmap directory 0": (i) =>
    i.bitmapDirectory !== undefined && i.setRefcount(i.cluster(i.bitmapDirectory), 0),
  "refcount of the bitmap directory 2": (i) =>
    i.bitmapDirectory !== undefined && i.setRefcount(i.cluster(i.bitmapDirectory), 2),
  "refcount of the encryption header 0": (i) =>
    i.encryptionHeader !== undefined && i.setRefcount(i.cluster(i.encryptionHeader), 0),
  "refcount of the last cluster of the file 3": (i) => i.setRefcount(i.cluster(i.data.length - 1), 3),

  // Refcount table and blocks
  "refcount table entry 0": (i) => i.set(i.refcountTable, 0n),
  "refcount table entry not aligned": (i) => i.set(i.refcountTable, i.u64(i.refcountTable) + 512n),
  "refcount table entry with reserved bits": (i) => i.set(i.refcountTable, i.u64(i.refcountTable) | 8n),
  "refcount table entry beyond the file": (i) =>
    i.set(i.refcountTable + 8, BigInt(roundUp(i.data.length, i.clusterSize) + 4 * i.clusterSize)),
  "refcount table entry 0 beyond the file": (i) =>
    i.set(i.refcountTable, BigInt(roundUp(i.data.length, i.clusterSize) + 4 * i.clusterSize)),
  "refcount table entry far beyond the file": (i) => i.set(i.refcountTable + 8, 1n << 54n),
  "refcount table entry twice": (i) => i.set(i.refcountTable + 8, i.u64(i.refcountTable)),
  "refcount table entry on the header": (i) => i.set(i.refcountTable, BigInt(i.clusterSize) * 0n + 0n),
  "refcount block is the active L1 table": (i) => i.set(i.refcountTable, BigInt(i.l1Table)),
  "refcount block is an L2 table": (i) => onL1(i, (at) => i.set(i.refcountTable, BigInt(i.offsetAt(at)))),
  "refcount block is the refcount table": (i) => i.set(i.refcountTable + 8, BigInt(i.refcountTable)),
  "refcount block is a data cluster": (i) => onEntry(i, (at) => i.set(i.refcountTable + 8, BigInt(i.offsetAt(at)))),
  "refcount block full of zeros": (i) => {
    const block = i.offsetAt(i.refcountTable);
    i.data.fill(0, block, block + i.clusterSize);
  },
  "refcount block full of ones": (i) => {
    const block = i.offsetAt(i.refcountTable);
    i.data.fill(0xff, block, block + i.clusterSize);
  },
  "refcount table full of zeros": (i) => {
    i.data.fill(0, i.refcountTable, i.refcountTable + i.refcountTableClusters * i.clusterSize);
  },
  "refcount table full of ones": (i) => {
    i.data.fill(0xff, i.refcountTable, i.refcountTable + i.refcountTableClusters * i.clusterSize);
  },

  // L1 and L2 entries
  "L1 entry not aligned": (i) => i.clusterSize > 512 && onL1(i, (at) => i.set(at, i.u64(at) + 512n)),
  "L1 entry with reserved bits": (i) => onL1(i, (at) => i.set(at, i.u64(at) | 1n)),
  "L1 entry with high reserved bits": (i) => onL1(i, (at) => i.set(at, i.u64(at) | (1n << 60n))),
  "L1 entry beyond the file": (i) => onL1(i, (at) => i.set(at, COPIED | BigInt(beyond(i)))),
  "L1 entry far beyond the file": (i) => onL1(i, (at) => i.set(at, COPIED | (1n << 54n))),
  "L1 entry just behind the file": (i) =>
    onL1(i, (at) => i.set(at, COPIED | BigInt(roundUp(i.data.length, i.clusterSize)))),
  "L1 entry without COPIED": (i) => onL1(i, (at) => i.set(at, i.u64(at) ^ COPIED)),
  "L1 entry names the header": (i) => onL1(i, (at) => i.set(at, COPIED)),
  "L1 entry names the refcount block": (i) => onL1(i, (at) => i.set(at, COPIED | i.u64(i.refcountTable))),
  "L1 entry names the L1 table": (i) => onL1(i, (at) => i.set(at, COPIED | BigInt(i.l1Table))),
  "L1 entry twice": (i) => i.l1Size > 1 && onL1(i, (at) => i.set(other(i, at), i.u64(at))),
  "L1 entry gone": (i) => onL1(i, (at) => i.set(at, 0n)),
  "L2 entry not aligned": (i) => i.clusterSize > 512 && onEntry(i, (at) => i.set(at, i.u64(at) + 512n)),
  "zero L2 entry not aligned": (i) =>
    i.clusterSize > 512 &&
    i.version >= 3 &&
    onEntry(i, (at) => {
      i.set(at, (i.u64(at) + 512n) | (i.l2EntrySize === 8 ? 1n : 0n));
      if (i.l2EntrySize === 16) i.set(at + 8, 0xffff_ffff_0000_0000n);
    }),
  "L2 entry with reserved bits": (i) => onEntry(i, (at) => i.set(at, i.u64(at) | 4n)),
  "L2 entry with high reserved bits": (i) => onEntry(i, (at) => i.set(at, i.u64(at) | (1n << 58n))),
  "L2 entry beyond the file": (i) => onEntry(i, (at) => i.set(at, COPIED | BigInt(beyond(i)))),
  "L2 entry far beyond the file": (i) => onEntry(i, (at) => i.set(at, COPIED | (1n << 54n))),
  "L2 entry just behind the file": (i) =>
    onEntry(i, (at) => i.set(at, COPIED | BigInt(roundUp(i.data.length, i.clusterSize)))),
  "L2 entry COPIED toggled": (i) => onEntry(i, (at) => i.set(at, i.u64(at) ^ COPIED)),
  "all L2 entries COPIED toggled": (i) => {
    const entries = i.dataEntries();
    for (const at of entries) i.set(at, i.u64(at) ^ COPIED);
    return entries.length > 0;
  },
  "all L1 entries COPIED toggled": (i) => {
    const entries = i.l1Entries();
    for (const at of entries) i.set(at, i.u64(at) ^ COPIED);
    return entries.length > 0;
  },
  "COPIED wrong and a leak": (i) =>
    onEntry(i, (at) => {
      i.set(at, i.u64(at) ^ COPIED);
      return i.setRefcount(i.cluster(i.offsetAt(i.dataEntries().at(-1)!)), 2);
    }),
  "L2 entry names the header": (i) => onEntry(i, (at) => i.set(at, COPIED | 0n | (i.l2EntrySize === 8 ? 1n : 0n))),
  "L2 entry names the refcount table": (i) => onEntry(i, (at) => i.set(at, COPIED | BigInt(i.refcountTable))),
  "L2 entry names the refcount block": (i) => onEntry(i, (at) => i.set(at, COPIED | i.u64(i.refcountTable))),
  "L2 entry names the L1 table": (i) => onEntry(i, (at) => i.set(at, COPIED | BigInt(i.l1Table))),
  "L2 entry names its L2 table": (i) => onEntry(i, (at) => i.set(at, COPIED | BigInt(at - (at % i.clusterSize)))),
  "L2 entry twice": (i) => {
    const [first, second] = i.dataEntries();
    if (second === undefined) return false;
    i.set(first, i.u64(second));
  },
  "L2 entry gone": (i) => onEntry(i, (at) => i.set(at, 0n)),
  "subclusters both data and zero": (i) =>
    i.l2EntrySize === 16 && onEntry(i, (at) => i.set(at + 8, 0x0000_00ff_0000_00ffn)),
  "subclusters without a cluster": (i) => i.l2EntrySize === 16 && onEntry(i, (at) => i.set(at, 0n)),
  "subclusters of a compressed cluster": (i) => i.l2EntrySize === 16 && onCompressed(i, (at) => i.set(at + 8, 0xfn)),
  "compressed cluster with COPIED": (i) => onCompressed(i, (at) => i.set(at, i.u64(at) | COPIED)),
  "compressed cluster beyond the file": (i) => onCompressed(i, (at) => i.set(at, COMPRESSED | BigInt(beyond(i)))),
  "compressed cluster far beyond the file": (i) => onCompressed(i, (at) => i.set(at, COMPRESSED | (1n << 46n))),
  "compressed cluster on the header": (i) => onCompressed(i, (at) => i.set(at, COMPRESSED)),
  "data entry turned compressed": (i) => onEntry(i, (at) => i.set(at, COMPRESSED | BigInt(i.offsetAt(at)))),

  // Snapshots
  "snapshot's L1 table not aligned": (i) => onSnapshot(i, (at) => i.set(at, i.u64(at) + 512n), 512),
  "snapshot's L1 table beyond the file": (i) => onSnapshot(i, (at) => i.set(at, BigInt(beyond(i)))),
  "snapshot's L1 table far beyond the file": (i) => onSnapshot(i, (at) => i.set(at, 1n << 55n)),
  "snapshot's L1 table very large": (i) => onSnapshot(i, (at) => void i.data.writeUInt32BE(0x1000000, at + 8)),
  "snapshot's L1 table longer": (i) =>
    onSnapshot(i, (at) => void i.data.writeUInt32BE(i.data.readUInt32BE(at + 8) + 70, at + 8)),
  "snapshot's L1 table empty": (i) => onSnapshot(i, (at) => void i.data.writeUInt32BE(0, at + 8)),
  "snapshot without extra data": (i) => onSnapshot(i, (at) => void shrinkExtra(i, at, 0)),
  "snapshot with half of its extra data": (i) => onSnapshot(i, (at) => void shrinkExtra(i, at, 8)),
  "snapshot with too much extra data": (i) => onSnapshot(i, (at) => void i.data.writeUInt32BE(2000, at + 36)),
  "snapshot with endless extra data": (i) => onSnapshot(i, (at) => void i.data.writeUInt32BE(0xffff_fff0, at + 36)),
  "snapshot table not aligned": (i) => i.snapshotCount > 0 && i.set(64, i.u64(64) + 8n),
  "snapshot table beyond the file": (i) => i.snapshotCount > 0 && i.set(64, BigInt(beyond(i))),
  "one snapshot less": (i) => i.snapshotCount > 0 && void i.data.writeUInt32BE(i.snapshotCount - 1, 60),
  "one snapshot more": (i) => i.snapshotCount > 0 && void i.data.writeUInt32BE(i.snapshotCount + 1, 60),
  "too many snapshots": (i) => i.snapshotCount > 0 && void i.data.writeUInt32BE(70000, 60),
  "snapshot's L1 entry beyond the file": (i) => onSnapshotL1(i, (at) => i.set(at, BigInt(beyond(i)))),
  "snapshot's L1 entry not aligned": (i) => i.clusterSize > 512 && onSnapshotL1(i, (at) => i.set(at, i.u64(at) + 512n)),
  "snapshot's L2 entry not aligned": (i) =>
    i.clusterSize > 512 &&
    onSnapshotL1(i, (l1) => {
      const [at] = i.dataEntries([l1]);
      if (at === undefined) return false;
      i.set(at, i.u64(at) + 512n);
    }),

  // Bitmaps
  "bitmap directory beyond the file": (i) => onBitmaps(i, (extension) => i.set(extension + 16, BigInt(beyond(i)))),
  "bitmap directory not aligned": (i) => onBitmaps(i, (extension) => i.set(extension + 16, i.u64(extension + 16) + 8n)),
  "bitmap directory too long": (i) => onBitmaps(i, (extension) => i.set(extension + 8, i.u64(extension + 8) + 8n)),
  "bitmap directory too short": (i) => onBitmaps(i, (extension) => i.set(extension + 8, i.u64(extension + 8) - 8n)),
  "bitmap directory huge": (i) => onBitmaps(i, (extension) => i.set(extension + 8, 1n << 40n)),
  "no bitmaps in the directory": (i) => onBitmaps(i, (extension) => void i.data.writeUInt32BE(0, extension)),
  "one bitmap too many": (i) =>
    onBitmaps(i, (extension) => void i.data.writeUInt32BE(i.data.readUInt32BE(extension) + 1, extension)),
  "bitmap table not aligned": (i) => onBitmapEntry(i, (at) => i.set(at, i.u64(at) + 8n)),
  "bitmap table beyond the file": (i) => onBitmapEntry(i, (at) => i.set(at, BigInt(beyond(i)))),
  "bitmap table too large": (i) => onBitmapEntry(i, (at) => void i.data.writeUInt32BE(0x7fff_ffff, at + 8)),
  "bitmap type unknown": (i) => onBitmapEntry(i, (at) => void i.data.writeUInt8(9, at + 16)),
  "bitmap granularity impossible": (i) => onBitmapEntry(i, (at) => void i.data.writeUInt8(70, at + 17)),
  "bitmap with an unknown flag": (i) => onBitmapEntry(i, (at) => void i.data.writeUInt32BE(0x80, at + 12)),
  "bitmap in use": (i) =>
    onBitmapEntry(i, (at) => void i.data.writeUInt32BE(i.data.readUInt32BE(at + 12) | 1, at + 12)),
  "bitmap name too long": (i) => onBitmapEntry(i, (at) => void i.data.writeUInt16BE(2000, at + 18)),
  "bitmap data cluster not aligned": (i) => onBitmapEntry(i, (at) => i.set(i.offsetAt(at), 0x10200n)),
  "bitmap data cluster beyond the file": (i) => onBitmapEntry(i, (at) => i.set(i.offsetAt(at), BigInt(beyond(i)))),
  "bitmap data cluster with reserved bits": (i) => onBitmapEntry(i, (at) => i.set(i.offsetAt(at), 6n)),

  // Header
  "dirty bit": (i) => i.version >= 3 && void i.data.writeUInt8(i.data[79] | 1, 79),
  "corrupt bit": (i) => i.version >= 3 && void i.data.writeUInt8(i.data[79] | 2, 79),
  "dirty bit and a missing refcount": (i) =>
    i.version >= 3 &&
    onEntry(i, (at) => i.setRefcount(i.cluster(i.offsetAt(at)), 0) && void i.data.writeUInt8(i.data[79] | 1, 79)),
  "corrupt bit and a leak": (i) =>
    i.version >= 3 &&
    onEntry(i, (at) => i.setRefcount(i.cluster(i.offsetAt(at)), 2) && void i.data.writeUInt8(i.data[79] | 2, 79)),
  "unknown incompatible feature": (i) => i.version >= 3 && void i.data.writeUInt8(0x80, 78),
  "unknown compatible feature": (i) => i.version >= 3 && void i.data.writeUInt8(0x80, 86),
  "unknown autoclear feature": (i) => i.version >= 3 && void i.data.writeUInt8(0x80, 94),
  "version 4": (i) => void i.data.writeUInt32BE(4, 4),
  "cluster bits 8": (i) => void i.data.writeUInt32BE(8, 20),
  "cluster bits 22": (i) => void i.data.writeUInt32BE(22, 20),
  "refcount order 7": (i) => i.version >= 3 && void i.data.writeUInt32BE(7, 96),
  "header length too short": (i) => i.version >= 3 && void i.data.writeUInt32BE(72, 100),
  "header length too long": (i) => i.version >= 3 && void i.data.writeUInt32BE(1 << 24, 100),
  "L1 table too small": (i) => void i.data.writeUInt32BE(0, 36),
  "L1 table too large": (i) => void i.data.writeUInt32BE(0x1000000, 36),
  "L1 table not aligned": (i) => i.set(40, i.u64(40) + 8n),
  "L1 table far away": (i) => i.set(40, 1n << 62n),
  "refcount table of no clusters": (i) => void i.data.writeUInt32BE(0, 56),
  "refcount table too large": (i) => void i.data.writeUInt32BE(0x100000, 56),
  "refcount table not aligned": (i) => i.set(48, i.u64(48) + 8n),
  "encryption unknown": (i) => void i.data.writeUInt32BE(3, 32),
  "disk larger than the L1 table": (i) => i.set(24, 1n << 50n),
  "backing file name too long": (i) => {
    i.set(8, 0x200n);
    i.data.writeUInt32BE(5000, 16);
  },

  // The file
  "file cut by half a cluster": (i) => i.resize(i.data.length - i.clusterSize / 2),
  "file cut by three clusters": (i) => i.resize(i.data.length - 3 * i.clusterSize),
  "file longer by three clusters": (i) => i.resize(i.data.length + 3 * i.clusterSize),
  "file longer by half a cluster": (i) => i.resize(i.data.length + i.clusterSize / 2),
};

const roundUp = (value: number, unit: number): number => Math.ceil(value / unit) * unit;
const beyond = (i: ImageBytes): number => roundUp(i.data.length, i.clusterSize) + 10 * i.clusterSize;

/** An L1 entry that is not at `at`. */
const other = (i: ImageBytes, at: number): number => (at === i.l1Table ? at + 8 : i.l1Table);

function on(at: number | undefined, damage: (at: number) => boolean | void): boolean {
  return at !== undefined && damage(at) !== false;
}

const onL1 = (i: ImageBytes, damage: (at: number) => boolean | void): boolean => on(i.l1Entries()[0], damage);

const onEntry = (i: ImageBytes, damage: (at: number) => boolean | void): boolean => on(i.dataEntries()[1], damage);

const onCompressed = (i: ImageBytes, damage: (at: number) => boolean | void): boolean =>
  on(i.compressedEntries()[0], damage);

function compressedCluster(i: ImageBytes, at: number): number {
  const bits = 62n - BigInt(Math.log2(i.clusterSize) - 8);
  return i.cluster(Number(i.u64(at) & ((1n << bits) - 1n)));
}

function onSnapshot(i: ImageBytes, damage: (at: number) => boolean | void, smallest = 0): boolean {
  return i.snapshotCount > 0 && i.clusterSize > smallest && damage(i.snapshotTable) !== false;
}

const onSnapshotL1 = (i: ImageBytes, damage: (at: number) => boolean | void): boolean =>
  onSnapshot(i, (at) => on(i.l1Entries(Number(i.u64(at)), i.data.readUInt32BE(at + 8))[0], damage));

/** Takes extra data away from the first snapshot and moves the rest of its entry up; the entry keeps its length. */
function shrinkExtra(i: ImageBytes, at: number, size: number): void {
  const old = i.data.readUInt32BE(at + 36);
  const strings = i.data.readUInt16BE(at + 12) + i.data.readUInt16BE(at + 14);
  const end = at + 40 + old + strings;
  i.data.copyWithin(at + 40 + size, at + 40 + old, end);
  i.data.writeUInt32BE(size, at + 36);
  // Only a table with a single entry stays readable.
  i.data.writeUInt32BE(1, 60);
}

function onBitmaps(i: ImageBytes, damage: (extension: number) => boolean | void): boolean {
  return i.bitmapDirectory !== undefined && damage(i.extension(0x23852875)!) !== false;
}

const onBitmapEntry = (i: ImageBytes, damage: (at: number) => boolean | void): boolean => on(i.bitmapDirectory, damage);
