/**
 * Memory that the machine's thread and the threads of further vCPUs share: one command for all of them, and for each a
 * mailbox by which it asks for a device access and waits for the answer.
 */

/** Bytes of data in a mailbox: a string instruction's exit carries a page at most. */
const DATA_BYTES = 4096;
const WORDS = 8;
const MAILBOX_BYTES = WORDS * 4 + DATA_BYTES;
const HEADER_BYTES = 64;

/** What a mailbox asks for. */
export const ASK = {
  portIn: 1,
  portOut: 2,
  mmioRead: 3,
  mmioWrite: 4,
  exit: 5,
  emulate: 6,
  endOfInterrupt: 7,
} as const;
export type Ask = (typeof ASK)[keyof typeof ASK];

const IDLE = 0;
const ASKED = 1;

/** The command to all vCPU threads: a generation number, odd while they are to run. */
export class Command {
  readonly word: Int32Array;
  constructor(buffer: SharedArrayBuffer) {
    this.word = new Int32Array(buffer, 0, 1);
  }
  get generation(): number {
    return Atomics.load(this.word, 0);
  }
  next(): void {
    Atomics.add(this.word, 0, 1);
    Atomics.notify(this.word, 0);
  }
  /** Keeps the thread while the generation is still this one. */
  wait(generation: number): void {
    Atomics.wait(this.word, 0, generation);
  }
}

/** Whether vCPUs run in this generation. */
export const isRunning = (generation: number): boolean => (generation & 1) === 1;

export class Mailbox {
  readonly #words: Int32Array;
  readonly #data: Uint8Array;

  constructor(buffer: SharedArrayBuffer, index: number) {
    const at = HEADER_BYTES + index * MAILBOX_BYTES;
    this.#words = new Int32Array(buffer, at, WORDS);
    this.#data = new Uint8Array(buffer, at + WORDS * 4, DATA_BYTES);
  }

  /** A buffer for so many mailboxes, all vCPUs parked. */
  static allocate(count: number): SharedArrayBuffer {
    const buffer = new SharedArrayBuffer(HEADER_BYTES + count * MAILBOX_BYTES);
    for (let index = 0; index < count; index++) new Mailbox(buffer, index).parked = true;
    return buffer;
  }

  // --- the vCPU's side ---

  /** Asks, calls `ring` and waits for the answer, which is in `bytes` then. */
  exchange(ask: Ask, address: number, size: number, bytes: Uint8Array, ring: () => void): void {
    const words = this.#words;
    words[1] = ask;
    words[2] = size;
    words[3] = bytes.length;
    words[4] = address | 0;
    words[5] = Math.floor(address / 2 ** 32);
    this.#data.set(bytes);
    Atomics.store(words, 0, ASKED);
    ring();
    while (Atomics.load(words, 0) === ASKED) Atomics.wait(words, 0, ASKED);
    bytes.set(this.#data.subarray(0, bytes.length));
  }

  /** Asks for nothing that is answered with data: tells why the vCPU cannot go on. */
  tell(text: string, ring: () => void): void {
    this.exchange(ASK.exit, 0, 1, new TextEncoder().encode(text).subarray(0, DATA_BYTES), ring);
  }

  /** Asks for the vCPU's next instruction to be executed for it; whether that was possible. */
  emulate(ring: () => void): boolean {
    const answer = new Uint8Array(1);
    this.exchange(ASK.emulate, 0, 1, answer, ring);
    return answer[0] !== 0;
  }

  /** Tells that the local APIC has ended a level-triggered interrupt, which the devices' side is to hear. */
  endOfInterrupt(vector: number, ring: () => void): void {
    this.exchange(ASK.endOfInterrupt, vector, 1, new Uint8Array(0), ring);
  }

  /** The vCPU's thread touches nothing until the command changes. */
  get parked(): boolean {
    return Atomics.load(this.#words, 6) !== 0;
  }
  set parked(value: boolean) {
    Atomics.store(this.#words, 6, value ? 1 : 0);
  }

  // --- the machine's side ---

  get asked(): boolean {
    return Atomics.load(this.#words, 0) === ASKED;
  }
  get ask(): Ask {
    return this.#words[1] as Ask;
  }
  get size(): number {
    return this.#words[2];
  }
  get address(): number {
    return this.#words[5] * 2 ** 32 + (this.#words[4] >>> 0);
  }
  get bytes(): Uint8Array {
    return this.#data.subarray(0, this.#words[3]);
  }
  get text(): string {
    return new TextDecoder().decode(this.bytes.slice());
  }
  /** The access is done; its data are in `bytes`. */
  answer(): void {
    Atomics.store(this.#words, 0, IDLE);
    Atomics.notify(this.#words, 0);
  }
}
