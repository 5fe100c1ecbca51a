import { Qcow2Error } from "../errors.js";
import type { MaybePromise } from "../file.js";
import { roundDown, roundUp } from "../format/binary.js";
import { SECTOR } from "../format/constants.js";
import { decodeCompressed } from "../format/entries.js";
import type { ClusterCodec } from "../platform.js";
import type { ImageCore } from "./core.js";
import { forAll, type Range } from "./locks.js";
import { Kind, type Segment } from "./mapping.js";

/** Decompressed clusters kept for neighbours that are read next. */
const MAX_CACHED_CLUSTERS = 16;
const MAX_CACHED_BYTES = 4 * 1024 * 1024;

/** Reads guest data. */
export class Reader {
  readonly #core: ImageCore;
  readonly #decompressed = new Map<number, Uint8Array>();
  #codec: ClusterCodec | undefined;
  #generation = 0;

  constructor(core: ImageCore) {
    this.#core = core;
    core.onCompressedChange = () => {
      this.#generation++;
      this.#decompressed.clear();
    };
  }

  /** Reads [offset, offset + buffer.length), which must lie inside the disk, under a shared lock. */
  read(buffer: Uint8Array, offset: number): MaybePromise<void> {
    if (buffer.length === 0) return;
    // Nobody writes: most requests then end in one of the file, and a promise less for each is measurable.
    return this.#core.options.readOnly ? this.readUnlocked(buffer, offset) : this.#readLocked(buffer, offset);
  }

  async #readLocked(buffer: Uint8Array, offset: number): Promise<void> {
    const core = this.#core;
    const { clusterSize } = core.geometry;
    const end = offset + buffer.length;
    let lock: Range | Promise<Range> = core.locks.acquire(
      roundDown(offset, clusterSize),
      roundUp(end, clusterSize),
      false,
    );
    if (lock instanceof Promise) lock = await lock;
    try {
      await this.readUnlocked(buffer, offset);
    } finally {
      core.locks.release(lock);
    }
  }

  /** The same for callers that hold the lock. Bytes beyond the disk's end (inside its last cluster) read as stored. */
  readUnlocked(buffer: Uint8Array, offset: number): MaybePromise<void> {
    const end = offset + buffer.length;
    const segments: Segment[] = [];
    const reached = this.#core.mapping.scan(offset, end, segments);
    if (reached === end && segments.length === 1) return this.#readSegment(segments[0], buffer);
    return this.#readSegments(buffer, offset, segments, reached);
  }

  /** Reads `segments`, and what lies behind `reached`, where the mapping is not in memory yet. */
  async #readSegments(buffer: Uint8Array, offset: number, segments: Segment[], reached: number): Promise<void> {
    const end = offset + buffer.length;
    if (reached < end) segments.push(...(await this.#core.mapping.lookup(reached, end)));
    await forAll(segments, (segment) => {
      const at = segment.offset - offset;
      return this.#readSegment(segment, buffer.subarray(at, at + segment.length));
    });
  }

  #readSegment(segment: Segment, target: Uint8Array): MaybePromise<void> {
    switch (segment.kind) {
      case Kind.DataOwned:
      case Kind.DataShared:
        return this.#readData(segment, target);
      case Kind.Compressed:
        return this.#readCompressed(segment, target);
      case Kind.Unallocated:
        return this.#readBacking(segment.offset, target);
      default:
        target.fill(0);
    }
  }

  #readBacking(offset: number, target: Uint8Array): MaybePromise<void> {
    const { backing, header, snapshotSize } = this.#core;
    const size = snapshotSize ?? header.size;
    const inside = backing === undefined || offset >= size ? 0 : Math.min(backing.size - offset, target.length);
    if (inside < target.length) target.fill(0, Math.max(0, inside));
    if (inside > 0) return backing!.read(inside === target.length ? target : target.subarray(0, inside), offset);
  }

  #readData(segment: Segment, target: Uint8Array): MaybePromise<void> {
    const { cipher, data } = this.#core;
    if (cipher === undefined) return data.read(target, segment.host);
    return this.#readEncrypted(segment, target);
  }

  async #readEncrypted(segment: Segment, target: Uint8Array): Promise<void> {
    const { cipher, data } = this.#core;
    const before = segment.host % SECTOR;
    const length = roundUp(before + target.length, SECTOR);
    const whole = length === target.length ? target : new Uint8Array(length);
    await data.read(whole, segment.host - before);
    const sector = (cipher!.physicalSectors ? segment.host - before : segment.offset - before) / SECTOR;
    cipher!.decrypt(whole, sector);
    if (whole !== target) target.set(whole.subarray(before, before + target.length));
  }

  async #readCompressed(segment: Segment, target: Uint8Array): Promise<void> {
    const { clusterSize } = this.#core.geometry;
    const start = roundDown(segment.offset, clusterSize);
    if (target.length === clusterSize) {
      await this.#decompress(segment, start, target);
      return;
    }
    let cluster = this.#decompressed.get(start);
    if (cluster === undefined) {
      const generation = this.#generation;
      cluster = new Uint8Array(clusterSize);
      await this.#decompress(segment, start, cluster);
      if (generation === this.#generation) {
        this.#decompressed.set(start, cluster);
        const limit = Math.max(1, Math.min(MAX_CACHED_CLUSTERS, MAX_CACHED_BYTES / clusterSize));
        if (this.#decompressed.size > limit) this.#decompressed.delete(this.#decompressed.keys().next().value!);
      }
    }
    target.set(cluster.subarray(segment.offset - start, segment.offset - start + target.length));
  }

  async #decompress(segment: Segment, guest: number, target: Uint8Array): Promise<void> {
    const core = this.#core;
    const { offset, length } = decodeCompressed(segment.high, segment.low, core.geometry.clusterBits);
    if (!Number.isSafeInteger(offset + length)) {
      throw new Qcow2Error("corrupt", "compressed cluster is out of reach", { file: core.name, structure: "L2 table" });
    }
    const input = new Uint8Array(length);
    await core.host.read(input, offset);
    this.#codec ??= await core.codec();
    try {
      await this.#codec.decompress(input, target);
    } catch (cause) {
      throw new Qcow2Error(
        "corrupt",
        `compressed cluster for guest offset ${guest} does not decompress`,
        { file: core.name, structure: "compressed cluster", offset },
        { cause },
      );
    }
  }
}
