import type { RandomAccessFile } from "@softmetal/qcow2";
import { CommandError } from "./context.js";

/** Bytes fetched at a time; guests read in small pieces, and every request costs a round trip. */
const BLOCK = 256 * 1024;
/** Blocks kept. */
const MAX_BLOCKS = 128;
/** Seconds a server may take for one block. */
const TIMEOUT = 60;

/** A file on a web server that answers range requests; read-only, with a bounded cache. */
export class HttpFile implements RandomAccessFile {
  readonly readOnly = true;
  readonly #blocks = new Map<number, Promise<Uint8Array>>();

  private constructor(
    readonly name: string,
    private readonly length: number,
    private readonly timeout: number,
    /** Identifies the content (a strong entity tag), when the server has such. */
    private readonly tag: string | undefined,
  ) {}

  /** @param timeout seconds for each request */
  static async open(url: string, timeout: number = TIMEOUT): Promise<HttpFile> {
    if (!(timeout > 0 && timeout <= 86_400)) throw new CommandError("timeout parameter is too large or negative");
    // The length of what is stored, not of a compressed form; requests for ranges say so by themselves.
    const response = await request(url, timeout, { method: "HEAD", headers: { "accept-encoding": "identity" } });
    const length = Number(response.headers.get("content-length") ?? Number.NaN);
    if (!Number.isSafeInteger(length)) throw new CommandError("Server did not report the file's length");
    if (length > 0) {
      // Not every server that has ranges says so in the answer to HEAD.
      const probe = await request(url, timeout, { headers: { range: "bytes=0-0" } });
      await probe.body?.cancel();
      if (probe.status !== 206) throw new CommandError("Server does not support 'range' (byte ranges).");
    }
    const tag = response.headers.get("etag");
    return new HttpFile(url, length, timeout, tag?.startsWith('"') ? tag : undefined);
  }

  async read(buffer: Uint8Array, offset: number): Promise<number> {
    const end = Math.min(this.length, offset + buffer.length);
    for (let at = offset; at < end; ) {
      const index = Math.floor(at / BLOCK);
      const block = await this.#block(index);
      const from = at - index * BLOCK;
      const part = block.subarray(from, Math.min(block.length, from + end - at));
      buffer.set(part, at - offset);
      at += part.length;
    }
    return Math.max(0, end - offset);
  }

  size(): number {
    return this.length;
  }
  write(): never {
    throw new CommandError("A file on a web server cannot be written");
  }
  truncate(): never {
    throw new CommandError("A file on a web server cannot be resized");
  }
  flush(): void {}
  close(): void {
    this.#blocks.clear();
  }

  #block(index: number): Promise<Uint8Array> {
    let block = this.#blocks.get(index);
    if (block === undefined) {
      block = this.#fetch(index * BLOCK, Math.min(this.length, (index + 1) * BLOCK));
      block.catch(() => this.#blocks.delete(index));
    }
    // Youngest last; the oldest goes first.
    this.#blocks.delete(index);
    this.#blocks.set(index, block);
    if (this.#blocks.size > MAX_BLOCKS) this.#blocks.delete(this.#blocks.keys().next().value!);
    return block;
  }

  async #fetch(start: number, end: number): Promise<Uint8Array> {
    const range = `bytes=${start}-${end - 1}`;
    const condition: Record<string, string> = this.tag === undefined ? {} : { "if-range": this.tag };
    const response = await request(this.name, this.timeout, { headers: { range, ...condition } });
    const said = response.headers.get("content-range") ?? "";
    if (response.status !== 206 || said !== `bytes ${start}-${end - 1}/${this.length}`) {
      await response.body?.cancel();
      const changed = (response.status === 200 && this.tag !== undefined) || isOtherSize(said, this.length);
      if (changed) throw new CommandError("The file on the server has changed since it was opened");
      throw new CommandError(`Server answered the range ${start}-${end - 1} with something else`);
    }
    const bytes = new Uint8Array(end - start);
    let at = 0;
    try {
      // A server may send more than it announced: stop reading there.
      for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
        if (at + chunk.length > bytes.length) throw new CommandError("Server sent more than was asked for");
        bytes.set(chunk, at);
        at += chunk.length;
      }
    } catch (error) {
      if (error instanceof CommandError) throw error;
      throw new CommandError(`Server did not finish the transfer: ${reasonOf(error, this.timeout)}`);
    }
    if (at < bytes.length) throw new CommandError("Server ended the transfer early");
    return bytes;
  }
}

const isOtherSize = (contentRange: string, length: number): boolean => {
  const total = /\/(\d+)$/.exec(contentRange)?.[1];
  return total !== undefined && Number(total) !== length;
};

function reasonOf(error: unknown, timeout: number): string {
  if (error instanceof Error && error.name === "TimeoutError") return `no answer within ${timeout} seconds`;
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message : String(cause);
}

async function request(url: string, timeout: number, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, { ...init, signal: AbortSignal.timeout(timeout * 1000) });
  } catch (error) {
    throw new CommandError(`Error opening file: ${reasonOf(error, timeout)}`);
  }
  if (!response.ok) {
    await response.body?.cancel();
    throw new CommandError(`Error opening file: the server answered ${response.status}`);
  }
  return response;
}
