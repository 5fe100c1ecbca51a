import { readLockList } from "./lock-list.js";

/**
 * System calls that Node does not offer: byte-range locks (QEMU's image locks), holes (SEEK_DATA, fallocate).
 * They come through the optional package koffi (prebuilt, loaded only when first needed), on Linux.
 */
export interface SystemCalls {
  /** F_OFD_SETLK with a read lock, or unlock. False when another owner is in the way. */
  lockShared(descriptor: number, start: number, lock: boolean): boolean;
  /** F_OFD_GETLK for a write lock: true when another owner holds a lock there. */
  isLockedByOther(descriptor: number, start: number): boolean;
  /** lseek(2) with SEEK_DATA or SEEK_HOLE; -1 when there is none. */
  seek(descriptor: number, offset: number, what: "data" | "hole"): number;
  /** fallocate(2): returns an errno, 0 for success. */
  fallocate(descriptor: number, mode: number, offset: number, length: number): number;
  /** The file system cannot do what was asked. */
  isUnsupported(errno: number): boolean;
}

export const FALLOC_KEEP_SIZE = 1;
export const FALLOC_PUNCH_HOLE = 2;

const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
const F_RDLCK = 0;
const F_WRLCK = 1;
const F_UNLCK = 2;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const EOPNOTSUPP = 95;
const ENOSYS = 38;

let loading: Promise<SystemCalls | undefined> | undefined;

/** The system calls, or undefined where they are not available. */
export function systemCalls(): Promise<SystemCalls | undefined> {
  loading ??= load();
  return loading;
}

async function load(): Promise<SystemCalls | undefined> {
  // The layout of struct flock below is that of 64-bit Linux.
  if (process.platform !== "linux" || !["x64", "arm64", "riscv64", "ppc64", "loong64"].includes(process.arch))
    return undefined;
  try {
    const { default: koffi } = await import("koffi");
    const libc = koffi.load(null);
    const fcntl = libc.func("int fcntl(int fd, int command, ...)");
    const lseek = libc.func("int64_t lseek(int fd, int64_t offset, int whence)");
    const fallocate = libc.func("int fallocate(int fd, int mode, int64_t offset, int64_t length)");
    const flock = (type: number, start: number): Buffer => {
      const bytes = Buffer.alloc(32);
      bytes.writeInt16LE(type, 0);
      bytes.writeBigInt64LE(BigInt(start), 8);
      bytes.writeBigInt64LE(1n, 16);
      return bytes;
    };
    return {
      lockShared: (descriptor, start, lock) =>
        fcntl(descriptor, F_OFD_SETLK, "void *", flock(lock ? F_RDLCK : F_UNLCK, start)) === 0,
      isLockedByOther(descriptor, start) {
        const query = flock(F_WRLCK, start);
        return fcntl(descriptor, F_OFD_GETLK, "void *", query) === 0 && query.readInt16LE(0) !== F_UNLCK;
      },
      seek: (descriptor, offset, what) => Number(lseek(descriptor, offset, what === "data" ? SEEK_DATA : SEEK_HOLE)),
      fallocate: (descriptor, mode, offset, length) =>
        fallocate(descriptor, mode, offset, length) === 0 ? 0 : koffi.errno(),
      isUnsupported: (errno) => errno === EOPNOTSUPP || errno === ENOSYS,
    };
  } catch {
    return undefined;
  }
}

/** A byte-range lock as /proc/locks shows it, on one file. */
export interface ListedLock {
  readonly start: number;
  readonly end: number;
}

let listing: Promise<string | undefined> | undefined;

/** Takes a reading of the list of locks that was begun earlier. */
export function useLockList(list: Promise<string | undefined>): void {
  listing = list;
}

/**
 * The open-file-description locks on a file, without any system call of our own; undefined where /proc is not. The first
 * time after `useLockList` as of then.
 */
export async function listLocks(device: bigint, inode: bigint): Promise<ListedLock[] | undefined> {
  const started = listing;
  // A second look has to see what was locked since.
  listing = undefined;
  const text = await (started ?? readLockList());
  if (text === undefined) return undefined;
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn);
  const minor = (device & 0xffn) | ((device >> 12n) & ~0xffn);
  const file = `${major.toString(16).padStart(2, "0")}:${minor.toString(16).padStart(2, "0")}:${inode}`;
  const locks: ListedLock[] = [];
  for (const line of text.split("\n")) {
    const fields = line.trim().split(/\s+/);
    // "1: OFDLCK ADVISORY READ -1 fe:00:123 100 101"; lines with "->" are waiters.
    if (fields[1] !== "OFDLCK" || fields[5] !== file) continue;
    const end = fields[7] === "EOF" ? Number.POSITIVE_INFINITY : Number(fields[7]);
    locks.push({ start: Number(fields[6]), end });
  }
  return locks;
}
