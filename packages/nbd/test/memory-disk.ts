import type { NbdDisk } from "../src/index.js";
import { type Extent, StateFlag } from "../src/index.js";

/** A disk in memory that reports its zero blocks as holes and remembers what was asked of it. */
export class MemoryDisk implements NbdDisk {
  readonly bytes: Uint8Array;
  readonly calls: string[] = [];

  constructor(
    readonly size: number,
    readonly block = 4096,
  ) {
    this.bytes = new Uint8Array(size);
  }

  async read(offset: number, target: Uint8Array): Promise<void> {
    target.set(this.bytes.subarray(offset, offset + target.length));
  }
  async write(offset: number, data: Uint8Array): Promise<void> {
    this.bytes.set(data, offset);
  }
  async flush(): Promise<void> {
    this.calls.push("flush");
  }
  async trim(offset: number, length: number): Promise<void> {
    this.calls.push(`trim ${offset} ${length}`);
    this.bytes.fill(0, offset, offset + length);
  }
  async writeZeroes(offset: number, length: number, options: { mayTrim: boolean; fast: boolean }): Promise<void> {
    this.calls.push(`zero ${offset} ${length} ${options.mayTrim ? "hole" : "allocated"}`);
    this.bytes.fill(0, offset, offset + length);
  }
  async blockStatus(offset: number, length: number): Promise<Extent[]> {
    const extents: Extent[] = [];
    for (let at = offset; at < offset + length; ) {
      const end = Math.min(offset + length, (Math.floor(at / this.block) + 1) * this.block);
      const zero = this.bytes.subarray(at, end).every((byte) => byte === 0);
      extents.push({ length: end - at, flags: zero ? StateFlag.HOLE | StateFlag.ZERO : 0 });
      at = end;
    }
    return extents;
  }
}

/** Deterministic bytes, so that a failure can be repeated. */
export function random(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state;
  };
}

/** `length` deterministic bytes. */
export function noise(length: number, seed: number): Uint8Array {
  const next = random(seed);
  return Uint8Array.from({ length }, () => next() & 255);
}

/** A 4 MiB disk: noise, a hole in the middle, noise. */
export function sample(): MemoryDisk {
  const MIB = 1 << 20;
  const disk = new MemoryDisk(4 * MIB);
  disk.bytes.set(noise(MIB, 11), 0);
  disk.bytes.set(noise(MIB + 123, 12), 2 * MIB + 4096);
  return disk;
}
