import type { RandomAccessFile } from "../../src/index.js";

export const SECTOR = 512;

/**
 * A file in memory that can be put back: everything since `mark` is undone by `restore`. So a crash image costs what
 * differs from its neighbour, not a copy. It also knows a hash of its content, kept up to date on demand.
 */
export class ScratchFile implements RandomAccessFile {
  readonly readOnly = false;
  /** Bytes from `#size` on are zero. */
  #bytes = new Uint8Array(64 * 1024);
  #size = 0;
  #undo: { offset: number; old: Uint8Array; size: number }[] | undefined;
  /** Hashes of the sectors as they were when `fingerprint` saw them last. */
  readonly #hashes = new Map<number, [number, number]>();
  readonly #touched = new Set<number>();
  #high = 0;
  #low = 0;

  constructor(readonly name: string) {}

  read(buffer: Uint8Array, offset: number): number {
    const length = Math.max(0, Math.min(buffer.length, this.#size - offset));
    if (length > 0) buffer.set(this.#bytes.subarray(offset, offset + length));
    return length;
  }

  #change(offset: number, length: number, size: number): void {
    const end = offset + length;
    if (end > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(Math.ceil(end / SECTOR) * SECTOR, this.#bytes.length * 2));
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    this.#undo?.push({ offset, old: this.#bytes.slice(offset, end), size: this.#size });
    this.#touch(offset, end);
    this.#size = size;
  }

  #touch(offset: number, end: number): void {
    for (let sector = Math.floor(offset / SECTOR); sector * SECTOR < end; sector++) this.#touched.add(sector);
  }

  write(data: Uint8Array, offset: number): void {
    this.#change(offset, data.length, Math.max(this.#size, offset + data.length));
    this.#bytes.set(data, offset);
  }

  size(): number {
    return this.#size;
  }

  truncate(size: number): void {
    this.#change(Math.min(size, this.#size), Math.max(0, this.#size - size), size);
    this.#bytes.fill(0, size);
  }

  punchHole(offset: number, length: number): void {
    const end = Math.min(offset + length, this.#size);
    if (end <= offset) return;
    this.#change(offset, end - offset, this.#size);
    this.#bytes.fill(0, offset, end);
  }

  flush(): void {}

  close(): void {}

  bytes(): Uint8Array {
    return this.#bytes.slice(0, this.#size);
  }

  mark(): void {
    this.#undo = [];
  }

  restore(): void {
    const list = this.#undo ?? [];
    this.#undo = undefined;
    for (let i = list.length - 1; i >= 0; i--) {
      const { offset, old, size } = list[i];
      this.#touch(offset, offset + old.length);
      this.#bytes.set(old, offset);
      this.#size = size;
    }
  }

  /** Differs (but for chance in 2^64) when content or size differ. */
  fingerprint(): string {
    const words = new Uint32Array(this.#bytes.buffer);
    for (const sector of this.#touched) {
      const before = this.#hashes.get(sector);
      if (before !== undefined) {
        this.#high ^= before[0];
        this.#low ^= before[1];
      }
      const after = hashSector(words, sector);
      this.#high ^= after[0];
      this.#low ^= after[1];
      this.#hashes.set(sector, after);
    }
    this.#touched.clear();
    return `${this.#high >>> 0}.${this.#low >>> 0}.${this.#size}`;
  }
}

function hashSector(words: Uint32Array, sector: number): [number, number] {
  let high = Math.imul(sector + 1, 0x9e3779b1);
  let low = Math.imul(sector + 1, 0x85ebca6b);
  const start = (sector * SECTOR) / 4;
  for (let i = start; i < start + SECTOR / 4; i++) {
    high = Math.imul(high ^ words[i], 0x01000193);
    high ^= high >>> 15;
    low = Math.imul(low ^ words[i], 0xc2b2ae35) + 0x27d4eb2f;
    low ^= low >>> 13;
  }
  return [high, low];
}
