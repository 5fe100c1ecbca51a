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

/**
 * Takes the locks on an open file, or throws the reason why it cannot be used. They go when the descriptor is closed.
 * `brief` only looks whether somebody else is in the way: enough for commands that are over in milliseconds.
 */
export async function lockImage(
  context: Context,
  descriptor: number,
  filename: string,
  request: LockRequest,
  brief: boolean,
): Promise<void> {
  if (process.platform !== "linux") return;
  const tests = [
    ...request.use.map((name) => ({
      name,
      byte: DENY_BASE + PERMISSIONS.indexOf(name),
      text: `Failed to get "${name}" lock`,
    })),
    ...request.deny.map((name) => ({
      name,
      byte: USE_BASE + PERMISSIONS.indexOf(name),
      text: `Failed to get shared "${name}" lock`,
    })),
  ];
  const refuse = (text: string): never => {
    throw new CommandError(`${text}\nIs another process using the image [${filename}]?`);
  };
  const calls = brief ? undefined : await systemCalls();
  if (calls === undefined) {
    const stat = fstatSync(descriptor, { bigint: true });
    const locks = await listLocks(stat.dev, stat.ino);
    for (const { byte, text } of tests) {
      if (locks?.some((lock) => lock.start <= byte && byte <= lock.end)) refuse(text);
    }
    if (!brief && !warned) {
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
  for (const { byte, text } of tests) {
    if (calls.isLockedByOther(descriptor, byte)) {
      for (let index = 0; index < PERMISSIONS.length; index++) {
        calls.lockShared(descriptor, USE_BASE + index, false);
        calls.lockShared(descriptor, DENY_BASE + index, false);
      }
      refuse(text);
    }
  }
}
