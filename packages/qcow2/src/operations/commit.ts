import type { Disk } from "../disk.js";
import { Qcow2Error } from "../errors.js";
import type { Qcow2Image } from "../image/image.js";
import type { OperationOptions } from "../image/types.js";
import { mismatch } from "./compare.js";

const CHUNK = 1024 * 1024;

export interface CommitOptions extends OperationOptions {
  /** Leave the overlay as it is; otherwise it is emptied when all is committed. */
  readonly keepTop?: boolean;
  /** How many layers below `top` the base is (default 1: its backing file). */
  readonly depth?: number;
}

/** Writes what the overlay(s) above `base` hold into `base`, which must be open for writing. */
export async function commit(top: Qcow2Image, base: Disk, options: CommitOptions = {}): Promise<void> {
  const depth = options.depth ?? 1;
  if (base.size < top.size) await base.resize(top.size);
  const buffer = new Uint8Array(CHUNK);
  for (let at = 0; at < top.size; ) {
    const extent = await top.status(at, top.size - at, { depth: depth - 1 });
    const end = at + extent.length;
    // Beyond the end of a short layer the chain reads as zeros, whatever the base holds there.
    if (extent.allocated && extent.depth < depth) {
      if (extent.zero) await base.writeZeroes(at, extent.length);
      else {
        for (let from = at; from < end; from += CHUNK) {
          const part = buffer.subarray(0, Math.min(CHUNK, end - from));
          await top.read(part, from);
          await base.write(part, from);
        }
      }
    }
    at = end;
    options.progress?.(at, top.size);
    options.signal?.throwIfAborted();
  }
  await base.flush();
  if (options.keepTop !== true && depth === 1) await top.makeEmpty();
}

export interface RebaseOptions extends OperationOptions {
  /** Only change the name in the header. */
  readonly unsafe?: boolean;
}

/**
 * Gives an image another backing file. Where the old and the new chain differ, the image gets its own copy of the
 * old content, so that the disk reads as before. The image keeps its open (old) backing disk until it is closed.
 *
 * @param backing name and format for the header, and the open disk to compare with; undefined for none
 */
export async function rebase(
  image: Qcow2Image,
  backing: { readonly name: string; readonly format?: string; readonly disk?: Disk } | undefined,
  options: RebaseOptions = {},
): Promise<void> {
  if (options.unsafe !== true) {
    if (backing !== undefined && backing.disk === undefined) {
      throw new Qcow2Error("invalid-argument", "a safe rebase needs the new backing disk", { file: image.name });
    }
    await copyDifferences(image, backing?.disk, options);
    await image.flush();
  }
  await image.setBackingFile(backing);
}

async function copyDifferences(image: Qcow2Image, next: Disk | undefined, options: OperationOptions): Promise<void> {
  const { clusterSize, backing: previous } = image;
  const length = Math.max(clusterSize, CHUNK);
  const before = new Uint8Array(length);
  const after = new Uint8Array(length);
  for (let at = 0; at < image.size; ) {
    const extent = await image.status(at, image.size - at, { depth: 0 });
    const end = at + extent.length;
    for (let from = at; !extent.allocated && from < end; ) {
      const stop = Math.min(end, from + length);
      const old = before.subarray(0, stop - from);
      const fresh = after.subarray(0, stop - from);
      await readPadded(previous, old, from);
      await readPadded(next, fresh, from);
      await writeDifferences(image, old, fresh, from, previous?.size ?? 0);
      from = stop;
    }
    at = end;
    options.progress?.(at, image.size);
    options.signal?.throwIfAborted();
  }
}

/** @param zeroFrom where the old backing file ends; what was read of it from there on are zeros */
async function writeDifferences(
  image: Qcow2Image,
  old: Uint8Array,
  fresh: Uint8Array,
  offset: number,
  zeroFrom: number,
): Promise<void> {
  if (mismatch(old, fresh) < 0) return;
  const { clusterSize } = image;
  for (let at = 0; at < old.length; ) {
    const stop = Math.min(old.length, at + clusterSize - ((offset + at) % clusterSize));
    if (mismatch(old.subarray(at, stop), fresh.subarray(at, stop)) >= 0) {
      if (offset + at >= zeroFrom) await image.writeZeroes(offset + at, stop - at);
      else await image.write(old.subarray(at, stop), offset + at);
    }
    at = stop;
  }
}

async function readPadded(disk: Disk | undefined, buffer: Uint8Array, offset: number): Promise<void> {
  const inside = disk === undefined ? 0 : Math.max(0, Math.min(buffer.length, disk.size - offset));
  buffer.fill(0, inside);
  if (inside > 0) await disk!.read(buffer.subarray(0, inside), offset);
}
