import { readSync, writeSync } from "node:fs";

/** Where a command prints and reads lines; replaced in tests. */
export interface Terminal {
  out(text: string | Uint8Array): void;
  err(text: string): void;
  /** The next line of standard input without its line end; undefined at the end. */
  readLine(prompt: string): string | undefined;
}

/** Thrown when the reader of our output is gone (`| head`): the command ends without a word. */
export class OutputClosed extends Error {}

/** Writes through the descriptor: loading the stream classes costs more than most commands need altogether. */
function write(descriptor: number, data: string | Uint8Array): void {
  let bytes = typeof data === "string" ? Buffer.from(data) : data;
  while (bytes.length > 0) {
    try {
      bytes = bytes.subarray(writeSync(descriptor, bytes));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EPIPE") throw new OutputClosed();
      if (code !== "EAGAIN") throw error;
      // A non-blocking pipe that is full: wait for its reader.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2);
    }
  }
}

/** Standard input, output and error of the process. */
export class ProcessTerminal implements Terminal {
  #pending = "";
  #ended = false;

  out(text: string | Uint8Array): void {
    write(1, text);
  }
  err(text: string): void {
    write(2, text);
  }

  readLine(prompt: string): string | undefined {
    this.out(prompt);
    for (;;) {
      const end = this.#pending.indexOf("\n");
      if (end >= 0) {
        const line = this.#pending.slice(0, end);
        this.#pending = this.#pending.slice(end + 1);
        return line;
      }
      if (this.#ended) {
        const line = this.#pending;
        this.#pending = "";
        return line === "" ? undefined : line;
      }
      this.#fill();
    }
  }

  #fill(): void {
    const buffer = Buffer.alloc(4096);
    try {
      const count = readSync(0, buffer);
      if (count === 0) this.#ended = true;
      this.#pending += buffer.toString("utf8", 0, count);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EOF") this.#ended = true;
      else if (code !== "EAGAIN") throw error;
      else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
    }
  }
}

/** Keeps what is printed. */
export class CapturedTerminal implements Terminal {
  stdout = "";
  stderr = "";
  constructor(private readonly lines: string[] = []) {}
  out(text: string | Uint8Array): void {
    this.stdout += typeof text === "string" ? text : Buffer.from(text).toString("utf8");
  }
  err(text: string): void {
    this.stderr += text;
  }
  readLine(prompt: string): string | undefined {
    this.out(prompt);
    return this.lines.shift();
  }
}
