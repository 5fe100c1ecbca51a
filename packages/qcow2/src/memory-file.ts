import type { FileExtent, RandomAccessFile } from "./file.js";

const CHUNK = 64 * 1024;

/** A file in memory. Only chunks that were written take space, so that large sparse files are cheap. */
export class MemoryFile implements RandomAccessFile {
  readonly name: string;
  readonly readOnly = false;
  readonly #chunks = new Map<number, Uint8Array>();
  #size = 0;

  constructor(name = "memory", content?: Uint8Array) {
    this.name = name;
    if (content !== undefined) this.write(content, 0);
  }

  read(buffer: Uint8Array, offset: number): number {
    const length = Math.max(0, Math.min(buffer.length, this.#size - offset));
    for (let done = 0; done < length; ) {
      const at = (offset + done) % CHUNK;
      const count = Math.min(CHUNK - at, length - done);
      const chunk = this.#chunks.get(Math.floor((offset + done) / CHUNK));
      if (chunk === undefined) buffer.fill(0, done, done + count);
      else buffer.set(chunk.subarray(at, at + count), done);
      done += count;
    }
    return length;
  }

  write(data: Uint8Array, offset: number): void {
    for (let done = 0; done < data.length; ) {
      const at = (offset + done) % CHUNK;
      const count = Math.min(CHUNK - at, data.length - done);
      const index = Math.floor((offset + done) / CHUNK);
      let chunk = this.#chunks.get(index);
      if (chunk === undefined) {
        chunk = new Uint8Array(CHUNK);
        this.#chunks.set(index, chunk);
      }
      chunk.set(data.subarray(done, done + count), at);
      done += count;
    }
    this.#size = Math.max(this.#size, offset + data.length);
  }

  size(): number {
    return this.#size;
  }

  truncate(size: number): void {
    if (size < this.#size) {
      const last = Math.floor(size / CHUNK);
      for (const index of this.#chunks.keys()) {
        if (index > last || (index === last && size % CHUNK === 0)) this.#chunks.delete(index);
      }
      this.#chunks.get(last)?.fill(0, size % CHUNK);
    }
    this.#size = size;
  }

  flush(): void {}

  punchHole(offset: number, length: number): void {
    const end = Math.min(offset + length, this.#size);
    for (let at = offset; at < end; ) {
      const index = Math.floor(at / CHUNK);
      const stop = Math.min(end, (index + 1) * CHUNK);
      if (at % CHUNK === 0 && stop - at === CHUNK) this.#chunks.delete(index);
      else this.#chunks.get(index)?.fill(0, at % CHUNK, stop - index * CHUNK);
      at = stop;
    }
  }

  allocate(offset: number, length: number): void {
    this.#size = Math.max(this.#size, offset + length);
  }

  extent(offset: number, length: number): FileExtent {
    const data = this.#chunks.has(Math.floor(offset / CHUNK));
    let end = (Math.floor(offset / CHUNK) + 1) * CHUNK;
    while (end < offset + length && this.#chunks.has(end / CHUNK) === data) end += CHUNK;
    return { data, length: Math.min(end - offset, length) };
  }

  allocatedSize(): number {
    return this.#chunks.size * CHUNK;
  }

  close(): void {}

  /** A copy of the whole content; meant for small files. */
  bytes(): Uint8Array {
    const copy = new Uint8Array(this.#size);
    this.read(copy, 0);
    return copy;
  }
}
