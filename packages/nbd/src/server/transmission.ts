import { NbdError } from "../errors.js";
import {
  BASE_ALLOCATION,
  Chunk,
  Cmd,
  CmdFlag,
  Errno,
  encodeText,
  errorChunk,
  MAX_PAYLOAD,
  NBD_REQUEST_MAGIC,
  NBD_SIMPLE_REPLY_MAGIC,
  NBD_STRUCTURED_REPLY_MAGIC,
  offsetData,
  offsetHole,
  ReplyFlag,
  request,
  StateFlag,
  simpleReply,
  statusContext,
  statusDescriptor,
  structuredReply,
} from "../protocol.js";
import type { Wire } from "../stream.js";
import { concat } from "../struct.js";
import { type Extent, errnoOf, isWritable } from "./export.js";
import type { Session } from "./handshake.js";

/** Bytes of payload one connection may hold in memory. */
const MAX_BYTES_IN_FLIGHT = 2 * MAX_PAYLOAD;
/** Requests of one connection that run at the same time. */
const MAX_REQUESTS_IN_FLIGHT = 64;
/** Extents in one block status reply. */
const MAX_EXTENTS = 4096;
/** Bytes of zeros written at a time for disks that cannot zero by themselves. */
const ZERO_STEP = 1 << 20;

interface Request {
  readonly type: number;
  readonly flags: number;
  readonly cookie: bigint;
  readonly offset: number;
  readonly length: number;
}

/** A failure that is the client's doing and goes back as an error number. */
class Refusal extends Error {
  constructor(
    readonly errno: number,
    message: string,
  ) {
    super(message);
  }
}

/** Flags each command may carry. */
const ALLOWED_FLAGS: Readonly<Record<number, number>> = {
  [Cmd.READ]: CmdFlag.DF | CmdFlag.FUA,
  [Cmd.WRITE]: CmdFlag.FUA,
  [Cmd.FLUSH]: CmdFlag.FUA,
  [Cmd.TRIM]: CmdFlag.FUA,
  [Cmd.CACHE]: CmdFlag.FUA,
  [Cmd.WRITE_ZEROES]: CmdFlag.FUA | CmdFlag.NO_HOLE | CmdFlag.FAST_ZERO,
  [Cmd.BLOCK_STATUS]: CmdFlag.REQ_ONE | CmdFlag.FUA,
};

/** The transmission phase of one connection: requests are started in order and run side by side. */
export class ServerTransmission {
  #bytes = 0;
  #running = 0;
  #wake: (() => void) | undefined;
  #failure: unknown;

  constructor(
    private readonly wire: Wire,
    private readonly session: Session,
  ) {}

