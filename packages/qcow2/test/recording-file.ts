import type { RandomAccessFile } from "../src/index.js";
import { MemoryFile } from "../src/index.js";

interface Event {
  readonly kind: "write" | "truncate" | "punch" | "flush";
  readonly offset: number;
  readonly length: number;
  readonly data: Uint8Array | undefined;
  readonly issued: number;
  done: number;
}

/** A file that remembers every change and flush, so that a power loss at any moment can be replayed. */
export class RecordingFile implements RandomAccessFile {
  readonly name = "recorded";
  readonly readOnly = false;
  readonly #memory = new MemoryFile();
  readonly #events: Event[] = [];
  readonly #next: (limit: number) => number;
  #clock = 0;

  constructor(next: (limit: number) => number) {
    this.#next = next;
  }

  /** Moments are counted by starts and ends of operations. */
  get now(): number {
    return this.#clock;
  }

  async #record(kind: Event["kind"], offset: number, length: number, data?: Uint8Array): Promise<void> {
    const event: Event = { kind, offset, length, data, issued: ++this.#clock, done: Number.POSITIVE_INFINITY };
    this.#events.push(event);
    // Some operations take longer than others, so that concurrent ones end in any order.
    for (let turns = this.#next(4); turns > 0; turns--) await Promise.resolve();
    event.done = ++this.#clock;
  }

  read(buffer: Uint8Array, offset: number): number {
    return this.#memory.read(buffer, offset);
  }

  async write(data: Uint8Array, offset: number): Promise<void> {
    this.#memory.write(data, offset);
    await this.#record("write", offset, data.length, data.slice());
  }

  size(): number {
    return this.#memory.size();
  }

  async truncate(size: number): Promise<void> {
    this.#memory.truncate(size);
    await this.#record("truncate", size, 0);
  }

  async punchHole(offset: number, length: number): Promise<void> {
    this.#memory.punchHole(offset, length);
    await this.#record("punch", offset, length);
  }

  async flush(): Promise<void> {
    await this.#record("flush", 0, 0);
  }

  close(): void {}

  /**
   * The file after a power loss at `moment`. What a completed flush covers is there; of the rest, `keep` decides
   * for every change (and every 512 bytes of it, when `torn`).
   */
  crash(moment: number, keep: () => boolean, torn: boolean): MemoryFile {
    let covered = 0;
    for (const event of this.#events) {
      if (event.kind === "flush" && event.done <= moment) covered = Math.max(covered, event.issued);
    }
    const file = new MemoryFile("after power loss");
    for (const event of this.#events) {
      if (event.issued > moment) break;
      const certain = event.done <= covered;
      if (event.kind === "write" && torn && !certain) {
        const start = event.offset;
        const end = start + event.length;
        for (let at = start; at < end; ) {
          const stop = Math.min(end, at - (at % 512) + 512);
          if (keep()) file.write(event.data!.subarray(at - start, stop - start), at);
          at = stop;
        }
      } else if (certain || keep()) {
        if (event.kind === "write") file.write(event.data!, event.offset);
        else if (event.kind === "truncate") file.truncate(event.offset);
        else if (event.kind === "punch") file.punchHole(event.offset, event.length);
      }
    }
    return file;
  }
}
