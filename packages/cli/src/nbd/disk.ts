import { type Extent, type NbdDisk, type NbdExport, StateFlag } from "@softmetal/nbd";
import type { Extent as ImageExtent, Qcow2Image } from "@softmetal/qcow2";
import { holesBelow, isSparseBelow } from "../img/support/holes-below.js";
import type { OpenImage } from "../img/support/open.js";

/** Extents in one answer; clients ask again for the rest. */
const MAX_EXTENTS = 1024;

export interface ServedDiskOptions {
  /** Bytes of the image in front of the served part. */
  readonly start: number;
  readonly readOnly: boolean;
  /** Pass discards on; otherwise they are hints that nobody follows. */
  readonly discard: boolean;
  /** Whether written zeros are looked for, to be stored as such; "unmap" may leave holes. */
  readonly detectZeroes: "off" | "on" | "unmap";
  /** Make every write durable before it is answered. */
  readonly writethrough: boolean;
}

/** An image, or the end of it, as the disk behind an export. */
export class ServedDisk implements NbdDisk {
  readonly size: number;
  readonly write?: NbdDisk["write"];
  readonly trim?: NbdDisk["trim"];
  readonly writeZeroes?: NbdDisk["writeZeroes"];

  #sparseBelow: Promise<boolean> | undefined;

  constructor(
    private readonly image: OpenImage,
    private readonly options: ServedDiskOptions,
  ) {
    const { start, readOnly, discard, detectZeroes, writethrough } = options;
    const { disk } = image;
    this.size = disk.size - start;
    if (readOnly) return;
    const written = async (work: Promise<void>): Promise<void> => {
      await work;
      if (writethrough) await disk.flush();
    };
    this.write = (offset, data) =>
      written(
        detectZeroes !== "off" && isZero(data)
          ? disk.writeZeroes(start + offset, data.length, { unmap: detectZeroes === "unmap" })
          : disk.write(data, start + offset),
      );
    // Announced even when discards are ignored, as a hint nobody has to follow.
    this.trim = async (offset, length) => {
      if (discard) await written(disk.discard(start + offset, length));
    };
    this.writeZeroes = (offset, length, { mayTrim }) =>
      written(disk.writeZeroes(start + offset, length, { unmap: mayTrim && discard }));
  }

  read(offset: number, target: Uint8Array): Promise<void> {
    return this.image.disk.read(target, this.options.start + offset);
  }

  flush(): Promise<void> {
    return this.image.disk.flush();
  }

  blockStatus(offset: number, length: number): Promise<Extent[]> {
    return this.#extents(offset, length, ({ data, zero }) => (data ? 0 : StateFlag.HOLE) | (zero ? StateFlag.ZERO : 0));
  }

  /** `qemu:allocation-depth`: 0 nothing there, 1 this image, 2 its backing file, ... */
  allocationDepth(offset: number, length: number): Promise<Extent[]> {
    return this.#extents(offset, length, ({ allocated, depth }) => (allocated ? depth + 1 : 0));
  }

  async #extents(offset: number, length: number, flags: (extent: ImageExtent) => number): Promise<Extent[]> {
    const extents: Extent[] = [];
    const { start } = this.options;
    // Found out when somebody asks: it takes a look at every cluster.
    this.#sparseBelow ??= isSparseBelow(this.image);
    const sparseBelow = await this.#sparseBelow;
    for (let at = offset; at < offset + length && extents.length < MAX_EXTENTS; ) {
      const extent = await this.image.disk.status(start + at, offset + length - at);
      for await (const part of sparseBelow ? holesBelow(this.image, extent) : [extent]) {
        extents.push({ length: part.length, flags: flags(part) });
        if (extents.length >= MAX_EXTENTS) break;
      }
      at += extent.length;
    }
    return extents;
  }
}

/** Whether there is nothing but zeros. */
function isZero(data: Uint8Array): boolean {
  if (data.length === 0 || data[0] !== 0) return false;
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.length);
  // Each byte equals its neighbour, and the first one is zero.
  return bytes.compare(bytes, 1, bytes.length, 0, bytes.length - 1) === 0;
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
