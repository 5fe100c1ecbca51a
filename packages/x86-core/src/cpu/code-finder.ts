import { BlockDecoder, MAX_RECORDS } from "../decode/block.js";
import { type CodeBytes, InstructionDecoder } from "../decode/instruction.js";
import { MODE } from "../decode/mode.js";
import type { OpcodeTables } from "../decode/opcode-tables.js";
import type { RecordArena } from "../decode/records.js";
import { type goOn, stale } from "../instructions/micro.js";
import type { LinearMemory } from "../mmu/linear-memory.js";
import { VECTOR } from "../semantics/ops.js";
import { LINK_LOOKUP, S } from "../state/layout.js";
import type { State } from "../state/state.js";
import { VARIANT_SLOTS, variantFor } from "../table/variants.js";
import { CodeCache } from "./code-cache.js";
import { raise } from "./fault.js";
import { JumpCache } from "./jump-cache.js";

/**
 * From `S.rip` to decoded code: translates, finds the block of the physical page or decodes it, and remembers it in the
 * jump cache. Everything here is derived: it can be dropped at any time.
 */
export class CodeFinder {
  readonly cache: CodeCache;
  readonly jumps: JumpCache;
  readonly #blocks: BlockDecoder;
  /** Bytes of an instruction that crosses a page. */
  readonly #window: CodeBytes = { bytes: new Uint8Array(32), position: 0, limit: 32 };
  readonly #pageBytes: CodeBytes;
  /** Base and limit of CS: what RIP is relative to, and where code ends. */
  #codeBase = 0n;
  #codeLimit = 0;
  /** Counts how often the arena was emptied. */
  generation = 0;
  /** No code was found since then: the block that executes is one that was dropped. */
  #flushed = false;
  /** The last block found lies in one page, and may be linked to from the same page, which starts here. */
  #shareable = false;
  #foundIn = 0;

