import { roundUp } from "../format/binary.js";
import { type BitmapEntry, encodeBitmapDirectory } from "../format/bitmap-directory.js";
import { AUTOCLEAR, MAX_BITMAP_DIRECTORY_BYTES } from "../format/constants.js";
import type { ImageCore } from "../image/core.js";
import { bitmapsAreStale, readBitmapDirectory } from "./read.js";

/** The bitmap directory in the file. */
export class BitmapDirectory {
  /** Bytes in the file; both are 0 when there is none. */
  offset = 0;
  size = 0;
  readonly #core: ImageCore;

  constructor(core: ImageCore) {
    this.#core = core;
  }

  /** Reads the entries. @throws Qcow2Error "corrupt", "too-large" */
  async load(): Promise<BitmapEntry[]> {
    const { header, host, options } = this.#core;
    const entries = await readBitmapDirectory(host, header);
    if (bitmapsAreStale(header) && !options.readOnly) header.bitmaps = undefined;
    if (header.bitmaps !== undefined && entries.length > 0) {
      this.#place(header.bitmaps.directoryOffset, header.bitmaps.directorySize, entries);
    }
    return entries;
  }

  /** Writes the directory to a new place and makes the header name it. */
  async move(entries: readonly BitmapEntry[]): Promise<void> {
    const core = this.#core;
    const { header, host, geometry } = core;
    const old = { offset: this.offset, size: this.size };
    const data = encodeBitmapDirectory(entries);
    if (data.length > MAX_BITMAP_DIRECTORY_BYTES) {
      core.fail("too-large", "the bitmap directory would be too large", "bitmap directory", this.offset);
    }
    let offset = 0;
    if (data.length > 0) {
      const clusters = roundUp(data.length, geometry.clusterSize) / geometry.clusterSize;
      offset = await core.metadata.run(() => core.refcounts.allocateExact(clusters));
      await host.write(data, offset);
    }
    await core.flush();
    if (data.length > 0) {
      header.bitmaps = { nbBitmaps: entries.length, directorySize: data.length, directoryOffset: offset };
      header.autoclearFeatures |= AUTOCLEAR.bitmaps;
    } else {
      header.bitmaps = undefined;
      header.autoclearFeatures &= ~AUTOCLEAR.bitmaps;
    }
    await core.writeHeader();
    await host.flush();
    this.#place(offset, data.length, entries);
    if (old.size > 0) core.refcounts.free(old.offset, old.size);
  }

  /** Writes the entries where they are; only flags may have changed. */
  async update(entries: readonly BitmapEntry[]): Promise<void> {
    const { host } = this.#core;
    await host.write(encodeBitmapDirectory(entries), this.offset);
    await host.flush();
  }

  /** Notes where the directory and the tables lie, and protects them. */
  #place(offset: number, size: number, entries: readonly BitmapEntry[]): void {
    this.offset = offset;
    this.size = size;
    this.#core.bitmapTables = [
      { kind: "bitmap directory", offset, length: size },
      ...entries.map(({ tableOffset, tableSize }) => ({
        kind: "bitmap table" as const,
        offset: tableOffset,
        length: tableSize * 8,
      })),
    ];
  }
}
