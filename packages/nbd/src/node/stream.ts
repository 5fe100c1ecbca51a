import type { Socket } from "node:net";
import type { ByteStream } from "../stream.js";

/** Bytes handed on at a time; larger reads would only hold memory. */
const MAX_CHUNK = 1 << 20;

/** A Node socket (plain or TLS) as a byte stream. The socket stays paused between reads, so that it can be upgraded. */
export class SocketStream implements ByteStream {
  #error: Error | undefined;
  #ended = false;
  #wake: (() => void)[] = [];
  readonly #release: () => void;

  constructor(readonly socket: Socket) {
    const wake = (): void => {
      for (const resume of this.#wake.splice(0)) resume();
    };
    const onError = (error: Error): void => {
      this.#error = error;
      wake();
    };
    const onEnd = (): void => {
      this.#ended = true;
      wake();
    };
    socket.on("readable", wake).on("drain", wake).on("end", onEnd).on("close", onEnd).on("error", onError);
    this.#release = () => {
      socket.off("readable", wake).off("drain", wake).off("end", onEnd).off("close", onEnd).off("error", onError);
      // An unhandled "error" event would end the process.
      socket.on("error", () => {});
    };
  }

  async read(): Promise<Uint8Array | undefined> {
    for (;;) {
      const waiting = this.socket.readableLength;
      const chunk = this.socket.read(waiting > MAX_CHUNK ? MAX_CHUNK : undefined) as Uint8Array | null;
      if (chunk !== null) return chunk;
      if (this.#error) throw this.#error;
      if (this.#ended || this.socket.destroyed) return undefined;
      await this.#change();
    }
  }

  async write(chunks: readonly Uint8Array[]): Promise<void> {
    if (this.#error) throw this.#error;
    if (this.socket.destroyed || this.socket.writableEnded) throw new Error("the connection is closed");
    this.socket.cork();
    for (const chunk of chunks) if (chunk.length > 0) this.socket.write(chunk);
    this.socket.uncork();
    while (this.socket.writableNeedDrain && !this.socket.destroyed) {
      await this.#change();
      if (this.#error) throw this.#error;
    }
  }

  close(): void {
    // Sends what is queued, then closes; a peer that does not read is cut off.
    if (this.socket.destroyed) return;
    this.socket.end();
    const timer = setTimeout(() => this.socket.destroy(), 1000);
    timer.unref();
    this.socket.once("close", () => clearTimeout(timer));
    this.socket.resume();
    this.#ended = true;
    for (const resume of this.#wake.splice(0)) resume();
  }

  /** Gives the socket up to a TLS layer above it. */
  detach(): Socket {
    this.#release();
    return this.socket;
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve));
  }
}
