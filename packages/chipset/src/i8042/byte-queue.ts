import { copyState } from "../state.js";

/** State of a queue. */
export interface ByteQueueState {
  bytes: number[];
  head: number;
  count: number;
}

/** A bounded queue of bytes: the 16-byte buffer of a PS/2 device. */
export class ByteQueue {
  #s: ByteQueueState;

  constructor(readonly capacity: number) {
    this.#s = { bytes: new Array<number>(capacity).fill(0), head: 0, count: 0 };
  }

  get length(): number {
    return this.#s.count;
  }

  /** How many more bytes fit. */
  get room(): number {
    return this.capacity - this.#s.count;
  }

  /** Appends; a byte for which there is no room is dropped. */
  push(byte: number): void {
    const s = this.#s;
    if (s.count === this.capacity) return;
    s.bytes[(s.head + s.count) % this.capacity] = byte & 0xff;
    s.count++;
  }

  /** Takes the oldest byte; -1 when empty. */
  shift(): number {
    const s = this.#s;
    if (s.count === 0) return -1;
    const byte = s.bytes[s.head];
    s.head = (s.head + 1) % this.capacity;
    s.count--;
    return byte;
  }

  clear(): void {
    this.#s.head = 0;
    this.#s.count = 0;
  }

  save(): ByteQueueState {
    return copyState(this.#s, this.#s, "queue");
  }

  load(state: unknown, where: string): void {
    const s = copyState(this.#s, state, where);
    s.head = Math.abs(s.head | 0) % this.capacity;
    s.count = Math.min(Math.max(0, s.count | 0), this.capacity);
    this.#s = s;
  }
}
