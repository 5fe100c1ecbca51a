import type { SerialLink } from "@softmetal/chipset";

/** Bytes that the guest may be ahead of the reader before its transmitter waits. */
export const OUTPUT_CREDIT = 1 << 20;

/** The far end of a UART: buffers both directions, bounded by what the reader has taken. */
export class SerialChannel implements SerialLink {
  #output: number[] = [];
  #credit = OUTPUT_CREDIT;
  readonly #input: Uint8Array[] = [];
  #position = 0;

  constructor(
    /** Told how many bytes of input the guest has taken in all of one chunk. */
    readonly onConsumed: () => void,
  ) {}

  transmit(byte: number): boolean {
    if (this.#credit === 0) return false;
    this.#credit--;
    this.#output.push(byte);
    return true;
  }

  receive(): number {
    const chunk = this.#input[0];
    if (!chunk) return -1;
    const byte = chunk[this.#position++];
    if (this.#position === chunk.length) {
      this.#input.shift();
      this.#position = 0;
      this.onConsumed();
    }
    return byte;
  }

  /** Queues bytes for the guest; the sender waits for `onConsumed` before the next chunk. */
  send(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#input.push(bytes);
    else this.onConsumed();
  }

  /** Takes what the guest has sent since the last call. */
  takeOutput(): Uint8Array<ArrayBuffer> | undefined {
    if (this.#output.length === 0) return undefined;
    const bytes = Uint8Array.from(this.#output);
    this.#output = [];
    return bytes;
  }

  /** The reader has taken `bytes` of output. */
  addCredit(bytes: number): void {
    this.#credit += bytes;
  }
}
