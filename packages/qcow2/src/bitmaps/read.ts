import { type ErrorLocation, Qcow2Error } from "../errors.js";
import { BITMAP_FLAG, type BitmapEntry, decodeBitmapDirectory } from "../format/bitmap-directory.js";
import { AUTOCLEAR, MAX_BITMAP_DIRECTORY_BYTES, MAX_BITMAPS } from "../format/constants.js";
import { bitmapsFieldOffset, type Header } from "../format/header.js";
import type { HostFile } from "../image/host.js";
import type { BitmapInfo } from "../image/types.js";

/** Somebody wrote to the image without knowing bitmaps: none of them can be trusted. */
export function bitmapsAreStale({ bitmaps, autoclearFeatures }: Header): boolean {
  return bitmaps !== undefined && (autoclearFeatures & AUTOCLEAR.bitmaps) === 0n;
}

/** Reads the bitmap directory. @throws Qcow2Error "corrupt", "too-large" */
export async function readBitmapDirectory(host: HostFile, header: Header): Promise<BitmapEntry[]> {
  const { bitmaps } = header;
  if (bitmaps === undefined || bitmapsAreStale(header)) return [];
  const { nbBitmaps, directoryOffset, directorySize } = bitmaps;
  const where = (field: Parameters<typeof bitmapsFieldOffset>[1]): ErrorLocation => ({
    file: host.name,
    structure: "bitmaps extension",
    offset: bitmapsFieldOffset(bitmaps, field),
  });
  const fewOrMany = nbBitmaps === 0 || nbBitmaps > MAX_BITMAPS;
  if (fewOrMany || directorySize > MAX_BITMAP_DIRECTORY_BYTES) {
    const field = fewOrMany ? "nbBitmaps" : "directorySize";
    throw new Qcow2Error("too-large", "impossible number of bitmaps or size of their directory", where(field));
  }
  if (directoryOffset % 2 ** header.clusterBits !== 0 || directoryOffset + directorySize > host.end) {
    throw new Qcow2Error("corrupt", "bitmap directory is not where it can be", where("directoryOffset"));
  }
  const data = new Uint8Array(directorySize);
  await host.read(data, directoryOffset);
  return decodeBitmapDirectory(data, nbBitmaps, host.name, directoryOffset);
}

/** @param inconsistent it was in use when somebody last had the image open for writing */
export function describeBitmap(entry: BitmapEntry, inconsistent = isInUse(entry)): BitmapInfo {
  return {
    name: entry.name,
    granularity: 2 ** entry.granularityBits,
    enabled: (entry.flags & BITMAP_FLAG.auto) !== 0,
    inconsistent,
  };
}

export const isInUse = (entry: BitmapEntry): boolean => (entry.flags & BITMAP_FLAG.inUse) !== 0;
