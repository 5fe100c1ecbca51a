import { asNbdError, NbdError } from "../errors.js";
import { BASE_ALLOCATION, Cmd, CmdFlag, NBD_REQUEST_MAGIC, request, TransmissionFlag } from "../protocol.js";
import type { Extent } from "../server/export.js";
import { type ByteStream, Wire } from "../stream.js";
import { Coverage } from "./coverage.js";
import { ClientHandshake, type NbdExportInfo, type NbdHandshakeOptions, type Negotiated } from "./handshake.js";
import { type Pending, receiveReply } from "./replies.js";

export interface NbdClientOptions extends NbdHandshakeOptions {
  /** Milliseconds the server may stay silent inside a message; 30 000 unless given. */
  readonly timeout?: number;
  /** Milliseconds until a request must be answered; no limit unless given. */
  readonly requestTimeout?: number;
}

/** Requests sent and not answered; more wait. */
const MAX_IN_FLIGHT = 64;
/** Ranges of trim, zero, status and cache requests are 32-bit; this leaves them aligned. */
const MAX_RANGE = 1 << 30;

const NAMES: Readonly<Record<number, string>> = {
  [Cmd.READ]: "read",
  [Cmd.WRITE]: "write",
  [Cmd.FLUSH]: "flush",
  [Cmd.TRIM]: "trim",
  [Cmd.CACHE]: "cache",
  [Cmd.WRITE_ZEROES]: "write zeroes",
  [Cmd.BLOCK_STATUS]: "block status",
};

/** Names and descriptions of a server's exports; closes the stream. */
export function listExports(
  stream: ByteStream,
  options: Omit<NbdClientOptions, "exportName"> = {},
): Promise<NbdExportInfo[]> {
  return inquire(stream, options, (handshake) => handshake.list());
}

/** Names of the metadata contexts of an export; closes the stream. */
export function listMetaContexts(stream: ByteStream, options: NbdClientOptions = {}): Promise<string[]> {
  return inquire(stream, options, (handshake) => handshake.listContexts());
}

async function inquire<T>(
  stream: ByteStream,
  options: NbdClientOptions,
  ask: (handshake: ClientHandshake) => Promise<T>,
): Promise<T> {
  const wire = new Wire(stream, options.timeout ?? 30_000);
  try {
    const handshake = new ClientHandshake(wire, options);
    await handshake.begin();
    return await ask(handshake);
  } catch (error) {
    throw asNbdError(error, "handshake");
  } finally {
    wire.close();
  }
}

/** One export of an NBD server as a random-access file. Requests may overlap in time. */
export class NbdClient {
  readonly #wire: Wire;
  readonly #session: Negotiated;
  readonly #pending = new Map<bigint, Pending>();
  readonly #requestTimeout: number;
  #cookie = 0n;
  #waiting: (() => void)[] = [];
  #failure: NbdError | undefined;
  #unaligned: Promise<void> = Promise.resolve();

  private constructor(wire: Wire, session: Negotiated, requestTimeout: number) {
    this.#wire = wire;
    this.#session = session;
    this.#requestTimeout = requestTimeout;
    void this.#receive();
  }

  /** Handshakes over the stream and opens an export. The stream is closed when that fails. */
  static async connect(stream: ByteStream, options: NbdClientOptions = {}): Promise<NbdClient> {
    const wire = new Wire(stream, options.timeout ?? 30_000);
    try {
      const handshake = new ClientHandshake(wire, options);
      await handshake.begin();
      return new NbdClient(wire, await handshake.go(), options.requestTimeout ?? 0);
    } catch (error) {
      wire.close();
      throw asNbdError(error, "handshake");
    }
  }

