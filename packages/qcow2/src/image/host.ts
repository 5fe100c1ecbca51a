import { Qcow2Error } from "../errors.js";
import type { MaybePromise, RandomAccessFile } from "../file.js";
import { fillZeros } from "../zeros.js";

/** The image file as the rest of the library sees it: reads past the end give zeros, failures are typed. */
export class HostFile {
  /** Size of the file, kept up to date without asking. */
  end: number;

  private constructor(
    readonly file: RandomAccessFile,
    end: number,
    readonly flushes: boolean,
  ) {
    this.end = end;
  }

  static async open(file: RandomAccessFile, flushes: boolean): Promise<HostFile> {
    return new HostFile(file, await file.size(), flushes);
  }

  get name(): string {
    return this.file.name;
  }

  read(buffer: Uint8Array, offset: number): MaybePromise<void> {
    if (offset >= this.end) {
      buffer.fill(0);
      return;
    }
    let count: MaybePromise<number>;
    try {
      count = this.file.read(buffer, offset);
    } catch (error) {
      throw this.#failed("read", offset, error);
    }
    if (typeof count === "number") {
      if (count < buffer.length) buffer.fill(0, count);
      return;
    }
    return count.then(
      (done) => {
        if (done < buffer.length) buffer.fill(0, done);
      },
      (error) => {
        throw this.#failed("read", offset, error);
      },
    );
  }

  write(data: Uint8Array, offset: number): MaybePromise<void> {
    if (offset + data.length > this.end) this.end = offset + data.length;
    return this.#guard("write", offset, () => this.file.write(data, offset));
  }

  flush(): MaybePromise<void> {
    if (!this.flushes) return;
    return this.#guard("flush", 0, () => this.file.flush());
  }

  async truncate(size: number): Promise<void> {
    this.end = size;
    await this.#guard("truncate", size, () => this.file.truncate(size));
    // A device stays as large as it is.
    this.end = Math.max(this.end, await this.file.size());
  }

  /** Makes the file at least `size` long. */
  extend(size: number): MaybePromise<void> {
    if (this.end < size) return this.truncate(size);
  }

  punchHole(offset: number, length: number): MaybePromise<void> {
    if (offset >= this.end || this.file.punchHole === undefined) return;
    return this.#guard("punch a hole", offset, () => this.file.punchHole!(offset, Math.min(length, this.end - offset)));
  }

  /** Writes zeros to [offset, end), which extends the file. */
  async writeZeros(offset: number, end: number): Promise<void> {
    await fillZeros({ write: (data, at) => this.write(data, at) }, offset, end);
  }

  /** Makes [offset, end) read as zeros as far as the file goes; storage behind it may be given up. */
  async clear(offset: number, end: number): Promise<void> {
    const stop = Math.min(end, this.end);
    if (stop <= offset) return;
    if (this.file.punchHole === undefined) await this.writeZeros(offset, stop);
    else await this.punchHole(offset, stop - offset);
  }

  #guard(verb: string, offset: number, action: () => MaybePromise<void>): MaybePromise<void> {
    let result: MaybePromise<void>;
    try {
      result = action();
    } catch (error) {
      throw this.#failed(verb, offset, error);
    }
    if (result instanceof Promise) {
      return result.catch((error) => {
        throw this.#failed(verb, offset, error);
      });
    }
  }

  #failed(verb: string, offset: number, cause: unknown): Qcow2Error {
    if (cause instanceof Qcow2Error) return cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    return new Qcow2Error("io", `could not ${verb}: ${reason}`, { file: this.name, offset }, { cause });
  }
}
