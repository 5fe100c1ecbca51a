import { type Extent, type NbdDisk, type NbdExport, StateFlag } from "@softmetal/nbd";
import type { Disk, Qcow2Image } from "@softmetal/qcow2";

/** Extents in one answer; clients ask again for the rest. */
const MAX_EXTENTS = 1024;

/** An image, or a part of it, as the disk behind an export. */
export class ServedDisk implements NbdDisk {
  readonly write?: NbdDisk["write"];
  readonly trim?: NbdDisk["trim"];
  readonly writeZeroes?: NbdDisk["writeZeroes"];

  constructor(
    private readonly disk: Disk,
    private readonly start: number,
    readonly size: number,
    options: { readonly readOnly: boolean; readonly discard: boolean },
  ) {
    if (options.readOnly) return;
    this.write = (offset, data) => disk.write(data, start + offset);
    // Announced even when discards are ignored, as a hint nobody has to follow.
    this.trim = async (offset, length) => {
      if (options.discard) await disk.discard(start + offset, length);
    };
    this.writeZeroes = (offset, length, { mayTrim }) =>
      disk.writeZeroes(start + offset, length, { unmap: mayTrim && options.discard });
  }

  read(offset: number, target: Uint8Array): Promise<void> {
    return this.disk.read(target, this.start + offset);
  }

  flush(): Promise<void> {
    return this.disk.flush();
  }

  blockStatus(offset: number, length: number): Promise<Extent[]> {
    return this.#extents(offset, length, ({ data, zero }) => (data ? 0 : StateFlag.HOLE) | (zero ? StateFlag.ZERO : 0));
  }

  /** `qemu:allocation-depth`: 0 nothing there, 1 this image, 2 its backing file, ... */
  allocationDepth(offset: number, length: number): Promise<Extent[]> {
    return this.#extents(offset, length, ({ allocated, depth }) => (allocated ? depth + 1 : 0));
  }

  async #extents(
    offset: number,
    length: number,
    flags: (extent: { data: boolean; zero: boolean; allocated: boolean; depth: number }) => number,
  ): Promise<Extent[]> {
    const extents: Extent[] = [];
    for (let at = offset; at < offset + length && extents.length < MAX_EXTENTS; ) {
      const extent = await this.disk.status(this.start + at, offset + length - at);
      extents.push({ length: extent.length, flags: flags(extent) });
      at += extent.length;
    }
    return extents;
  }
}

/** `qemu:dirty-bitmap:NAME`: flag 1 where the bitmap marks changes. */
export function dirtyBitmap(
  image: Qcow2Image,
  name: string,
  start: number,
): NonNullable<NbdExport["contexts"]>[string] {
  return async (offset, length) => {
    const extents: Extent[] = [];
    const from = start + offset;
    const end = from + length;
    let at = from;
    for await (const range of image.dirtyRanges(name)) {
      const rangeEnd = range.offset + range.length;
      if (rangeEnd <= at) continue;
      if (range.offset >= end || extents.length >= MAX_EXTENTS) break;
      if (range.offset > at) extents.push({ length: range.offset - at, flags: 0 });
      const first = Math.max(at, range.offset);
      at = Math.min(rangeEnd, end);
      extents.push({ length: at - first, flags: 1 });
    }
    if (at < end && extents.length < MAX_EXTENTS) extents.push({ length: end - at, flags: 0 });
    return extents;
  };
}
