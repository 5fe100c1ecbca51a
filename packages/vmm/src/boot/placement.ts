import { MachineError } from "../api.js";
import type { BootEnvironment } from "./types.js";

interface Range {
  start: number;
  /** First address after the range. */
  end: number;
  what: string;
}

/** Where `Placement.place` may put something. */
export interface PlaceOptions {
  /** A power of two. */
  align: number;
  /** First address allowed. Default 0x1000, which leaves the real-mode vectors and the BIOS data area alone. */
  from?: number;
  /** First address not allowed any more. */
  below?: number;
  /** Which end of the free memory to prefer. */
  prefer: "low" | "high";
}

export const mebibytes = (bytes: number) => `${Math.ceil(bytes / 2 ** 20)} MiB`;
const hex = (value: number) => `0x${value.toString(16)}`;

/** Hands out the guest's usable memory, so that no two things overlap and nothing lands in a hole. */
export class Placement {
  readonly #ram: BootEnvironment["ram"];
  readonly #usable: { start: number; end: number }[];
  readonly #taken: Range[] = [];

  constructor(environment: BootEnvironment) {
    this.#ram = environment.ram;
    const ranges = environment.memoryMap
      .filter((entry) => entry.type === "usable")
      .map((entry) => ({ start: entry.address, end: Math.min(entry.address + entry.size, environment.ram.size) }))
      .filter((range) => range.start < range.end)
      .sort((a, b) => a.start - b.start);
    // Neighbouring entries become one, so that something may lie across their border.
    this.#usable = [];
    for (const range of ranges) {
      const last = this.#usable.at(-1);
      if (last && range.start <= last.end) last.end = Math.max(last.end, range.end);
      else this.#usable.push({ ...range });
    }
  }

  /**
   * Takes a range at a given address.
   * @throws MachineError `does-not-fit` outside usable memory, `bad-boot-image` when it overlaps something.
   */
  take(start: number, size: number, what: string): void {
    const end = start + size;
    if (!this.#usable.some((range) => start >= range.start && end <= range.end)) {
      throw new MachineError(
        "does-not-fit",
        end > this.#ram.size
          ? `${what} needs memory up to ${hex(end)}, but the machine has ${mebibytes(this.#ram.size)}: give it at least ${mebibytes(end)}.`
          : `${what} wants addresses ${hex(start)} to ${hex(end)}, which are not all usable memory.`,
      );
    }
    this.#claim({ start, end, what });
  }

  /** Takes a range that may lie in reserved memory, as firmware images do. It must be inside the RAM. */
  takeAnywhere(start: number, size: number, what: string): void {
    const end = start + size;
    if (end > this.#ram.size) {
      throw new MachineError(
        "does-not-fit",
        `${what} needs memory up to ${hex(end)}, but the machine has ${mebibytes(this.#ram.size)}.`,
      );
    }
    this.#claim({ start, end, what });
  }

  /** Finds room and takes it; the address is returned. @throws MachineError `does-not-fit`. */
  place(size: number, what: string, options: PlaceOptions): number {
    const from = options.from ?? 0x1000;
    const below = options.below ?? Number.POSITIVE_INFINITY;
    const candidates: number[] = [];
    for (const free of this.#free()) {
      const start = alignUp(Math.max(free.start, from), options.align);
      const last = alignDown(Math.min(free.end, below) - size, options.align);
      if (last >= start) candidates.push(options.prefer === "low" ? start : last);
    }
    if (candidates.length === 0) {
      throw new MachineError(
        "does-not-fit",
        `${what} (${mebibytes(size)}) does not fit into the machine's ${mebibytes(this.#ram.size)} of memory beside the rest: give it more.`,
      );
    }
    const start = options.prefer === "low" ? Math.min(...candidates) : Math.max(...candidates);
    this.#taken.push({ start, end: start + size, what });
    return start;
  }

  #claim(range: Range): void {
    const other = this.#taken.find((taken) => range.start < taken.end && taken.start < range.end);
    if (other) {
      throw new MachineError("bad-boot-image", `${range.what} and ${other.what} overlap at ${hex(range.start)}.`);
    }
    if (range.end > range.start) this.#taken.push(range);
  }

  *#free(): Generator<{ start: number; end: number }> {
    const taken = [...this.#taken].sort((a, b) => a.start - b.start);
    for (const range of this.#usable) {
      let start = range.start;
      for (const hole of taken) {
        if (hole.end <= start || hole.start >= range.end) continue;
        if (hole.start > start) yield { start, end: hole.start };
        start = Math.max(start, hole.end);
      }
      if (start < range.end) yield { start, end: range.end };
    }
  }
}

/** Both work above 2^31, where bit operators do not. */
export function alignUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}

export function alignDown(value: number, alignment: number): number {
  return Math.floor(value / alignment) * alignment;
}

/** Writes zeros in pieces, so that a large range costs no large buffer. */
export function zero(ram: BootEnvironment["ram"], start: number, size: number): void {
  const piece = new Uint8Array(Math.min(size, 0x10000));
  for (let done = 0; done < size; done += piece.length) {
    ram.write(start + done, piece.subarray(0, Math.min(piece.length, size - done)));
  }
}

/** A command line as the protocols want it: bytes ended by NUL. @throws MachineError `bad-config`. */
export function encodeCommandLine(commandLine: string, limit: number): Uint8Array {
  if (commandLine.includes("\0")) {
    throw new MachineError("bad-config", "The kernel command line contains a NUL character.");
  }
  const text = new TextEncoder().encode(commandLine);
  if (text.length > limit) {
    throw new MachineError(
      "bad-config",
      `The kernel command line has ${text.length} bytes, but this kernel takes at most ${limit}.`,
    );
  }
  const bytes = new Uint8Array(text.length + 1);
  bytes.set(text);
  return bytes;
}
