import { fstatSync, writeSync } from "node:fs";
import { getSystemErrorName } from "node:util";
import type { FileExtent } from "@softmetal/qcow2";
import { type NativeFileCalls, type NodeFile, openFile } from "@softmetal/qcow2/node";
import { FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, type SystemCalls, systemCalls } from "./system.js";

/** Bytes of zeros written at a time where the file system cannot do it. */
const ZERO_STEP = 1 << 20;

/** Opens a file of the host, or creates an empty one with `create`. */
export async function openHostFile(name: string, options: { readOnly: boolean; create?: boolean }): Promise<NodeFile> {
  const calls = await systemCalls();
  const { readOnly, create } = options;
  return openFile(name, { readOnly, create, native: calls && new HoleCalls(calls) });
}

/** Holes of one file: fallocate(2) and lseek(2), with what to do where the file system does not know them. */
class HoleCalls implements NativeFileCalls {
  #canSeek = true;
  #canPunch = true;

  constructor(private readonly calls: SystemCalls) {}

  punchHole(fd: number, offset: number, length: number): void {
    if (length <= 0) return;
    if (this.#canPunch) {
      const errno = this.calls.fallocate(fd, FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, offset, length);
      if (errno === 0) return;
      this.#canPunch = !this.calls.isUnsupported(errno);
    }
    const stat = fstatSync(fd);
    writeZeros(fd, offset, stat.isFile() ? Math.min(length, stat.size - offset) : length);
  }

  allocate(fd: number, offset: number, length: number): void {
    if (length <= 0) return;
    const errno = this.calls.fallocate(fd, 0, offset, length);
    if (errno === 0) return;
    if (!this.calls.isUnsupported(errno)) {
      const code = getSystemErrorName(-errno);
      throw Object.assign(new Error(`${code}: fallocate`), { code, errno: -errno, syscall: "fallocate" });
    }
    // Zeros that are written are allocated, too; what is there already stays.
    const start = Math.max(offset, fstatSync(fd).size);
    writeZeros(fd, start, offset + length - start);
  }

  extent(fd: number, offset: number, length: number): FileExtent {
    if (!this.#canSeek) return { length, data: true };
    const data = this.calls.seek(fd, offset, "data");
    // Nothing but a hole up to the end of the file.
    if (data < 0) return { length, data: !this.#seekWorks(fd) };
    if (data > offset) return { length: Math.min(length, data - offset), data: false };
    const hole = this.calls.seek(fd, offset, "hole");
    return { length: hole > offset ? Math.min(length, hole - offset) : length, data: true };
  }

  /** SEEK_HOLE always finds the end of a file; where even that fails, the file system (or device) does not know holes. */
  #seekWorks(fd: number): boolean {
    const stat = fstatSync(fd);
    this.#canSeek = stat.isFile() && (stat.size === 0 || this.calls.seek(fd, 0, "hole") >= 0);
    return this.#canSeek;
  }
}

function writeZeros(fd: number, offset: number, length: number): void {
  const zeros = new Uint8Array(Math.min(ZERO_STEP, Math.max(0, length)));
  for (let done = 0; done < length; ) {
    done += writeSync(fd, zeros, 0, Math.min(zeros.length, length - done), offset + done);
  }
}