  /** Returns when the client disconnected; every request has been answered by then. */
  async run(): Promise<void> {
    try {
      await this.#receive();
    } finally {
      while (this.#running > 0) await this.#change();
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #receive(): Promise<void> {
    while (this.#failure === undefined) {
      const bytes = await this.wire.readOrEnd(request.size, request.name, true);
      if (bytes === undefined) return;
      const header = request.decode(bytes);
      if (header.magic !== NBD_REQUEST_MAGIC)
        throw new NbdError("protocol", "request: bad magic", { structure: "request" });
      if (header.type === Cmd.DISC) return;
      // An offset beyond 2^53 can only be out of range; Infinity says so without losing the reply.
      const offset = header.offset > BigInt(Number.MAX_SAFE_INTEGER) ? Number.POSITIVE_INFINITY : Number(header.offset);
      const current: Request = { ...header, offset };
      if (header.type === Cmd.WRITE && header.length > MAX_PAYLOAD) {
        throw new NbdError("limit", `write of ${header.length} bytes`, { structure: "request", offset });
      }
      const holds =
        header.type === Cmd.WRITE || header.type === Cmd.READ ? Math.min(header.length, MAX_PAYLOAD) : MAX_EXTENTS * 8;
      while (
        this.#running >= MAX_REQUESTS_IN_FLIGHT ||
        (this.#bytes > 0 && this.#bytes + holds > MAX_BYTES_IN_FLIGHT)
      ) {
        await this.#change();
      }
      let payload: Uint8Array | undefined;
      if (header.type === Cmd.WRITE) payload = await this.wire.read(header.length, "write payload");
      this.#bytes += holds;
      this.#running++;
      void this.#serve(current, payload)
        .catch((error: unknown) => {
          // Only sending can fail here; the connection is unusable.
          this.#failure ??= error;
          this.wire.close();
        })
        .finally(() => {
          this.#bytes -= holds;
          this.#running--;
          this.#wake?.();
        });
    }
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  async #serve(current: Request, payload: Uint8Array | undefined): Promise<void> {
    let reply: () => Promise<void>;
    try {
      this.#check(current);
      reply = await this.#perform(current, payload);
    } catch (error) {
      const errno = error instanceof Refusal ? error.errno : errnoOf(error);
      const message = error instanceof Error ? error.message : String(error);
      reply = () => this.#fail(current, errno, message);
    }
    await reply();
  }

  #check({ type, flags, offset, length }: Request): void {
    const allowed = ALLOWED_FLAGS[type];
    if (allowed === undefined) throw new Refusal(Errno.EINVAL, `unknown command ${type}`);
    if ((flags & ~allowed) !== 0) throw new Refusal(Errno.EINVAL, `unknown command flags 0x${flags.toString(16)}`);
    const { disk } = this.session.target;
    const writes = type === Cmd.WRITE || type === Cmd.TRIM || type === Cmd.WRITE_ZEROES;
    if (writes && !isWritable(this.session.target)) throw new Refusal(Errno.EPERM, "the export is read-only");
    if (type === Cmd.FLUSH) {
      if (offset !== 0 || length !== 0) throw new Refusal(Errno.EINVAL, "flush with a range");
      return;
    }
    if (offset + length > disk.size) {
      throw new Refusal(
        type === Cmd.WRITE || type === Cmd.WRITE_ZEROES ? Errno.ENOSPC : Errno.EINVAL,
        "beyond the end of the export",
      );
    }
    if (type === Cmd.READ && length > MAX_PAYLOAD) throw new Refusal(Errno.EOVERFLOW, "read is too long");
    if (
      (type === Cmd.READ && (flags & CmdFlag.DF) !== 0 && !this.session.structured) ||
      (type === Cmd.BLOCK_STATUS && length === 0)
    ) {
      throw new Refusal(Errno.EINVAL, "not valid here");
    }
    if (type === Cmd.BLOCK_STATUS && this.session.contexts.size === 0) {
      throw new Refusal(Errno.EINVAL, "no metadata context was negotiated");
    }
  }

  async #perform(current: Request, payload: Uint8Array | undefined): Promise<() => Promise<void>> {
    const { type, flags, offset, length } = current;
    const { disk } = this.session.target;
    const fua = (flags & CmdFlag.FUA) !== 0;
    switch (type) {
      case Cmd.READ:
        return this.#read(current);
      case Cmd.BLOCK_STATUS:
        return this.#blockStatus(current);
      case Cmd.WRITE:
        if (length > 0) await disk.write!(offset, payload!);
        break;
      case Cmd.TRIM:
        if (length > 0) await disk.trim?.(offset, length);
        break;
      case Cmd.WRITE_ZEROES:
        if (length > 0) await this.#writeZeroes(current);
        break;
      case Cmd.CACHE:
        // Advice: reading ahead into the host's cache changes nothing a client can observe.
        return () => this.#done(current);
      default:
        await disk.flush?.();
        return () => this.#done(current);
    }
    if (fua) await disk.flush?.();
    return () => this.#done(current);
  }

  async #writeZeroes({ flags, offset, length }: Request): Promise<void> {
    const { disk } = this.session.target;
    const fast = (flags & CmdFlag.FAST_ZERO) !== 0;
    if (disk.writeZeroes) return disk.writeZeroes(offset, length, { mayTrim: (flags & CmdFlag.NO_HOLE) === 0, fast });
    if (fast) throw new Refusal(Errno.ENOTSUP, "zeroing is not faster than writing");
    const zeros = new Uint8Array(Math.min(length, ZERO_STEP));
    for (let done = 0; done < length; done += zeros.length) {
      await disk.write!(offset + done, zeros.subarray(0, Math.min(zeros.length, length - done)));
    }
  }

