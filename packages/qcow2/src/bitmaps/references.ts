import { roundUp } from "../format/binary.js";
import { BITMAP_FLAG, type BitmapEntry } from "../format/bitmap-directory.js";
import type { ImageCore } from "../image/core.js";
import { checkTablePlace, isTableEntry, namesCluster, readTableUnchecked } from "./tables.js";

const BITMAP_FLAGS = BITMAP_FLAG.inUse | BITMAP_FLAG.auto | BITMAP_FLAG.extraDataCompatible;

/**
 * Reports every range of the file that the bitmaps occupy.
 * @param damaged told of entries that cannot be followed
 * @throws Qcow2Error "corrupt", "too-large" when a table cannot be where its entry says
 */
export async function countBitmaps(
  core: ImageCore,
  directory: { readonly offset: number; readonly size: number },
  entries: readonly BitmapEntry[],
  count: (offset: number, length: number) => void,
  damaged: (text: string) => void,
): Promise<void> {
  const { clusterSize } = core.geometry;
  if (directory.size > 0) count(directory.offset, directory.size);
  for (const entry of entries) {
    const { name, flags, tableOffset, tableSize } = entry;
    checkTablePlace(core, entry);
    count(tableOffset, tableSize * 8);
    if ((flags & ~BITMAP_FLAGS) !== 0) damaged(`bitmap ${name}: reserved flags 0x${flags.toString(16)}`);
    // Counting has told of a table that is not in the file.
    if (tableOffset + tableSize * 8 > roundUp(core.host.end, clusterSize)) continue;
    (await readTableUnchecked(core, entry)).forEach((offset, index) => {
      if (!isTableEntry(offset, clusterSize)) {
        damaged(`bitmap ${name}: entry ${index} of the table at offset 0x${tableOffset.toString(16)} is impossible`);
      } else if (namesCluster(offset)) {
        count(offset, clusterSize);
      }
    });
  }
}
