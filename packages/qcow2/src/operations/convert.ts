import type { Disk } from "../disk.js";
import { Qcow2Error } from "../errors.js";
import { roundDown, roundUp } from "../format/binary.js";
import { Qcow2Image } from "../image/image.js";
import type { OperationOptions } from "../image/types.js";
import { isZero, zeroRuns } from "./zeros.js";

/** Bytes read at once. */
const CHUNK = 2 * 1024 * 1024;
/** Chunks read ahead of the one that is written. */
const AHEAD = 1;
/** Bytes of clusters that are compressed or wait to be written, unless the processors could not be kept busy then. */
const IN_FLIGHT = 4 * 1024 * 1024;
/** Writes under way at once: the next one is there when the storage is done with one. */
const WRITES = 2;

export interface ConvertOptions extends OperationOptions {
  /** Write compressed clusters; the target has to be a qcow2 image. */
  readonly compress?: boolean;
  /** The target reads as zeros everywhere, so that zeros need not be written (default false). */
  readonly targetIsZero?: boolean;
  /** The target reads as zeros from here on, as behind the end of a shorter backing file. */
  readonly zeroFrom?: number;
  /** Runs of zeros at least this long are not written as data; 0 writes everything (default 4096). */
  readonly sparseSize?: number;
  /** Copy only what the source's own layer decides: the target has the same backing file. */
  readonly ownLayerOnly?: boolean;
  /** Called for each part that cannot be read, which is then zero in the target. Without it such an error ends all. */
  readonly onUnreadable?: (offset: number, length: number, error: unknown) => void;
}

interface Piece {
  readonly offset: number;
  readonly length: number;
  readonly zero: boolean;
}

/**
 * Copies a disk to another one that is at least as large.
 * @throws Qcow2Error with `structure` "target disk" and the offset on the disk when a write fails
 */
export async function convert(source: Disk, target: Disk, options: ConvertOptions = {}): Promise<void> {
  if (target.size < source.size) {
    throw new Qcow2Error("invalid-argument", "target is smaller than the source", { file: target.name });
  }
  if (options.compress) return convertCompressed(source, target, options);
  const unit = target instanceof Qcow2Image ? target.core.geometry.subclusterSize : 4096;
  const sparse = options.sparseSize ?? 4096;
  const pool = new BufferPool(CHUNK);
  const writes = new InFlight(WRITES);
  const queue: { piece: Piece; data: Promise<Uint8Array> | undefined }[] = [];
  const writeFirst = async (): Promise<void> => {
    const { piece, data } = queue.shift()!;
    if (data === undefined) {
      await writeZeros(target, piece.offset, piece.length, options);
    } else {
      const bytes = await data;
      const runs =
        sparse === 0 ? [{ start: 0, end: bytes.length, zero: false }] : zeroRuns(bytes, Math.max(unit, sparse));
      const under: Promise<void>[] = [];
      for (const { start, end, zero } of runs) {
        if (zero) {
          await writeZeros(target, piece.offset + start, end - start, options);
          continue;
        }
        await writes.room();
        under.push(writes.add(writeData(target, bytes.subarray(start, end), piece.offset + start)));
      }
      Promise.all(under).then(
        () => pool.give(bytes),
        () => {},
      );
    }
    options.progress?.(piece.offset + piece.length, source.size);
    options.signal?.throwIfAborted();
  };
  try {
    for await (const piece of pieces(source, options, CHUNK)) {
      if (queue.length > AHEAD) await writeFirst();
      if (piece.zero) {
        queue.push({ piece, data: undefined });
        continue;
      }
      const buffer = pool.take(piece.length);
      const data = readPiece(source, buffer, piece.offset, options).then(() => buffer);
      data.catch(() => {});
      queue.push({ piece, data });
    }
    while (queue.length > 0) await writeFirst();
    await writes.finish();
  } finally {
    await Promise.allSettled(queue.map(({ data }) => data));
    await writes.settle();
  }
}

