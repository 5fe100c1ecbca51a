import { close, constants, fdatasync, fstatSync, ftruncateSync, open, read, readSync, write, writeSync } from "node:fs";
import type { FileExtent, MaybePromise, RandomAccessFile } from "../file.js";

/** Requests up to this size are done at once: for cached data that is ten times faster than a thread's help. */
const SYNC_LIMIT = 64 * 1024;

/** System calls that Node does not offer; a program with a native addon can plug them in. Offsets are in bytes. */
export interface NativeFileCalls {
  punchHole?(fd: number, offset: number, length: number): void;
  allocate?(fd: number, offset: number, length: number): void;
  extent?(fd: number, offset: number, length: number): FileExtent;
}

export interface NodeFileOptions {
  readonly readOnly?: boolean;
  /** Create the file when it does not exist; "exclusive" fails when it does. */
  readonly create?: boolean | "exclusive";
  /**
   * "auto" (default): small requests block the thread, large ones go to the thread pool. "async": all go to the
   * thread pool, for slow storage under a busy event loop. "sync": all block.
   */
  readonly io?: "auto" | "async" | "sync";
  readonly native?: NativeFileCalls;
}

/** A file (or block device) of the system. */
export class NodeFile implements RandomAccessFile {
  readonly punchHole?: (offset: number, length: number) => void;
  readonly allocate?: (offset: number, length: number) => void;
  readonly #syncLimit: number;
  #deviceSize: number | undefined;
  #closed = false;

  /** Use `openFile`. */
  constructor(
    readonly fd: number,
    readonly name: string,
    readonly readOnly: boolean,
    private readonly options: NodeFileOptions,
  ) {
    this.#syncLimit = { auto: SYNC_LIMIT, async: -1, sync: Number.POSITIVE_INFINITY }[options.io ?? "auto"];
    const { native } = options;
    if (native?.punchHole !== undefined) this.punchHole = (offset, length) => native.punchHole!(fd, offset, length);
    if (native?.allocate !== undefined) this.allocate = (offset, length) => native.allocate!(fd, offset, length);
  }

  read(buffer: Uint8Array, offset: number): MaybePromise<number> {
    if (buffer.length > this.#syncLimit) return this.#readAsync(buffer, offset);
    let done = 0;
    while (done < buffer.length) {
      const count = readSync(this.fd, buffer, done, buffer.length - done, offset + done);
      if (count === 0) break;
      done += count;
    }
    return done;
  }

  #readAsync(buffer: Uint8Array, offset: number): Promise<number> {
    return new Promise((resolve, reject) => {
      let done = 0;
      const next = (): void =>
        read(this.fd, buffer, done, buffer.length - done, offset + done, (error, count) => {
          if (error) return reject(error);
          done += count;
          if (count === 0 || done === buffer.length) resolve(done);
          else next();
        });
      next();
    });
  }

  write(data: Uint8Array, offset: number): MaybePromise<void> {
    if (data.length > this.#syncLimit) return this.#writeAsync(data, offset);
    let done = 0;
    while (done < data.length) done += writeSync(this.fd, data, done, data.length - done, offset + done);
  }

  #writeAsync(data: Uint8Array, offset: number): Promise<void> {
    return new Promise((resolve, reject) => {
      let done = 0;
      const next = (): void =>
        write(this.fd, data, done, data.length - done, offset + done, (error, count) => {
          if (error) return reject(error);
          done += count;
          if (done === data.length) resolve();
          else next();
        });
      if (data.length === 0) resolve();
      else next();
    });
  }

  size(): number {
    const stat = fstatSync(this.fd);
    if (!stat.isBlockDevice()) return stat.size;
    this.#deviceSize ??= this.#findDeviceSize();
    return this.#deviceSize;
  }

  /** Block devices report no size; the greatest readable offset is found by halving. */
  #findDeviceSize(): number {
    const probe = new Uint8Array(1);
    const readable = (at: number): boolean => {
      try {
        return readSync(this.fd, probe, 0, 1, at) === 1;
      } catch {
        return false;
      }
    };
    let low = 0;
    let high = 2 ** 52;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (readable(middle)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Devices stay as they are. */
  truncate(size: number): void {
    if (fstatSync(this.fd).isFile()) ftruncateSync(this.fd, size);
  }

  flush(): Promise<void> {
    return new Promise((resolve, reject) => {
      // EINVAL: a device without storage, like /dev/null.
      fdatasync(this.fd, (error) => (error && error.code !== "EINVAL" ? reject(error) : resolve()));
    });
  }

  /** Without native help only a file without any storage is known to be a hole. Devices do not tell. */
  extent(offset: number, length: number): FileExtent {
    const { native } = this.options;
    if (native?.extent !== undefined) return native.extent(this.fd, offset, length);
    const stat = fstatSync(this.fd);
    return { data: !stat.isFile() || stat.blocks !== 0, length };
  }

  allocatedSize(): number {
    return fstatSync(this.fd).blocks * 512;
  }

  close(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#closed = true;
    return new Promise((resolve, reject) => close(this.fd, (error) => (error ? reject(error) : resolve())));
  }
}

/** Opens a file for reading and writing (or `readOnly`). Fails with Node's own errors (ENOENT, EACCES, ...). */
export function openFile(path: string, options: NodeFileOptions = {}): Promise<NodeFile> {
  const readOnly = options.readOnly === true;
  let flags = readOnly ? constants.O_RDONLY : constants.O_RDWR;
  if (options.create) flags |= constants.O_CREAT;
  if (options.create === "exclusive") flags |= constants.O_EXCL;
  return new Promise((resolve, reject) => {
    open(path, flags, 0o644, (error, fd) =>
      error ? reject(error) : resolve(new NodeFile(fd, path, readOnly, options)),
    );
  });
}
