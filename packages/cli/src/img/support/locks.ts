import { fstatSync } from "node:fs";
import { CommandError, type Context } from "./context.js";
import { listLocks, systemCalls } from "./system.js";

/**
 * Image locks as QEMU takes them (docs/devel in QEMU, "image locking"): a shared lock on byte 100 + n for every
 * permission in use, and on byte 200 + n for every permission that others may not use. Before relying on them, the opposite
 * byte of every lock is tested for other owners.
 */
export interface LockRequest {
  readonly use: readonly Permission[];
  readonly deny: readonly Permission[];
}

const PERMISSIONS = ["consistent read", "write", "write unchanged", "resize"] as const;
export type Permission = (typeof PERMISSIONS)[number];

const USE_BASE = 100;
const DENY_BASE = 200;

/** Reading an image whose content must not change meanwhile. */
export const LOCK_READ: LockRequest = { use: ["consistent read"], deny: ["write", "resize"] };
/** Looking at metadata only. */
export const LOCK_METADATA: LockRequest = { use: [], deny: ["write", "resize"] };
/** Writing. */
export const LOCK_WRITE: LockRequest = { use: ["consistent read", "write", "resize"], deny: ["write", "resize"] };
/** Creating: the file is about to lose its content. */
export const LOCK_CREATE: LockRequest = { use: ["write", "resize"], deny: ["resize"] };

let warned = false;

interface Conflict {
  /** Where another owner's lock is in the way. */
  readonly byte: number;
  /** What is said then. */
  readonly text: string;
}

function conflicts(request: LockRequest): Conflict[] {
  return [
    ...request.use.map((name) => ({
      byte: DENY_BASE + PERMISSIONS.indexOf(name),
      text: `Failed to get "${name}" lock`,
    })),
    ...request.deny.map((name) => ({
      byte: USE_BASE + PERMISSIONS.indexOf(name),
      text: `Failed to get shared "${name}" lock`,
    })),
  ];
}

const inUse = (text: string, filename: string): CommandError =>
  new CommandError(`${text}\nIs another process using the image [${filename}]?`);

/**
 * Looks whether somebody else is in the way, without taking locks: enough for commands that are over in milliseconds. The
 * answer takes longer than such a command itself; what is returned waits for it and throws the reason why the file cannot
 * be used.
 */
export function lookForLocks(descriptor: number, filename: string, request: LockRequest): () => Promise<void> {
  const stat = fstatSync(descriptor, { bigint: true });
  const listed = listLocks(stat.dev, stat.ino);
  return async () => {
    const locks = await listed;
    for (const { byte, text } of conflicts(request)) {
      if (locks?.some((lock) => lock.start <= byte && byte <= lock.end)) throw inUse(text, filename);
    }
  };
}

/** Takes the locks on an open file, or throws the reason why it cannot be used. They go when the descriptor is closed. */
export async function lockImage(
  context: Context,
  descriptor: number,
  filename: string,
  request: LockRequest,
): Promise<void> {
  if (process.platform !== "linux") return;
  const calls = await systemCalls();
  if (calls === undefined) {
    await lookForLocks(descriptor, filename, request)();
    if (!warned) {
      warned = true;
      context.warn("images are not locked, because the optional package 'koffi' is not installed");
    }
    return;
  }
  const take = (base: number, names: readonly Permission[]): void => {
    for (const name of names) {
      // File systems without locks (some network mounts) are used without, as QEMU does.
      calls.lockShared(descriptor, base + PERMISSIONS.indexOf(name), true);
    }
  };
  take(USE_BASE, request.use);
  take(DENY_BASE, request.deny);
  for (const { byte, text } of conflicts(request)) {
    if (calls.isLockedByOther(descriptor, byte)) {
      for (let index = 0; index < PERMISSIONS.length; index++) {
        calls.lockShared(descriptor, USE_BASE + index, false);
        calls.lockShared(descriptor, DENY_BASE + index, false);
      }
      throw inUse(text, filename);
    }
  }
}
