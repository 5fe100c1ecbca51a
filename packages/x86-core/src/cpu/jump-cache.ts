import { jumpCacheIndex } from "../interpreter/jump-cache-index.js";
import { JUMP_CACHE, JUMP_CACHE_ENTRIES, JUMP_CACHE_ENTRY, JUMP_CACHE_ENTRY_SIZE } from "../state/layout.js";

/** The filling side of the cache from RIP and mode to records that generated code looks into. */
export class JumpCache {
  readonly #u32: Uint32Array;
  readonly #filled: Uint16Array;
  #count = 0;

  constructor(buffer: ArrayBufferLike) {
    this.#u32 = new Uint32Array(buffer);
    this.#filled = new Uint16Array(JUMP_CACHE_ENTRIES);
    for (let index = 0; index < JUMP_CACHE_ENTRIES; index++) this.#drop(index);
  }

  #drop(index: number): void {
    // Every mode has fewer bits than this.
    this.#u32[(JUMP_CACHE + index * JUMP_CACHE_ENTRY_SIZE + JUMP_CACHE_ENTRY.mode) >> 2] = 0xffffffff;
  }

  fill(low: number, high: number, mode: number, record: number, pageLow: number, pageHigh: number): void {
    const index = jumpCacheIndex(low);
    if (this.#count === JUMP_CACHE_ENTRIES) this.clear();
    const u32 = this.#u32;
    const entry = (JUMP_CACHE + index * JUMP_CACHE_ENTRY_SIZE) >> 2;
    if (u32[entry + (JUMP_CACHE_ENTRY.mode >> 2)] === 0xffffffff) this.#filled[this.#count++] = index;
    u32[entry] = low;
    u32[entry + 1] = high;
    u32[entry + (JUMP_CACHE_ENTRY.mode >> 2)] = mode;
    u32[entry + (JUMP_CACHE_ENTRY.record >> 2)] = record;
    u32[entry + (JUMP_CACHE_ENTRY.page >> 2)] = pageLow;
    u32[entry + (JUMP_CACHE_ENTRY.page >> 2) + 1] = pageHigh;
  }

  /** Drops the entry that a RIP would be in. */
  drop(low: number): void {
    this.#drop(jumpCacheIndex(low));
  }

  clear(): void {
    for (let index = 0; index < this.#count; index++) this.#drop(this.#filled[index]);
    this.#count = 0;
  }
}
