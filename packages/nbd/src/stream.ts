import { asNbdError, NbdError } from "./errors.js";

/** The connection this package needs: any ordered, reliable byte stream in both directions. */
export interface ByteStream {
  /** The next bytes (at least one), or undefined when the peer has finished. */
  read(): Promise<Uint8Array | undefined>;
  /** Queues the chunks in order; resolves when the stream can take more. */
  write(chunks: readonly Uint8Array[]): Promise<void>;
  /** Ends the connection at once; a pending read or write settles. */
  close(): void;
}

/** Exact-length reads and serialised writes over a {@link ByteStream}, each with a time limit. */
export class Wire {
  #stream: ByteStream;
  #chunk: Uint8Array = new Uint8Array(0);
  #at = 0;
  #tail: Promise<void> = Promise.resolve();
  #failure: NbdError | undefined;

  /** @param timeout milliseconds a peer may stay silent inside a message */
  constructor(
    stream: ByteStream,
    readonly timeout: number,
  ) {
    this.#stream = stream;
  }

  /** Bytes received and not yet consumed. */
  get buffered(): number {
    return this.#chunk.length - this.#at;
  }

  /** The stream, to be replaced by its encrypted form. Bytes already received in the clear are a protocol error. */
  upgrade(stream: ByteStream): void {
    if (this.buffered > 0) throw new NbdError("protocol", "bytes sent in the clear after NBD_OPT_STARTTLS");
    this.#stream = stream;
  }

  /** The stream below, for an upgrade. */
  get stream(): ByteStream {
    return this.#stream;
  }

  close(): void {
    this.#stream.close();
  }

  /** Exactly `length` bytes. */
  async read(length: number, structure: string): Promise<Uint8Array> {
    const out = new Uint8Array(length);
    await this.readInto(out, structure);
    return out;
  }

  /**
   * Exactly `length` bytes, or undefined when the peer closed between messages.
   * Waits without a limit for the first byte when `idle` is set.
   */
  async readOrEnd(length: number, structure: string, idle: boolean): Promise<Uint8Array | undefined> {
    if (this.buffered === 0 && !(await this.#fill(structure, idle ? 0 : this.timeout))) return undefined;
    return this.read(length, structure);
  }

  /** Fills `target`. */
  async readInto(target: Uint8Array, structure: string): Promise<void> {
    let done = 0;
    while (done < target.length) {
      if (this.buffered === 0 && !(await this.#fill(structure, this.timeout))) {
        throw new NbdError("closed", `${structure}: the connection ended after ${done} of ${target.length} bytes`, {
          structure,
        });
      }
      const count = Math.min(this.buffered, target.length - done);
      target.set(this.#chunk.subarray(this.#at, this.#at + count), done);
      this.#at += count;
      done += count;
    }
  }

  /** Consumes `length` bytes without keeping them. */
  async skip(length: number, structure: string): Promise<void> {
    let left = length;
    while (left > 0) {
      if (this.buffered === 0 && !(await this.#fill(structure, this.timeout))) {
        throw new NbdError("closed", `${structure}: the connection ended`, { structure });
      }
      const count = Math.min(this.buffered, left);
      this.#at += count;
      left -= count;
    }
  }

  /** Sends the chunks together, after everything sent before. */
  write(chunks: readonly Uint8Array[], structure: string): Promise<void> {
    const sent = this.#tail.then(async () => {
      if (this.#failure !== undefined) throw this.#failure;
      try {
        await this.#limited(this.#stream.write(chunks), this.timeout, structure);
      } catch (error) {
        this.#failure = asNbdError(error, structure);
        throw this.#failure;
      }
    });
    this.#tail = sent.catch(() => {});
    return sent;
  }

  async #fill(structure: string, timeout: number): Promise<boolean> {
    let chunk: Uint8Array | undefined;
    try {
      chunk = await this.#limited(this.#stream.read(), timeout, structure);
    } catch (error) {
      throw asNbdError(error, structure);
    }
    if (chunk === undefined) return false;
    this.#chunk = chunk;
    this.#at = 0;
    return true;
  }

  async #limited<T>(work: Promise<T>, timeout: number, structure: string): Promise<T> {
    if (timeout <= 0) return work;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const expiry = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(new NbdError("timeout", `${structure}: the peer was silent for ${timeout} ms`, { structure }));
        this.#stream.close();
      }, timeout);
    });
    try {
      return await Promise.race([work, expiry]);
    } finally {
      clearTimeout(timer);
      work.catch(() => {});
    }
  }
}

/** Two ends of a connection inside one program; each holds at most `capacity` bytes not yet read. */
export function streamPair(capacity = 1 << 20): [ByteStream, ByteStream] {
  const forward = new Pipe(capacity);
  const backward = new Pipe(capacity);
  const end = (input: Pipe, output: Pipe): ByteStream => ({
    read: () => input.read(),
    write: (chunks) => output.write(chunks),
    close: () => {
      input.end();
      output.end();
    },
  });
  return [end(backward, forward), end(forward, backward)];
}

/** One direction of {@link streamPair}. */
class Pipe {
  #queue: Uint8Array[] = [];
  #held = 0;
  #ended = false;
  #wake: (() => void)[] = [];

  constructor(private readonly capacity: number) {}

  async read(): Promise<Uint8Array | undefined> {
    while (this.#queue.length === 0) {
      if (this.#ended) return undefined;
      await this.#change();
    }
    const chunk = this.#queue.shift()!;
    this.#held -= chunk.length;
    this.#notify();
    return chunk;
  }

  async write(chunks: readonly Uint8Array[]): Promise<void> {
    for (const chunk of chunks) {
      if (this.#ended) throw new NbdError("closed", "the connection is closed");
      if (chunk.length === 0) continue;
      // A copy: the sender may reuse its buffer (and slice() of a Buffer is not one).
      this.#queue.push(new Uint8Array(chunk));
      this.#held += chunk.length;
      this.#notify();
      while (this.#held > this.capacity && !this.#ended) await this.#change();
    }
  }

  end(): void {
    this.#ended = true;
    this.#notify();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve));
  }

  #notify(): void {
    const waiting = this.#wake;
    this.#wake = [];
    for (const resolve of waiting) resolve();
  }
}