  async #read(current: Request): Promise<() => Promise<void>> {
    const { cookie, flags, offset, length } = current;
    const { disk } = this.session.target;
    const { structured } = this.session;
    if (length === 0) return () => this.#done(current);
    if (!structured || (flags & CmdFlag.DF) !== 0 || disk.blockStatus === undefined) {
      const data = new Uint8Array(length);
      await disk.read(offset, data);
      if (!structured) return () => this.wire.write([simple(cookie, 0), data], simpleReply.name);
      const body = offsetData.encode({ offset: BigInt(offset) });
      return () =>
        this.wire.write(
          [chunk(cookie, ReplyFlag.DONE, Chunk.OFFSET_DATA, body.length + length), body, data],
          "read reply",
        );
    }
    const chunks: Uint8Array[] = [];
    for (const { start, length: run, zero } of await zeroRuns(disk.blockStatus.bind(disk), offset, length)) {
      const done = start + run === offset + length ? ReplyFlag.DONE : 0;
      if (zero) {
        const body = offsetHole.encode({ offset: BigInt(start), length: run });
        chunks.push(chunk(cookie, done, Chunk.OFFSET_HOLE, body.length), body);
        continue;
      }
      const data = new Uint8Array(run);
      await disk.read(start, data);
      const body = offsetData.encode({ offset: BigInt(start) });
      chunks.push(chunk(cookie, done, Chunk.OFFSET_DATA, body.length + run), body, data);
    }
    return () => this.wire.write(chunks, "read reply");
  }

  async #blockStatus({ cookie, flags, offset, length }: Request): Promise<() => Promise<void>> {
    const { target, contexts } = this.session;
    const limit = (flags & CmdFlag.REQ_ONE) !== 0 ? 1 : MAX_EXTENTS;
    const chunks: Uint8Array[] = [];
    let left = contexts.size;
    for (const [contextId, name] of contexts) {
      const source = name === BASE_ALLOCATION ? target.disk.blockStatus?.bind(target.disk) : target.contexts?.[name];
      const extents = source ? await source(offset, length) : [{ length, flags: 0 }];
      const merged = mergeExtents(extents, limit, length);
      const body = concat([
        statusContext.encode({ contextId }),
        ...merged.map((extent) => statusDescriptor.encode(extent)),
      ]);
      left--;
      chunks.push(chunk(cookie, left === 0 ? ReplyFlag.DONE : 0, Chunk.BLOCK_STATUS, body.length), body);
    }
    return () => this.wire.write(chunks, "block status reply");
  }

  #done({ cookie }: Request): Promise<void> {
    const bytes = this.session.structured ? chunk(cookie, ReplyFlag.DONE, Chunk.NONE, 0) : simple(cookie, 0);
    return this.wire.write([bytes], simpleReply.name);
  }

  #fail({ cookie }: Request, error: number, text: string): Promise<void> {
    if (!this.session.structured) return this.wire.write([simple(cookie, error)], simpleReply.name);
    const message = encodeText(text).subarray(0, 1024);
    const body = concat([errorChunk.encode({ error, messageLength: message.length }), message]);
    return this.wire.write([chunk(cookie, ReplyFlag.DONE, Chunk.ERROR, body.length), body], structuredReply.name);
  }
}

const simple = (cookie: bigint, error: number): Uint8Array =>
  simpleReply.encode({ magic: NBD_SIMPLE_REPLY_MAGIC, error, cookie });

const chunk = (cookie: bigint, flags: number, type: number, length: number): Uint8Array =>
  structuredReply.encode({ magic: NBD_STRUCTURED_REPLY_MAGIC, flags, type, cookie, length });

/** Joins neighbours with equal flags, clips to `length`, keeps at most `limit`. */
function mergeExtents(extents: readonly Extent[], limit: number, length: number): Extent[] {
  const merged: Extent[] = [];
  let left = length;
  for (const extent of extents) {
    const run = Math.min(extent.length, left);
    if (run <= 0) continue;
    const last = merged.at(-1);
    if (last?.flags === extent.flags) last.length += run;
    else if (merged.length === limit) break;
    else merged.push({ length: run, flags: extent.flags });
    left -= run;
  }
  return merged.length > 0 ? merged : [{ length, flags: 0 }];
}

/** Below this many bytes a hole is cheaper to send as data than as a chunk of its own. */
const MIN_HOLE = 512;
/** Chunks of one read reply. */
const MAX_RUNS = 1024;

/** The range as alternating runs of zeros and data. */
async function zeroRuns(
  status: (offset: number, length: number) => Promise<Extent[]>,
  offset: number,
  length: number,
): Promise<{ start: number; length: number; zero: boolean }[]> {
  const runs: { start: number; length: number; zero: boolean }[] = [];
  const end = offset + length;
  let at = offset;
  while (at < end) {
    const extents = runs.length < MAX_RUNS ? await status(at, end - at) : [];
    // A provider that makes no progress is read as data.
    if (extents.length === 0 || extents[0].length <= 0) extents.unshift({ length: end - at, flags: 0 });
    for (const extent of extents) {
      const run = Math.min(extent.length, end - at);
      if (run <= 0) break;
      const zero = (extent.flags & StateFlag.ZERO) !== 0 && run >= MIN_HOLE;
      const last = runs.at(-1);
      if (last !== undefined && last.zero === zero) last.length += run;
      else runs.push({ start: at, length: run, zero });
      at += run;
    }
  }
  return runs;
}