  constructor(
    readonly state: State,
    readonly memory: LinearMemory,
    readonly arena: RecordArena,
    /** Handler numbers by row and variant; see `GeneratedInterpreter.numbers`. */
    readonly numbers: Uint16Array,
    tables: OpcodeTables,
  ) {
    this.jumps = new JumpCache(state.buffer);
    this.cache = new CodeCache(
      arena,
      (page) => memory.tlb.protect(page),
      () => this.#microNumber(stale),
    );
    this.#blocks = new BlockDecoder(new InstructionDecoder(tables), arena, {
      number: (row, variant) => {
        const number = numbers[row.id * VARIANT_SLOTS + variant];
        if (number === 0xffff) throw new Error(`no handler for ${row.text}, variant ${variant}`);
        return number;
      },
    });
    this.#pageBytes = { bytes: memory.physical.u8, position: 0, limit: 0 };
  }

  /** The bytes of the last instruction that was decoded alone. */
  get fetched(): Uint8Array {
    return this.#window.bytes;
  }

  /** Base of CS outside 64-bit mode, else 0. */
  get codeBase(): bigint {
    return this.#codeBase;
  }

  /** CS has changed: what was found by RIP is found elsewhere now. */
  setCodeSegment(base: bigint, limit: number): void {
    if (base === this.#codeBase && limit === this.#codeLimit) return;
    // Blocks end where CS does; one limit is in force for all of them.
    if (limit < this.#codeLimit && limit < 0xffff) this.flush();
    this.#codeBase = base;
    this.#codeLimit = limit;
    this.jumps.clear();
  }

  /** Drops all decoded code. */
  flush(): void {
    this.cache.clear();
    this.jumps.clear();
    this.generation++;
    this.#flushed = true;
  }

  /**
   * The first time that the direct jump of `record` is taken: its target is `S.rip`, and `resolve` finds the code there.
   * Links the two when nothing can come between them.
   */
  link(record: number, resolve: () => number): number {
    const { state } = this;
    const pageLow = state.low(S.page);
    const pageHigh = state.high(S.page);
    const mode = state.get32(S.mode);
    const generation = this.generation;
    const low = state.low(S.rip);
    const high = state.high(S.rip);
    // The block that jumps no longer exists: its records may soon be others'.
    const flushed = this.#flushed;
    const target = resolve();
    if (flushed || !target || generation !== this.generation) return target;
    // When the fetch has faulted, this is the handler, not the target.
    const same =
      this.#shareable &&
      this.cache.owns(this.#foundIn, record) &&
      state.low(S.rip) === low &&
      state.high(S.rip) === high &&
      state.low(S.page) === pageLow &&
      state.high(S.page) === pageHigh &&
      state.get32(S.mode) === mode;
    this.arena.setLink(record, same ? target : LINK_LOOKUP);
    return target;
  }

  /** To be called when code was found that will be executed. */
  found(): void {
    this.#flushed = false;
  }

  /** Decodes, or finds, the code at `S.rip`; sets `S.page`. Raises #PF and #GP of the fetch. */
  find(single: boolean): number {
    const { state } = this;
    const mode = state.get32(S.mode);
    let low = state.low(S.rip);
    let high = state.high(S.rip);
    if (!(mode & MODE.LONG)) {
      if (high !== 0 || low > this.#codeLimit) raise(VECTOR.GP, 0);
      low = (low + Number(this.#codeBase & 0xffffffffn)) >>> 0;
      high = 0;
    }
    const offset = low & 0xfff;
    const physical = this.memory.fetchPage(low, high);
    const page = this.memory.physical.host(physical);
    if (page < 0 && !single) {
      // Code outside of RAM is fetched anew each time.
      return this.#decodeUncached(low, high, mode, true);
    }
    state.set32(S.page, (low & 0xfffff000) >>> 0);
    state.set32(S.page + 4, high);
    if (single) return this.#decodeUncached(low, high, mode, false);
    let record = this.cache.find(page, offset, mode);
    this.#shareable = true;
    this.#foundIn = page;
    if (record === undefined) {
      if (this.arena.room < MAX_RECORDS) {
        this.flush();
      }
      const code = this.#pageBytes;
      code.bytes = this.#pageView(page);
      code.position = offset;
      code.limit = this.#pageLimit(low);
      const block = this.#blocks.decode(code, mode);
      if (!block) return this.#decodeUncached(low, high, mode, true);
      record = block.first;
      this.cache.add(page, offset, block.end, record);
      this.cache.enter(page, offset, mode, record);
    }
    this.jumps.fill(state.low(S.rip), state.high(S.rip), mode, record, state.low(S.page), state.high(S.page));
    return record;
  }

  readonly #views = new Map<number, Uint8Array>();
  #pageView(page: number): Uint8Array {
    let view = this.#views.get(page);
    if (!view) {
      if (this.#views.size > 4096) this.#views.clear();
      view = this.memory.physical.u8.subarray(page, page + 4096);
      this.#views.set(page, view);
    }
    return view;
  }

  /** Bytes of the page that CS allows to execute. */
  #pageLimit(low: number): number {
    if (this.#codeLimit === 0xffffffff) return 4096;
    const last = this.#codeLimit + Number(this.#codeBase & 0xffffffffn) - (low & 0xfffff000);
    return Math.max(0, Math.min(4096, last + 1));
  }

  /**
   * Decodes one instruction that cannot be found by its physical page: it crosses into the next one, lies outside of
   * RAM, or runs alone (`keep` false: the caller drops it).
   */
  #decodeUncached(low: number, high: number, mode: number, keep: boolean): number {
    const { state } = this;
    this.#shareable = false;
    if (this.arena.room < MAX_RECORDS) {
      this.flush();
    }
    const window = this.#window;
    const offset = low & 0xfff;
    const first = this.#fetchInto(window.bytes, 0, low, high, Math.min(16, 4096 - offset));
    window.position = 0;
    window.limit = Math.min(first, this.#pageLimit(low) - offset);
    const start = this.arena.next;
    let block = this.#blocks.decode(window, mode, 1);
    if (!block) {
      this.arena.rewind(start);
      if (this.#pageLimit(low) < 4096) raise(VECTOR.GP, 0);
      const nextLow = ((low & 0xfffff000) + 4096) >>> 0;
      const nextHigh = nextLow === 0 && mode & MODE.LONG ? (high + 1) >>> 0 : high;
      const second = this.#fetchInto(window.bytes, first, nextLow, nextHigh, 16);
      window.position = 0;
      window.limit = first + Math.min(second, this.#pageLimit(nextLow));
      block = this.#blocks.decode(window, mode, 1);
      if (!block) raise(VECTOR.GP, 0);
      const nextPage = this.memory.physical.host(this.memory.fetchPage(nextLow, nextHigh));
      if (nextPage >= 0 && keep) this.cache.add(nextPage, 0, Math.max(1, block!.end - first), start);
    }
    // Positions count from the instruction: the "page" starts there.
    state.set32(S.page, low);
    state.set32(S.page + 4, high);
    const page = keep ? this.memory.physical.host(this.memory.fetchPage(low, high)) : -1;
    if (page >= 0) {
      this.cache.add(page, offset, Math.min(4096, offset + block!.end), start);
      this.jumps.fill(state.low(S.rip), state.high(S.rip), mode, start, low, high);
    }
    return start;
  }

  /** Copies code bytes for decoding; returns how many. */
  #fetchInto(target: Uint8Array, at: number, low: number, high: number, most: number): number {
    const physical = this.memory.fetchPage(low, high) + (low & 0xfff);
    for (let index = 0; index < most; index++) target[at + index] = this.memory.physical.read(physical + index, 1);
    return most;
  }

  #microNumber(row: typeof goOn): number {
    const long = (this.state.get32(S.mode) & MODE.LONG) !== 0;
    const size = long ? 64 : 32;
    return this.numbers[row.id * VARIANT_SLOTS + variantFor(row, size, size, long, false)];
  }
}
