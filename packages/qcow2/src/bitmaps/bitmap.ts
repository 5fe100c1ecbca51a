import { BITMAP_FLAG, type BitmapEntry } from "../format/bitmap-directory.js";
import type { BitPages } from "./pages.js";

/** One bitmap of the image, and what this use of the image adds to it. */
export interface Bitmap {
  readonly entry: BitmapEntry;
  /** Was in use when the image was opened: its content is worthless. */
  readonly inconsistent: boolean;
  /** Bits set since the image was opened and not yet in the file. */
  recorded: BitPages | undefined;
}

/** Whether changes of the disk are written down in the bitmap. */
export function records({ entry, inconsistent }: Bitmap): boolean {
  return (entry.flags & BITMAP_FLAG.auto) !== 0 && !inconsistent;
}

/** Bits of the bitmap for a disk of `size` bytes, and the entries of its table. */
export function extentOf(entry: BitmapEntry, size: number, clusterSize: number): { bits: number; tableSize: number } {
  const bits = Math.ceil(size / 2 ** entry.granularityBits);
  return { bits, tableSize: Math.ceil(Math.ceil(bits / 8) / clusterSize) };
}
