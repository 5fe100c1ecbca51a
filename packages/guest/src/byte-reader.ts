import { GuestError } from "./errors.js";

/** Reads exact numbers of bytes from a stream of chunks. */
export class ByteReader {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #chunk: Uint8Array = new Uint8Array();

  constructor(stream: ReadableStream<Uint8Array>) {
    this.#reader = stream.getReader();
  }

  /** The next `length` bytes; shorter at the end of the stream. */
  async read(length: number): Promise<Uint8Array> {
    if (this.#chunk.length >= length) return this.#cut(length);
    const parts: Uint8Array[] = [];
    let missing = length;
    while (missing > 0 && (await this.#fill())) {
      const part = this.#cut(Math.min(missing, this.#chunk.length));
      parts.push(part);
      missing -= part.length;
    }
    return concatenate(parts);
  }

  /** Passes over bytes. @throws GuestError `bad-archive` when the stream ends before. */
  async skip(length: number): Promise<void> {
    let missing = length;
    while (missing > 0) {
      if (!(await this.#fill())) throw new GuestError("bad-archive", "The archive is truncated.");
      missing -= this.#cut(Math.min(missing, this.#chunk.length)).length;
    }
  }

  async cancel(): Promise<void> {
    await this.#reader.cancel();
  }

  #cut(length: number): Uint8Array {
    const part = this.#chunk.subarray(0, length);
    this.#chunk = this.#chunk.subarray(length);
    return part;
  }

  /** Makes sure that a byte is there; `false` at the end. */
  async #fill(): Promise<boolean> {
    while (this.#chunk.length === 0) {
      const { done, value } = await this.#reader.read();
      if (done) return false;
      this.#chunk = value;
    }
    return true;
  }
}

export function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
