import type { Disk, DiskResizeOptions, Extent, WriteZeroesOptions } from "../disk.js";
import { Qcow2Error } from "../errors.js";
import type { RandomAccessFile } from "../file.js";
import { HostFile } from "../image/host.js";
import { fillZeros } from "../zeros.js";

export interface RawOpenOptions {
  readonly readOnly?: boolean;
  /** Byte of the file where the disk starts (default 0). */
  readonly offset?: number;
  /** Bytes of the disk (default: to the end of the file). */
  readonly size?: number;
  /** "unsafe" never flushes the file. */
  readonly cache?: "writeback" | "unsafe";
}

/** A file that is the disk, byte for byte. */
export class RawDisk implements Disk {
  readonly format = "raw";
  readonly readOnly: boolean;
  readonly #host: HostFile;
  readonly #offset: number;
  readonly #fixed: boolean;
  #size: number;
  #closed = false;

  constructor(host: HostFile, options: RawOpenOptions) {
    this.#host = host;
    this.readOnly = options.readOnly ?? host.file.readOnly;
    this.#offset = options.offset ?? 0;
    this.#fixed = options.size !== undefined || options.offset !== undefined;
    this.#size = options.size ?? Math.max(0, host.end - this.#offset);
    if (this.#offset < 0 || this.#size < 0 || this.#offset + this.#size > Math.max(host.end, this.#offset)) {
      throw new Qcow2Error("invalid-argument", "the range lies beyond the end of the file", { file: this.name });
    }
  }

  get name(): string {
    return this.#host.name;
  }

  get size(): number {
    return this.#size;
  }

  async read(buffer: Uint8Array, offset: number): Promise<void> {
    this.#check(offset, buffer.length);
    await this.#host.read(buffer, offset + this.#offset);
  }

  async write(data: Uint8Array, offset: number): Promise<void> {
    this.#check(offset, data.length, true);
    await this.#host.write(data, offset + this.#offset);
  }

  async writeZeroes(offset: number, length: number, options: WriteZeroesOptions = {}): Promise<void> {
    this.#check(offset, length, true);
    if (options.unmap !== false && this.#host.file.punchHole !== undefined) {
      await this.#host.punchHole(offset + this.#offset, length);
      return;
    }
    await this.#host.writeZeros(offset + this.#offset, offset + this.#offset + length);
  }

  async discard(offset: number, length: number): Promise<void> {
    this.#check(offset, length, true);
    await this.#host.punchHole(offset + this.#offset, length);
  }

  async flush(): Promise<void> {
    this.#check(0, 0);
    if (!this.readOnly) await this.#host.flush();
  }

  async resize(size: number, options: DiskResizeOptions = {}): Promise<void> {
    this.#check(0, 0, true);
    if (this.#fixed) throw new Qcow2Error("conflict", "a part of a file cannot be resized", { file: this.name });
    const old = this.#size;
    await this.#host.truncate(size);
    if ((await this.#host.file.size()) !== size) throw new Qcow2Error("unsupported", "Cannot resize device files");
    this.#size = size;
    const mode = options.preallocation ?? "off";
    await preallocate(this.#host.file, old, size, mode === "metadata" ? "full" : mode);
  }

  async status(offset: number, length: number): Promise<Extent> {
    this.#check(offset, length);
    const { file } = this.#host;
    const extent = (await file.extent?.(offset + this.#offset, length)) ?? { data: true, length };
    return {
      offset,
      length: extent.length,
      allocated: true,
      data: extent.data,
      zero: !extent.data,
      compressed: false,
      depth: 0,
      hostOffset: offset + this.#offset,
      file: this.name,
    };
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    try {
      if (!this.readOnly) await this.#host.flush();
    } finally {
      await this.#host.file.close();
    }
  }

  #check(offset: number, length: number, write = false): void {
    const where = { file: this.name };
    if (this.#closed) throw new Qcow2Error("closed", "disk is closed", where);
    if (write && this.readOnly) throw new Qcow2Error("read-only", "disk was opened read-only", where);
    if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0) {
      throw new Qcow2Error("invalid-argument", `impossible range ${offset}+${length}`, where);
    }
    if (offset + length > this.#size) {
      throw new Qcow2Error("out-of-range", `${offset}+${length} is beyond the end at ${this.#size}`, where);
    }
  }
}

/** Opens a file as a raw disk. The disk closes the file. */
export async function openRaw(file: RandomAccessFile, options: RawOpenOptions = {}): Promise<RawDisk> {
  return new RawDisk(await HostFile.open(file, options.cache !== "unsafe"), options);
}

/** Makes `file` an empty raw disk of `size` bytes. */
export async function createRaw(
  file: RandomAccessFile,
  options: { readonly size: number; readonly preallocation?: "off" | "falloc" | "full" },
): Promise<void> {
  await file.truncate(0);
  await file.truncate(options.size);
  await preallocate(file, 0, options.size, options.preallocation ?? "off");
  await file.flush();
}

/** Puts storage behind the bytes from `offset` to `end`, which read as zeros. */
export async function preallocate(
  file: Pick<RandomAccessFile, "write" | "allocate">,
  offset: number,
  end: number,
  mode: "off" | "falloc" | "full",
): Promise<void> {
  if (mode === "off" || end <= offset) return;
  if (mode === "falloc" && file.allocate !== undefined) await file.allocate(offset, end - offset);
  else await fillZeros(file, offset, end);
}
