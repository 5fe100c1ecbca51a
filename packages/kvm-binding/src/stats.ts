import { StatsDescriptor, StatsHeader } from "./abi/vm.js";
import { KvmError } from "./errors.js";
import { attach, checked, KernelObject, made } from "./handle.js";
import { type Kind, kinds, type NativeHandle, native } from "./native.js";

const types = ["cumulative", "instant", "peak", "linear-histogram", "logarithmic-histogram"] as const;
const units = ["none", "bytes", "seconds", "cycles", "boolean"] as const;
/** Far more than any kernel has. */
const MOST_DESCRIPTORS = 4096;
const LONGEST_NAME = 4096;

/** What the kernel counts under one name (`struct kvm_stats_desc`). */
export interface Statistic {
  readonly name: string;
  /**
   * `cumulative` only grows, `instant` goes up and down, `peak` is the highest so far. A histogram has a number for each
   * bucket: of `bucketSize` each, or twice as wide as the one before. `other`: a kind this version does not know.
   */
  readonly type: (typeof types)[number] | "other";
  /** What a value times `scale` is in. */
  readonly unit: (typeof units)[number] | "other";
  /** A power of 2 or 10: -9 as the exponent makes nanoseconds of `seconds`. */
  readonly base: 2 | 10;
  readonly exponent: number;
  /** How many values there are: 1 unless it is a histogram. */
  readonly size: number;
  /** Of a linear histogram: how wide a bucket is. */
  readonly bucketSize: number;
}

/** Statistics of a VM or a vCPU (`KVM_GET_STATS_FD`), which outlive it: of something gone they keep their last values. */
export class Stats extends KernelObject {
  readonly #native: NativeHandle;
  #layout: { id: string; statistics: readonly Statistic[]; offsets: number[]; data: number; bytes: number } | undefined;

  /** @internal */
  constructor(handle: NativeHandle) {
    super(handle);
    this.#native = handle;
  }

  /** @internal */
  static of(handle: NativeHandle, kind: Kind): Stats {
    return new Stats(made("KVM_GET_STATS_FD", native().getStatsFd(handle, kind)));
  }

  /** This thread's handle on statistics that another thread holds, by its `handle`. */
  static attach(handle: number): Stats {
    return new Stats(attach(kinds.stats, "Stats.attach", handle));
  }

  /** The kernel's name of what is counted, such as `kvm-1234` or `kvm-1234/vcpu-0`. */
  get id(): string {
    return this.#describe("Stats.id").id;
  }

  /** What is counted, in the kernel's order. */
  get statistics(): readonly Statistic[] {
    return this.#describe("Stats.statistics").statistics;
  }

  /** The values of now, by the statistic's name. */
  read(): Map<string, BigUint64Array> {
    const operation = "Stats.read";
    const { statistics, offsets, data, bytes } = this.#describe(operation);
    const block = this.#bytes(operation, data, bytes);
    return new Map(
      statistics.map(({ name, size }, index) => [
        name,
        new BigUint64Array(block.slice(offsets[index]).buffer, 0, size),
      ]),
    );
  }

  #bytes(operation: string, offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    if (checked(operation, native().readStats(this.#native, offset, bytes)) < length) {
      throw new KvmError("failed", operation, "the kernel's statistics are shorter than they say");
    }
    return bytes;
  }

  #describe(operation: string) {
    if (this.#layout !== undefined) {
      checked(operation, native().fd(this.#native)); // still open
      return this.#layout;
    }
    const header = StatsHeader.at(this.#bytes(operation, 0, StatsHeader.size).buffer);
    const { num_desc, name_size, id_offset, desc_offset, data_offset } = header;
    if (num_desc > MOST_DESCRIPTORS || name_size > LONGEST_NAME) {
      throw new KvmError("too-big", operation, "the kernel describes more statistics than there can be");
    }
    const each = StatsDescriptor.size + name_size;
    const block = this.#bytes(operation, desc_offset, num_desc * each);
    const statistics: Statistic[] = [];
    const offsets: number[] = [];
    let bytes = 0;
    for (let at = 0; at < block.length; at += each) {
      const { flags, exponent, size, offset, bucket_size } = StatsDescriptor.at(block.buffer, at);
      const name = text(block.subarray(at + StatsDescriptor.size, at + each));
      statistics.push({
        name,
        type: types[flags & 15] ?? "other",
        unit: units[(flags >> 4) & 15] ?? "other",
        base: ((flags >> 8) & 15) === 1 ? 2 : 10,
        exponent,
        size,
        bucketSize: bucket_size,
      });
      offsets.push(offset);
      bytes = Math.max(bytes, offset + 8 * size);
    }
    const id = text(this.#bytes(operation, id_offset, name_size));
    this.#layout = { id, statistics, offsets, data: data_offset, bytes };
    return this.#layout;
  }
}

/** The text before the first NUL. */
function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}
