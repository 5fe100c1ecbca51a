import type { RecordArena } from "../decode/records.js";
import { RECORD_SIZE } from "../state/layout.js";

/** Decoded code of one physical page. */
class PageCode {
  /** First records by offset in the page and mode; see `key`. */
  readonly blocks = new Map<number, number>();
  /** Address ranges of all records, ascending, also of code that only ends or begins here. */
  readonly ranges: number[] = [];
  /** Which of the page's 64 lines of 64 bytes hold code. */
  readonly lines = new Uint8Array(64);
}

const key = (offset: number, mode: number) => mode * 4096 + offset;

/**
 * Which physical pages hold decoded code, so that a write to the code finds what it makes stale. Pages are named by
 * where they start in the memory.
 */
export class CodeCache {
  readonly #pages = new Map<number, PageCode>();

  constructor(
    readonly arena: RecordArena,
    /** Told when a page gets its first code: writes to it must take the slow path from now on. */
    readonly onCodePage: (page: number) => void,
    /** Handler that decodes anew; it replaces every record of overwritten code. */
    readonly staleHandler: () => number,
  ) {}

  find(page: number, offset: number, mode: number): number | undefined {
    return this.#pages.get(page)?.blocks.get(key(offset, mode));
  }

  holdsCode(page: number): boolean {
    return this.#pages.has(page);
  }

  /**
   * Whether a record was decoded from this page. Being reached at the same linear address is not enough: the guest may
   * have mapped another page there while the first one executes.
   */
  owns(page: number, record: number): boolean {
    const ranges = this.#pages.get(page)?.ranges;
    if (!ranges) return false;
    let low = 0;
    let high = ranges.length / 2;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (ranges[middle * 2 + 1] <= record) low = middle + 1;
      else high = middle;
    }
    return low * 2 < ranges.length && record >= ranges[low * 2];
  }

  /** Remembers records from `first` up to the arena's end that were decoded from bytes `start` to `end` of the page. */
  add(page: number, start: number, end: number, first: number): void {
    let code = this.#pages.get(page);
    if (!code) {
      code = new PageCode();
      this.#pages.set(page, code);
      this.onCodePage(page);
    }
    code.ranges.push(first, this.arena.next);
    code.lines.fill(1, start >> 6, ((end - 1) >> 6) + 1);
  }

  /** Makes the block findable by where it starts. */
  enter(page: number, offset: number, mode: number, first: number): void {
    this.#pages.get(page)!.blocks.set(key(offset, mode), first);
  }

  /** To be called when bytes have been or will be written: forgets the page's code if any of it is among them. */
  written(page: number, offset: number, length: number): void {
    const code = this.#pages.get(page);
    if (!code) return;
    const last = Math.min(63, (offset + length - 1) >> 6);
    for (let line = offset >> 6; line <= last; line++) {
      if (code.lines[line]) return this.#forget(page, code);
    }
  }

  #forget(page: number, code: PageCode): void {
    const handler = this.staleHandler();
    for (let index = 0; index < code.ranges.length; index += 2) {
      for (let record = code.ranges[index]; record < code.ranges[index + 1]; record += RECORD_SIZE) {
        this.arena.setHandler(record, handler);
      }
    }
    this.#pages.delete(page);
  }

  /** Forgets everything and frees the arena. */
  clear(): void {
    this.#pages.clear();
    this.arena.clear();
  }
}