  /** Bytes. */
  get size(): number {
    return this.#session.size;
  }
  get readOnly(): boolean {
    return this.has(TransmissionFlag.READ_ONLY);
  }
  /** The server's block size constraints, bytes. Requests need not obey them: the client aligns. */
  get blockSize(): Negotiated["blockSize"] {
    return this.#session.blockSize;
  }
  get structured(): boolean {
    return this.#session.structured;
  }
  get tls(): boolean {
    return this.#session.tls;
  }
  /** Metadata contexts the server granted. */
  get contexts(): string[] {
    return [...this.#session.contexts.values()];
  }
  /** Whether the server announced a {@link TransmissionFlag}. */
  has(flag: number): boolean {
    return (this.#session.flags & flag) !== 0;
  }

  /** Fills `target` from `offset`. */
  async read(offset: number, target: Uint8Array): Promise<void> {
    this.#range("read", offset, target.length);
    const { minimum } = this.blockSize;
    const start = offset - (offset % minimum);
    const end = Math.min(this.size, Math.ceil((offset + target.length) / minimum) * minimum);
    if (start === offset && end === offset + target.length) return this.#readAligned(offset, target);
    const wide = new Uint8Array(end - start);
    await this.#readAligned(start, wide);
    target.set(wide.subarray(offset - start, offset - start + target.length));
  }

  /** Writes `data` at `offset`; with `fua` it is durable when the promise resolves. */
  async write(offset: number, data: Uint8Array, options: { fua?: boolean } = {}): Promise<void> {
    this.#range("write", offset, data.length);
    this.#writable("write", offset);
    const { minimum } = this.blockSize;
    const start = offset - (offset % minimum);
    const end = Math.min(this.size, Math.ceil((offset + data.length) / minimum) * minimum);
    if (start === offset && end === offset + data.length) return this.#writeAligned(offset, data, options);
    // Read-modify-write of the same block by two calls must not interleave.
    const turn = this.#unaligned.then(async () => {
      const wide = new Uint8Array(end - start);
      await this.#readAligned(start, wide);
      wide.set(data, offset - start);
      await this.#writeAligned(start, wide, options);
    });
    this.#unaligned = turn.catch(() => {});
    return turn;
  }

  /** Makes every completed write durable. */
  async flush(): Promise<void> {
    if (!this.has(TransmissionFlag.SEND_FLUSH)) return;
    await this.#request(Cmd.FLUSH, 0, 0, 0);
  }

  /** Tells the server that the range is not needed; does nothing when the server cannot. */
  async trim(offset: number, length: number): Promise<void> {
    this.#range("trim", offset, length);
    this.#writable("trim", offset);
    if (!this.has(TransmissionFlag.SEND_TRIM)) return;
    const { minimum } = this.blockSize;
    const start = Math.ceil(offset / minimum) * minimum;
    const end = offset + length === this.size ? this.size : offset + length - ((offset + length) % minimum);
    await this.#pieces(start, end - start, MAX_RANGE, (at, count) => this.#request(Cmd.TRIM, 0, at, count));
  }

