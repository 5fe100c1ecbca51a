import { Qcow2Error } from "../errors.js";
import type { BitmapEntry } from "../format/bitmap-directory.js";
import type { ImageCore } from "../image/core.js";
import { isTableEntry, namesCluster, readTableUnchecked } from "./tables.js";

/**
 * Reports every range of the file that the bitmaps occupy.
 * @param damaged told of entries that cannot be followed
 * @throws Qcow2Error "corrupt", "too-large" when a table cannot be read
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
    count(entry.tableOffset, entry.tableSize * 8);
    const table = await readTableUnchecked(core, entry).catch((error: unknown) => {
      if (error instanceof Qcow2Error) damaged(`bitmap ${entry.name}: ${error.message}`);
      throw error;
    });
    table.forEach((offset, index) => {
      if (!isTableEntry(offset, clusterSize)) {
        damaged(
          `bitmap ${entry.name}: entry ${index} of its table at 0x${entry.tableOffset.toString(16)} is impossible`,
        );
      } else if (namesCluster(offset)) {
        count(offset, clusterSize);
      }
    });
  }
}
