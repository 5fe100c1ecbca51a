import { TLB_ENTRIES, TLB_ENTRY, TLB_ENTRY_SIZE, TLB_NONE, TLB_SIZE, TLB_USER } from "../state/layout.js";

/** A number for the aligned region of `size` bytes around an address; 4 MiB pages count as two of 2 MiB. */
function regionKey(low: number, high: number, size: number): number {
  return Math.floor(((high & 0xffff) * 2 ** 32 + (low >>> 0)) / size) + (size === 2 ** 30 ? 2 ** 40 : 0);
}

/** Regions of large pages that are remembered; a guest of 3.5 GiB has fewer. */
const MAX_LARGE = 4096;

/** Bytes from one TLB to the next; there are three that are filled (user, supervisor with and without SMAP). */
const TLBS = 3;

/**
 * The software TLBs that generated code looks into. Tags are compared there; here they are filled and dropped. Filled
 * entries are listed, so that a flush costs no more than what was filled since the last one.
 */
export class Tlb {
  readonly #u32: Uint32Array;
  readonly #filled: Uint32Array;
  #count = 0;
  /** Entries of global pages, by number over all TLBs. */
  readonly #global: Uint8Array;
  /** Regions of 2 MiB and 1 GiB with entries that come from large pages. */
  readonly #large = new Set<number>();

  constructor(buffer: ArrayBufferLike) {
    this.#u32 = new Uint32Array(buffer);
    this.#filled = new Uint32Array(TLBS * TLB_ENTRIES);
    this.#global = new Uint8Array(TLBS * TLB_ENTRIES);
    this.#u32.fill(0xffffffff, TLB_USER >> 2, (TLB_NONE + TLB_SIZE) >> 2);
  }

  #entry(tlb: number, low: number): number {
    return tlb + ((low >>> 12) & (TLB_ENTRIES - 1)) * TLB_ENTRY_SIZE;
  }

  /** Host address of a linear address that hits, else -1. */
  lookup(tlb: number, low: number, high: number, write: boolean): number {
    const entry = this.#entry(tlb, low);
    const tag = (entry + (write ? TLB_ENTRY.write : TLB_ENTRY.read)) >> 2;
    const u32 = this.#u32;
    if (u32[tag] !== (low & 0xfffff000) >>> 0 || u32[tag + 1] !== high >>> 0) return -1;
    return (low + u32[(entry + TLB_ENTRY.addend) >> 2]) >>> 0;
  }

  /** Notes that a linear address was translated by a page larger than 4 KiB: INVLPG must drop all of it. */
  noteLarge(low: number, high: number, size: number): void {
    // Without an end the guest could make it as large as its address space.
    if (this.#large.size >= MAX_LARGE) this.flush(true);
    this.#large.add(regionKey(low, high, size));
  }

  /** Enters a page; `host` is where it starts in the memory. */
  fill(tlb: number, low: number, high: number, host: number, writable: boolean, global: boolean): void {
    const entry = this.#entry(tlb, low);
    const u32 = this.#u32;
    const page = (low & 0xfffff000) >>> 0;
    const read = (entry + TLB_ENTRY.read) >> 2;
    const number = (entry - TLB_USER) / TLB_ENTRY_SIZE;
    if (u32[read] === 0xffffffff && u32[read + 1] === 0xffffffff) this.#filled[this.#count++] = number;
    this.#global[number] = global ? 1 : 0;
    u32[read] = page;
    u32[read + 1] = high;
    const write = (entry + TLB_ENTRY.write) >> 2;
    u32[write] = writable ? page : 0xffffffff;
    u32[write + 1] = writable ? high : 0xffffffff;
    u32[(entry + TLB_ENTRY.addend) >> 2] = host - page;
  }

  #drop(number: number): void {
    const index = (TLB_USER + number * TLB_ENTRY_SIZE) >> 2;
    this.#u32[index] = this.#u32[index + 1] = this.#u32[index + 2] = this.#u32[index + 3] = 0xffffffff;
  }

  /** Drops all entries; without `global`, those of global pages stay. */
  flush(global: boolean): void {
    let kept = 0;
    for (let index = 0; index < this.#count; index++) {
      const number = this.#filled[index];
      if (!global && this.#global[number]) this.#filled[kept++] = number;
      else this.#drop(number);
    }
    this.#count = kept;
    if (kept === 0) this.#large.clear();
  }

  /** Drops one linear page from all TLBs. The list keeps the entries: they are dropped again at the next flush. */
  flushPage(low: number, high: number): void {
    if (this.#large.has(regionKey(low, high, 2 ** 21)) || this.#large.has(regionKey(low, high, 2 ** 30))) {
      return this.flush(true);
    }
    for (let tlb = 0; tlb < TLBS; tlb++) {
      const number = tlb * TLB_ENTRIES + ((low >>> 12) & (TLB_ENTRIES - 1));
      const index = (TLB_USER + number * TLB_ENTRY_SIZE) >> 2;
      const u32 = this.#u32;
      if (u32[index] === 0xffffffff && u32[index + 1] === 0xffffffff) continue;
      // Still listed: an entry that is never equal to an address, yet not "never filled".
      u32[index] = 1;
      u32[index + 2] = u32[index + 3] = 0xffffffff;
    }
  }

  /** Takes the right to write without a slow path from every entry of a page in memory: it holds code now. */
  protect(host: number): void {
    const u32 = this.#u32;
    for (let index = 0; index < this.#count; index++) {
      const entry = (TLB_USER + this.#filled[index] * TLB_ENTRY_SIZE) >> 2;
      if ((u32[entry] + u32[entry + (TLB_ENTRY.addend >> 2)]) >>> 0 === host) {
        u32[entry + 2] = u32[entry + 3] = 0xffffffff;
      }
    }
  }
}
