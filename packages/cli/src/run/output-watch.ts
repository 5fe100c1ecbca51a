const PANIC = "Kernel panic - not syncing";
const TAIL = 4096;

/** Keeps the end of the guest's output and notices a Linux panic, which no device reports by default. */
export class OutputWatch {
  tail = "";
  panicked = false;

  readonly #decoder = new TextDecoder();

  feed(bytes: Uint8Array): void {
    const text = this.tail + this.#decoder.decode(bytes, { stream: true });
    if (text.includes(PANIC)) this.panicked = true;
    this.tail = text.slice(-TAIL);
  }
}
