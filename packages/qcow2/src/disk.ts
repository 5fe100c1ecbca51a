/** A run of bytes of a disk with one state. */
export interface Extent {
  readonly offset: number;
  readonly length: number;
  /** Some layer of the chain describes the range; otherwise it reads as zeros because nothing is there. */
  readonly allocated: boolean;
  /** The range is stored as bytes somewhere (plain or compressed). */
  readonly data: boolean;
  /** The range is known to read as zeros without reading it. */
  readonly zero: boolean;
  readonly compressed: boolean;
  /** 0 for the image itself, 1 for its backing file, and so on. */
  readonly depth: number;
  /** It reads as zeros because the layer at `depth` ends before it. */
  readonly beyondBacking?: true;
  /** Offset in `file` where the first byte is stored, when it is stored (or preallocated) unencoded. */
  readonly hostOffset?: number;
  /** Name of the file that holds `hostOffset`. */
  readonly file?: string;
}

export interface WriteZeroesOptions {
  /** Storage may be released (default true). When false, storage that is there stays allocated. */
  readonly unmap?: boolean;
}

export interface StatusOptions {
  /** How many layers below this one may answer; 0 asks only this layer (default: all). */
  readonly depth?: number;
}

export interface DiskResizeOptions {
  /** Allow the disk to become smaller, where that has to be asked for (qcow2). */
  readonly shrink?: boolean;
  /** What to do with the new part (default off); "metadata" is for qcow2 alone. */
  readonly preallocation?: "off" | "metadata" | "falloc" | "full";
}

/**
 * A disk: what raw and qcow2 images have in common. All offsets and lengths are bytes, need no alignment, and must
 * lie inside `size`. Requests may be issued concurrently; overlapping ones are ordered by the time of the call
 * only when one waits for the other.
 */
export interface Disk {
  readonly name: string;
  /** "raw", "qcow2" or "luks". */
  readonly format: string;
  /** Bytes. */
  readonly size: number;
  readonly readOnly: boolean;
  read(buffer: Uint8Array, offset: number): Promise<void>;
  write(data: Uint8Array, offset: number): Promise<void>;
  writeZeroes(offset: number, length: number, options?: WriteZeroesOptions): Promise<void>;
  /** A hint that the content is no longer needed; the range reads as zeros or as before. */
  discard(offset: number, length: number): Promise<void>;
  /** Returns when all writes that returned before the call are on stable storage. */
  flush(): Promise<void>;
  resize(size: number, options?: DiskResizeOptions): Promise<void>;
  /** State of the range from `offset` on, as far as it stays the same and at most `length` bytes. */
  status(offset: number, length: number, options?: StatusOptions): Promise<Extent>;
  close(): Promise<void>;
}
