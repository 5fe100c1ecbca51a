import { type Extent, PAGE } from "./container.js";

const WORDS = PAGE / 4;

const wordsOf = (ram: Uint8Array) => new Uint32Array(ram.buffer, ram.byteOffset, ram.length / 4);

function isZero(words: Uint32Array, page: number): boolean {
  for (let at = page * WORDS, end = at + WORDS; at < end; at++) if (words[at] !== 0) return false;
  return true;
}

/** The pieces of RAM that are not zeros, as views. */
export function extentsOf(ram: Uint8Array): Extent[] {
  const words = wordsOf(ram);
  const pages = ram.length / PAGE;
  const extents: Extent[] = [];
  for (let page = 0; page < pages; page++) {
    if (isZero(words, page)) continue;
    const first = page;
    while (page < pages && !isZero(words, page)) page++;
    extents.push({ address: first * PAGE, bytes: ram.subarray(first * PAGE, page * PAGE) });
  }
  return extents;
}

/** Makes RAM what the extents say. Pages that are zeros already stay untouched, so that the host gives none for them. */
export function restoreRam(ram: Uint8Array, extents: readonly Extent[]): void {
  const words = wordsOf(ram);
  const clear = (from: number, to: number) => {
    for (let page = from / PAGE; page < to / PAGE; page++) {
      if (!isZero(words, page)) words.fill(0, page * WORDS, (page + 1) * WORDS);
    }
  };
  let end = 0;
  for (const { address, bytes } of extents) {
    clear(end, address);
    ram.set(bytes, address);
    end = address + bytes.length;
  }
  clear(end, ram.length);
}
