import type { Disk, Extent, StatusOptions } from "@softmetal/qcow2";
import { CommandError, ioErrorText } from "./context.js";

const SECTOR = 512;

/** Only what reading needs is passed on; the rest of the interface refuses. */
abstract class ReadOnlyDisk implements Disk {
  readonly format = "raw";
  readonly readOnly = true;
  abstract readonly name: string;
  abstract readonly size: number;
  abstract read(buffer: Uint8Array, offset: number): Promise<void>;
  abstract status(offset: number, length: number, options?: StatusOptions): Promise<Extent>;
  write(): Promise<never> {
    return this.#refuse();
  }
  writeZeroes(): Promise<never> {
    return this.#refuse();
  }
  discard(): Promise<never> {
    return this.#refuse();
  }
  resize(): Promise<never> {
    return this.#refuse();
  }
  async flush(): Promise<void> {}
  async close(): Promise<void> {}
  #refuse(): Promise<never> {
    return Promise.reject(new CommandError("The source of a copy is read-only"));
  }
}

/** Several disks, one behind the other; each starts at a sector. The disks are closed by whoever opened them. */
class Concatenation extends ReadOnlyDisk {
  readonly name: string;
  readonly size: number;
  readonly #parts: { disk: Disk; start: number }[] = [];

  constructor(disks: readonly Disk[]) {
    super();
    this.name = disks.map(({ name }) => name).join(" ");
    let start = 0;
    for (const disk of disks) {
      this.#parts.push({ disk, start });
      start += roundUp(disk.size);
    }
    this.size = start;
  }

  async read(buffer: Uint8Array, offset: number): Promise<void> {
    for (let done = 0; done < buffer.length; ) {
      const { disk, inside, padding } = this.#locate(offset + done);
      const count = Math.min(buffer.length - done, padding > 0 ? padding : disk.size - inside);
      const part = buffer.subarray(done, done + count);
      if (padding > 0) part.fill(0);
      else await disk.read(part, inside);
      done += count;
    }
  }

  async status(offset: number, length: number, options?: StatusOptions): Promise<Extent> {
    const { disk, inside, padding } = this.#locate(offset);
    if (padding > 0) {
      const count = Math.min(length, padding);
      return { offset, length: count, allocated: true, data: false, zero: true, compressed: false, depth: 0 };
    }
    return { ...(await disk.status(inside, Math.min(length, disk.size - inside), options)), offset };
  }

  /** The part that holds a byte; `padding` when it lies between a part's end and the next sector. */
  #locate(offset: number): { disk: Disk; inside: number; padding: number } {
    const { disk, start } = this.#parts.findLast((part) => part.start <= offset && part.disk.size > 0)!;
    const inside = offset - start;
    return { disk, inside, padding: inside < disk.size ? 0 : roundUp(disk.size) - inside };
  }
}

const roundUp = (size: number): number => Math.ceil(size / SECTOR) * SECTOR;

/** A disk that is read no faster than `rate` bytes per second. */
class Throttled extends ReadOnlyDisk {
  readonly #begun = performance.now();
  #total = 0;

  constructor(
    private readonly disk: Disk,
    private readonly rate: number,
  ) {
    super();
  }
  get name(): string {
    return this.disk.name;
  }
  get size(): number {
    return this.disk.size;
  }
  status(offset: number, length: number, options?: StatusOptions): Promise<Extent> {
    return this.disk.status(offset, length, options);
  }
  async read(buffer: Uint8Array, offset: number): Promise<void> {
    await this.disk.read(buffer, offset);
    this.#total += buffer.length;
    const wait = this.#begun + (this.#total / this.rate) * 1000 - performance.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

/** The error for a read of `length` bytes that failed. */
type Explain = (offset: number, reason: string, length: number) => Error | Promise<Error>;

/** A disk that says in its user's words what could not be read. */
class Explained extends ReadOnlyDisk {
  constructor(
    private readonly disk: Disk,
    private readonly explain: Explain,
  ) {
    super();
  }
  get name(): string {
    return this.disk.name;
  }
  get size(): number {
    return this.disk.size;
  }
  status(offset: number, length: number, options?: StatusOptions): Promise<Extent> {
    return this.disk.status(offset, length, options);
  }
  async read(buffer: Uint8Array, offset: number): Promise<void> {
    try {
      await this.disk.read(buffer, offset);
    } catch (error) {
      throw await this.explain(offset, ioErrorText(error), buffer.length);
    }
  }
}

/** The same disk for reading; what cannot be read is explained by `explain`. */
export const explained = (disk: Disk, explain: Explain): Disk => new Explained(disk, explain);

/** The source of a copy: one disk or several, as fast as allowed. */
export function copySource(disks: readonly Disk[], rateLimit?: number): Disk {
  const disk = disks.length === 1 ? disks[0] : new Concatenation(disks);
  return rateLimit === undefined ? disk : new Throttled(disk, rateLimit);
}
