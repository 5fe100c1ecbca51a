/** A value that may be ready at once: implementations without waiting (memory, OPFS) need no promise. */
export type MaybePromise<T> = T | Promise<T>;

/** What is known about a range of a file without reading it. */
export interface FileExtent {
  /** Length in bytes, at least 1 and never beyond the range that was asked for. */
  readonly length: number;
  /** False when the range is a hole, which reads as zeros. */
  readonly data: boolean;
}

/**
 * The bytes under an image. All offsets and lengths are in bytes; a write beyond the end extends the file and the
 * gap reads as zeros. Several requests may be under way at once.
 */
export interface RandomAccessFile {
  /** For error messages and for resolving relative backing file names. */
  readonly name: string;
  readonly readOnly: boolean;
  /** Fills `buffer` from `offset`. Returns the number of bytes read, short only at the end of the file. */
  read(buffer: Uint8Array, offset: number): MaybePromise<number>;
  /** Writes all of `data` at `offset`. */
  write(data: Uint8Array, offset: number): MaybePromise<void>;
  /** Writes the buffers one behind the other, starting at `offset`. */
  writev?(buffers: Uint8Array[], offset: number): MaybePromise<void>;
  size(): MaybePromise<number>;
  /** Changes the size. A device, which has one of its own, stays as it is. */
  truncate(size: number): MaybePromise<void>;
  /** Returns when everything written before the call is on stable storage. */
  flush(): MaybePromise<void>;
  /** Releases the storage of a range, which then reads as zeros. Size is unchanged. */
  punchHole?(offset: number, length: number): MaybePromise<void>;
  /** Reserves storage for a range, so that later writes to it cannot run out of space; extends the file. */
  allocate?(offset: number, length: number): MaybePromise<void>;
  /** Says whether storage stands behind a range, from its start as far as the answer stays the same. */
  extent?(offset: number, length: number): MaybePromise<FileExtent>;
  /** Bytes of storage in use, as `du` counts them. */
  allocatedSize?(): MaybePromise<number>;
  close(): MaybePromise<void>;
}
