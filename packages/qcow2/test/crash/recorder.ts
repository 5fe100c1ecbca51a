import type { RandomAccessFile } from "../../src/index.js";
import { MemoryFile } from "../../src/index.js";

/** One operation on a recorded file. Moments count the starts and ends of operations of all files. */
export interface Event {
  /** Index of the file. */
  readonly file: number;
  readonly kind: "write" | "truncate" | "punch" | "flush";
  readonly offset: number;
  readonly length: number;
  readonly data: Uint8Array | undefined;
  readonly issued: number;
  done: number;
}

/** Remembers every change and flush of some files, so that a power loss at any moment can be replayed. */
export class Recorder {
  readonly events: Event[] = [];
  readonly files: RecordingFile[];
  readonly #next: (limit: number) => number;
  #clock = 0;

  /** @param next decides how long operations take, so that concurrent ones end in any order */
  constructor(contents: readonly (Uint8Array | undefined)[], next: (limit: number) => number) {
    this.#next = next;
    this.files = contents.map((content, index) => new RecordingFile(this, index, content));
  }

  get now(): number {
    return this.#clock;
  }

  async record(file: number, kind: Event["kind"], offset: number, length: number, data?: Uint8Array): Promise<void> {
    const event = { file, kind, offset, length, data, issued: ++this.#clock, done: Number.POSITIVE_INFINITY };
    this.events.push(event);
    for (let turns = this.#next(4); turns > 0; turns--) await Promise.resolve();
    event.done = ++this.#clock;
  }
}

export class RecordingFile implements RandomAccessFile {
  readonly name: string;
  readonly readOnly = false;
  readonly #memory: MemoryFile;
  readonly #recorder: Recorder;
  readonly #index: number;

  constructor(recorder: Recorder, index: number, content: Uint8Array | undefined) {
    this.name = `recorded-${index}`;
    this.#memory = new MemoryFile(this.name, content);
    this.#recorder = recorder;
    this.#index = index;
  }

  read(buffer: Uint8Array, offset: number): number {
    return this.#memory.read(buffer, offset);
  }

  async write(data: Uint8Array, offset: number): Promise<void> {
    this.#memory.write(data, offset);
    await this.#recorder.record(this.#index, "write", offset, data.length, data.slice());
  }

  size(): number {
    return this.#memory.size();
  }

  async truncate(size: number): Promise<void> {
    this.#memory.truncate(size);
    await this.#recorder.record(this.#index, "truncate", size, 0);
  }

  async punchHole(offset: number, length: number): Promise<void> {
    this.#memory.punchHole(offset, length);
    await this.#recorder.record(this.#index, "punch", offset, length);
  }

  async flush(): Promise<void> {
    await this.#recorder.record(this.#index, "flush", 0, 0);
  }

  close(): void {}

  bytes(): Uint8Array {
    return this.#memory.bytes();
  }
}
