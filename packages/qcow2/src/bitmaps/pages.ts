/** Bits in pages of one cluster each; only pages with a set bit take memory. */
export class BitPages {
  readonly #pages = new Map<number, Uint8Array>();
  readonly #pageSize: number;

  constructor(pageSize: number) {
    this.#pageSize = pageSize;
  }

  page(index: number): Uint8Array | undefined {
    return this.#pages.get(index);
  }

  indexes(): number[] {
    return [...this.#pages.keys()];
  }

  /** Sets the bits for a range of bytes of the disk; bits from `limit` on stay clear. */
  setRange(offset: number, length: number, granularityBits: number, limit: number): void {
    if (length <= 0) return;
    const granularity = 2 ** granularityBits;
    const first = Math.floor(offset / granularity);
    const end = Math.min(limit, Math.floor((offset + length - 1) / granularity) + 1);
    const perPage = this.#pageSize * 8;
    for (let bit = first; bit < end; ) {
      const index = Math.floor(bit / perPage);
      const stop = Math.min(end, (index + 1) * perPage);
      let page = this.#pages.get(index);
      if (page === undefined) {
        page = new Uint8Array(this.#pageSize);
        this.#pages.set(index, page);
      }
      setBits(page, bit % perPage, stop - index * perPage);
      bit = stop;
    }
  }
}

function setBits(page: Uint8Array, from: number, to: number): void {
  let bit = from;
  for (; bit < to && (bit & 7) !== 0; bit++) page[bit >> 3] |= 1 << (bit & 7);
  const bytes = (to - bit) >> 3;
  if (bytes > 0) page.fill(0xff, bit >> 3, (bit >> 3) + bytes);
  for (bit += Math.max(0, bytes) * 8; bit < to; bit++) page[bit >> 3] |= 1 << (bit & 7);
}