  /** Makes the range read as zeros; `noHole` keeps it allocated. */
  async writeZeroes(offset: number, length: number, options: { noHole?: boolean; fua?: boolean } = {}): Promise<void> {
    this.#range("write zeroes", offset, length);
    this.#writable("write zeroes", offset);
    const { minimum } = this.blockSize;
    const start = Math.min(Math.ceil(offset / minimum) * minimum, offset + length);
    const end =
      offset + length === this.size ? this.size : Math.max(start, offset + length - ((offset + length) % minimum));
    if (!this.has(TransmissionFlag.SEND_WRITE_ZEROES)) {
      const zeros = new Uint8Array(Math.min(length, 1 << 20));
      await this.#pieces(offset, length, zeros.length, (at, count) =>
        this.write(at, zeros.subarray(0, count), options),
      );
      return;
    }
    if (start > offset) await this.write(offset, new Uint8Array(start - offset), options);
    const flags = (options.noHole ? CmdFlag.NO_HOLE : 0) | this.#fua(options);
    await this.#pieces(start, end - start, MAX_RANGE, (at, count) => this.#request(Cmd.WRITE_ZEROES, flags, at, count));
    if (end < offset + length) await this.write(end, new Uint8Array(offset + length - end), options);
    await this.#emulateFua(options);
  }

  /** Asks the server to read the range ahead; does nothing when the server cannot. */
  async cache(offset: number, length: number): Promise<void> {
    this.#range("cache", offset, length);
    if (!this.has(TransmissionFlag.SEND_CACHE)) return;
    await this.#pieces(offset, length, MAX_RANGE, (at, count) => this.#request(Cmd.CACHE, 0, at, count));
  }

  /**
   * Extents of a metadata context from `offset`: they cover a part of the range that starts there, at least one byte
   * and at most the range. Without the context everything is data.
   */
  async blockStatus(offset: number, length: number, context: string = BASE_ALLOCATION): Promise<Extent[]> {
    this.#range("block status", offset, length);
    const id = [...this.#session.contexts].find(([, name]) => name === context)?.[0];
    if (id === undefined || length === 0) return length === 0 ? [] : [{ length, flags: 0 }];
    const { minimum } = this.blockSize;
    const start = offset - (offset % minimum);
    const wide = Math.min(offset + length - start, MAX_RANGE, this.size - start);
    const count = Math.min(Math.ceil(wide / minimum) * minimum, this.size - start);
    const status = new Map<number, Extent[]>();
    await this.#request(Cmd.BLOCK_STATUS, 0, start, count, { status });
    const extents: Extent[] = [];
    let at = start;
    for (const extent of status.get(id) ?? []) {
      const from = Math.max(at, offset);
      const to = Math.min(at + extent.length, offset + length);
      if (to > from) extents.push({ length: to - from, flags: extent.flags });
      at += extent.length;
    }
    return extents.length > 0 ? extents : [{ length, flags: 0 }];
  }

  /** Says goodbye and closes the connection; requests not yet answered fail with `closed`. */
  async close(): Promise<void> {
    if (this.#failure === undefined) {
      const header = { magic: NBD_REQUEST_MAGIC, flags: 0, type: Cmd.DISC, cookie: 0n, offset: 0n, length: 0 };
      await this.#wire.write([request.encode(header)], "disconnect").catch(() => {});
    }
    this.#abort(new NbdError("closed", "the connection was closed"));
  }

  #range(command: string, offset: number, length: number): void {
    if (Number.isSafeInteger(offset) && offset >= 0 && length >= 0 && offset + length <= this.size) return;
    throw new NbdError("range", `${command}: ${length} bytes at ${offset} are beyond the export's ${this.size} bytes`, {
      structure: command,
      offset,
    });
  }

  #writable(command: string, offset: number): void {
    if (this.readOnly)
      throw new NbdError("readonly", `${command}: the export is read-only`, { structure: command, offset });
  }

  #fua(options: { fua?: boolean }): number {
    return options.fua && this.has(TransmissionFlag.SEND_FUA) ? CmdFlag.FUA : 0;
  }

  async #emulateFua(options: { fua?: boolean }): Promise<void> {
    if (options.fua && !this.has(TransmissionFlag.SEND_FUA)) await this.flush();
  }

  async #readAligned(offset: number, target: Uint8Array): Promise<void> {
    await this.#pieces(offset, target.length, this.blockSize.maximum, (at, count) => {
      const part = target.subarray(at - offset, at - offset + count);
      const coverage = this.structured ? new Coverage(at, count) : undefined;
      return this.#request(Cmd.READ, 0, at, count, { target: part, coverage });
    });
  }

  async #writeAligned(offset: number, data: Uint8Array, options: { fua?: boolean }): Promise<void> {
    await this.#pieces(offset, data.length, this.blockSize.maximum, (at, count) =>
      this.#request(Cmd.WRITE, this.#fua(options), at, count, {
        payload: data.subarray(at - offset, at - offset + count),
      }),
    );
    await this.#emulateFua(options);
  }

  async #pieces(
    offset: number,
    length: number,
    step: number,
    run: (at: number, count: number) => Promise<void>,
  ): Promise<void> {
    if (length > 0 && length <= step) return run(offset, length);
    for (let done = 0; done < length; done += step) await run(offset + done, Math.min(step, length - done));
  }

  async #request(
    type: number,
    flags: number,
    offset: number,
    length: number,
    more: { target?: Uint8Array; coverage?: Coverage; payload?: Uint8Array; status?: Map<number, Extent[]> } = {},
  ): Promise<void> {
    while (this.#pending.size >= MAX_IN_FLIGHT && this.#failure === undefined) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    if (this.#failure !== undefined) throw this.#failure;
    const cookie = ++this.#cookie;
    const { target, coverage, payload, status } = more;
    const answered = new Promise<void>((resolve, reject) => {
      const settle = (error: NbdError | undefined): void => {
        this.#waiting.shift()?.();
        if (error === undefined) resolve();
        else reject(error);
      };
      this.#pending.set(cookie, { command: NAMES[type], offset, length, target, coverage, status, settle });
    });
    const timer =
      this.#requestTimeout > 0 ? setTimeout(() => this.#expire(NAMES[type], offset), this.#requestTimeout) : undefined;
    const header = request.encode({ magic: NBD_REQUEST_MAGIC, flags, type, cookie, offset: BigInt(offset), length });
    this.#wire.write(payload ? [header, payload] : [header], NAMES[type]).catch((error: unknown) => {
      this.#abort(asNbdError(error, NAMES[type]));
    });
    try {
      await answered;
    } finally {
      clearTimeout(timer);
    }
  }

  #expire(command: string, offset: number): void {
    const message = `${command} at ${offset}: no reply after ${this.#requestTimeout} ms`;
    this.#abort(new NbdError("timeout", message, { structure: command, offset }));
  }

  async #receive(): Promise<void> {
    try {
      while (await receiveReply(this.#wire, this.#pending, this.structured)) {
        // Each turn settles or advances one request.
      }
      this.#abort(new NbdError("closed", "the server closed the connection"));
    } catch (error) {
      this.#abort(asNbdError(error, "reply"));
    }
  }

  #abort(error: NbdError): void {
    this.#failure ??= error;
    this.#wire.close();
    const unanswered = [...this.#pending.values()];
    this.#pending.clear();
    for (const pending of unanswered) pending.settle(this.#failure);
    for (const resume of this.#waiting.splice(0)) resume();
  }
}