/** Buffers that are used again: the pages of a new one cost as much as copying into it. */
class BufferPool {
  readonly #free: ArrayBuffer[] = [];
  constructor(readonly size: number) {}
  take(length: number): Uint8Array {
    return new Uint8Array(this.#free.pop() ?? new ArrayBuffer(this.size + ALIGNMENT), ALIGNMENT, length);
  }
  give(bytes: Uint8Array): void {
    this.#free.push(bytes.buffer as ArrayBuffer);
  }
}

/**
 * Large blocks of the C library start 16 bytes into a page. AMD's processors copy whole pages to such an address (REP MOVSB
 * in the kernel's read) at less than half the speed; 48 bytes on, it is at the start of a cache line.
 */
const ALIGNMENT = 48;

/** Requests of which only so many are under way at once. */
class InFlight {
  readonly #requests: Promise<void>[] = [];
  constructor(readonly limit: number) {}

  /** Waits until another one may be started. Fails with the error of an earlier one. */
  async room(): Promise<void> {
    while (this.#requests.length >= this.limit) await this.#requests.shift();
  }
  add(request: Promise<void>): Promise<void> {
    request.catch(() => {});
    this.#requests.push(request);
    return request;
  }
  async finish(): Promise<void> {
    while (this.#requests.length > 0) await this.#requests.shift();
  }
  async settle(): Promise<void> {
    await Promise.allSettled(this.#requests);
  }
}

/** What has to be copied, in order, in pieces that end at multiples of `chunk`. */
async function* pieces(source: Disk, options: ConvertOptions, chunk: number): AsyncGenerator<Piece> {
  for (let at = 0; at < source.size; ) {
    const extent = await source.status(at, source.size - at, options.ownLayerOnly ? { depth: 0 } : undefined);
    const end = at + extent.length;
    // Where no backing file answers, the layer itself says that there are zeros.
    if (options.ownLayerOnly && !extent.allocated && !extent.zero) {
      at = end;
      continue;
    }
    while (at < end) {
      const stop = extent.zero ? end : Math.min(end, roundDown(at, chunk) + chunk);
      yield { offset: at, length: stop - at, zero: extent.zero };
      at = stop;
    }
  }
}

async function writeZeros(target: Disk, offset: number, whole: number, options: ConvertOptions): Promise<void> {
  const { sparseSize, zeroFrom = Number.POSITIVE_INFINITY } = options;
  const length = sparseSize === 0 ? whole : Math.max(0, Math.min(whole, zeroFrom - offset));
  if (length === 0) return;
  if (sparseSize === 0) {
    const zeros = new Uint8Array(Math.min(length, CHUNK));
    for (let at = 0; at < length; at += zeros.length) {
      await writeData(target, zeros.subarray(0, Math.min(zeros.length, length - at)), offset + at);
    }
  } else if (!options.targetIsZero) {
    await target.writeZeroes(offset, length).catch((error: unknown) => notWritten(target, offset, error));
  }
}

function writeData(target: Disk, data: Uint8Array, offset: number): Promise<void> {
  return target.write(data, offset).catch((error: unknown) => notWritten(target, offset, error));
}

/** Says where on the target's disk a write failed, whatever the file below says. */
function notWritten(target: Disk, offset: number, cause: unknown): never {
  const reason = cause instanceof Qcow2Error ? cause.reason : cause instanceof Error ? cause.message : String(cause);
  const code = cause instanceof Qcow2Error ? cause.code : "io";
  throw new Qcow2Error(code, reason, { file: target.name, structure: "target disk", offset }, { cause });
}

async function readPiece(source: Disk, buffer: Uint8Array, offset: number, options: ConvertOptions): Promise<void> {
  try {
    await source.read(buffer, offset);
  } catch (error) {
    if (options.onUnreadable === undefined) throw error;
    if (buffer.length <= 512) {
      buffer.fill(0);
      options.onUnreadable(offset, buffer.length, error);
      return;
    }
    // Halving finds the bad sectors without giving up what lies around them.
    const half = Math.max(512, roundDown(buffer.length / 2, 512));
    await readPiece(source, buffer.subarray(0, half), offset, options);
    await readPiece(source, buffer.subarray(half), offset + half, options);
  }
}

/** Whole clusters, several of them compressed at once. */
async function convertCompressed(source: Disk, target: Disk, options: ConvertOptions): Promise<void> {
  if (!(target instanceof Qcow2Image)) {
    throw new Qcow2Error("unsupported", "only qcow2 images can be compressed", { file: target.name });
  }
  const { clusterSize } = target;
  // More than the processors can do: what is done waits for its turn to be written.
  const { parallelism } = target.core.options.platform;
  const limit = Math.max(4, 2 * parallelism + 2, Math.min(16 * parallelism, IN_FLIGHT / clusterSize));
  const running = new Set<Promise<void>>();
  let failure: { error: unknown } | undefined;
  let done = 0;
  const start = (work: Promise<void>): void => {
    const tracked = work
      .catch((error: unknown) => {
        failure ??= { error };
      })
      .finally(() => running.delete(tracked));
    running.add(tracked);
  };
  const chunk = Math.max(clusterSize, CHUNK);
  const copied = clustersOf(source, clusterSize, options, chunk);
  let next = readAhead(copied, source, options);
  for (;;) {
    const current = await next;
    if (current === undefined) break;
    next = readAhead(copied, source, options);
    next.catch(() => {});
    const { offset, data } = current;
    for (let at = 0; at < data.length && failure === undefined; at += clusterSize) {
      const cluster = data.subarray(at, at + clusterSize);
      if (isZero(cluster)) {
        await writeZeros(target, offset + at, cluster.length, { ...options, sparseSize: options.sparseSize || 4096 });
        continue;
      }
      while (running.size >= limit) await Promise.race(running);
      const from = offset + at;
      start(target.writeCompressed(cluster, from).catch((error: unknown) => notWritten(target, from, error)));
    }
    done = offset + data.length;
    options.progress?.(done, source.size);
    if (failure !== undefined || options.signal?.aborted) break;
  }
  await Promise.all(running);
  if (failure !== undefined) throw failure.error;
  options.signal?.throwIfAborted();
}

async function readAhead(
  ranges: AsyncGenerator<Piece>,
  source: Disk,
  options: ConvertOptions,
): Promise<{ offset: number; data: Uint8Array } | undefined> {
  const next = await ranges.next();
  if (next.done) return undefined;
  const { offset, length } = next.value;
  const data = new Uint8Array(length);
  await readPiece(source, data, offset, options);
  return { offset, data };
}

/** Ranges of whole clusters with anything to copy in them. */
async function* clustersOf(
  source: Disk,
  clusterSize: number,
  options: ConvertOptions,
  chunk: number,
): AsyncGenerator<Piece> {
  let pending: { start: number; end: number } | undefined;
  for await (const { offset, length, zero } of pieces(source, options, chunk)) {
    if (zero && options.targetIsZero) continue;
    const start = roundDown(offset, clusterSize);
    const end = Math.min(source.size, roundUp(offset + length, clusterSize));
    if (pending !== undefined && start <= pending.end && end - pending.start <= chunk) {
      pending.end = Math.max(pending.end, end);
      continue;
    }
    if (pending !== undefined) yield* split(pending.start, pending.end, chunk);
    pending = { start: Math.max(start, pending?.end ?? 0), end };
  }
  if (pending !== undefined) yield* split(pending.start, pending.end, chunk);
}

function* split(start: number, end: number, chunk: number): Generator<Piece> {
  for (let at = start; at < end; at += chunk) {
    yield { offset: at, length: Math.min(chunk, end - at), zero: false };
  }
}
