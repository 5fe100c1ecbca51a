import { NbdError } from "../errors.js";

/** Pieces of one read that are not yet joined; more than this is an attack, not a reply. */
const MAX_PIECES = 65_536;

/** Which bytes of a read have arrived: pieces may come in any order, but not twice and not outside. */
export class Coverage {
  #total = 0;
  /** Sorted, disjoint, neighbours joined; bytes relative to the request. */
  readonly #pieces: { start: number; end: number }[] = [];

  constructor(
    private readonly offset: number,
    private readonly length: number,
  ) {}

  /** Whether every byte has arrived. */
  get complete(): boolean {
    return this.#total === this.length;
  }

  /** Records a piece and returns where it lies in the request, bytes. */
  add(offset: bigint, length: number): number {
    const start = Number(offset - BigInt(this.offset));
    const end = start + length;
    if (length === 0 || start < 0 || end > this.length) {
      throw new NbdError("protocol", `read reply: ${length} bytes at ${offset} are outside the request`, {
        structure: "read reply",
        offset: this.offset,
      });
    }
    if (this.#overlaps(start, end)) {
      throw new NbdError("protocol", `read reply: bytes at ${offset} come twice`, {
        structure: "read reply",
        offset: this.offset,
      });
    }
    this.#insert(start, end);
    this.#total += length;
    return start;
  }

  /** The first piece at or after `start`. */
  #index(start: number): number {
    let low = 0;
    let high = this.#pieces.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#pieces[middle].start < start) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #overlaps(start: number, end: number): boolean {
    const at = this.#index(start);
    return (at > 0 && this.#pieces[at - 1].end > start) || (at < this.#pieces.length && this.#pieces[at].start < end);
  }

  #insert(start: number, end: number): void {
    const at = this.#index(start);
    const before = this.#pieces[at - 1];
    const after = this.#pieces[at];
    if (before?.end === start && after?.start === end) {
      before.end = after.end;
      this.#pieces.splice(at, 1);
    } else if (before?.end === start) before.end = end;
    else if (after?.start === end) after.start = start;
    else {
      if (this.#pieces.length >= MAX_PIECES) throw new NbdError("limit", "read reply: too many pieces");
      this.#pieces.splice(at, 0, { start, end });
    }
  }
}
