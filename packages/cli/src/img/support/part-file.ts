import type { FileExtent, RandomAccessFile } from "@softmetal/qcow2";
import { CommandError } from "./context.js";

/** Refuses a part that does not lie inside of its file; returns the bytes behind its start. */
export function checkPart(whole: number, offset = 0, length?: number): number {
  if (offset > whole)
    throw new CommandError(`Offset (${offset}) cannot be greater than size of the containing file (${whole})`);
  if (length !== undefined && length > whole - offset) {
    // The gap is QEMU's.
    throw new CommandError(
      `The sum of offset (${offset}) and size (${length}) has to be smaller or equal to the  actual size of the containing file (${whole})`,
    );
  }
  if (length !== undefined && length % 512 !== 0) throw new CommandError("Specified size is not multiple of 512");
  return whole - offset;
}

/** A range of a file as a file of its own, as for an image inside of an archive. Its size is fixed. */
export class PartFile implements RandomAccessFile {
  readonly readOnly: boolean;

  private constructor(
    private readonly whole: RandomAccessFile,
    readonly name: string,
    private readonly offset: number,
    private readonly length: number,
  ) {
    this.readOnly = whole.readOnly;
  }

  /** The part from `offset` on, `length` bytes or all that is there. Closing it closes the whole. */
  static async open(whole: RandomAccessFile, name: string, offset = 0, length?: number): Promise<PartFile> {
    const available = checkPart(await whole.size(), offset, length);
    return new PartFile(whole, name, offset, length ?? available);
  }

  async read(buffer: Uint8Array, offset: number): Promise<number> {
    const count = Math.max(0, Math.min(buffer.length, this.length - offset));
    return count === 0 ? 0 : this.whole.read(buffer.subarray(0, count), this.offset + offset);
  }
  async write(data: Uint8Array, offset: number): Promise<void> {
    if (offset + data.length > this.length)
      throw Object.assign(new Error("part of a file is full"), { code: "ENOSPC" });
    await this.whole.write(data, this.offset + offset);
  }
  size(): number {
    return this.length;
  }
  truncate(size: number): void {
    if (size > this.length) throw new CommandError("Cannot resize a part of a file");
  }
  async flush(): Promise<void> {
    await this.whole.flush();
  }
  async extent(offset: number, length: number): Promise<FileExtent> {
    return (await this.whole.extent?.(this.offset + offset, length)) ?? { length, data: true };
  }
  async allocatedSize(): Promise<number> {
    return (await this.whole.allocatedSize?.()) ?? this.length;
  }
  async close(): Promise<void> {
    await this.whole.close();
  }
}
