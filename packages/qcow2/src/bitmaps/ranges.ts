import type { ImageCore } from "../image/core.js";
import { type Bitmap, extentOf } from "./bitmap.js";
import { readPage, readTable } from "./tables.js";

/** Runs of the disk, in bytes and ascending, that a bitmap marks. */
export async function* rangesOf(core: ImageCore, bitmap: Bitmap): AsyncGenerator<{ offset: number; length: number }> {
  const { entry } = bitmap;
  const { size } = core.header;
  const { clusterSize } = core.geometry;
  const granularity = 2 ** entry.granularityBits;
  const { bits, tableSize } = extentOf(entry, size, clusterSize);
  const table = await readTable(core, entry);
  const perPage = clusterSize * 8;
  let start = -1;
  for (let index = 0; index < tableSize; index++) {
    const page = await readPage(core, bitmap, table, index);
    const last = Math.min(bits, (index + 1) * perPage);
    for (let bit = index * perPage; bit < last; bit++) {
      const byte = page === undefined ? 0 : page[(bit % perPage) >> 3];
      if (bit % 8 === 0 && bit + 8 <= last && ((byte === 0 && start < 0) || (byte === 0xff && start >= 0))) {
        bit += 7;
        continue;
      }
      const set = ((byte >> (bit & 7)) & 1) !== 0;
      if (set && start < 0) start = bit;
      if (!set && start >= 0) {
        yield { offset: start * granularity, length: (bit - start) * granularity };
        start = -1;
      }
    }
  }
  if (start >= 0)
    yield { offset: start * granularity, length: Math.min(size, bits * granularity) - start * granularity };
}
