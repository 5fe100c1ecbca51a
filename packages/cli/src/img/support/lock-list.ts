import { readFile } from "node:fs";

/**
 * The kernel's list of all locks (proc(5), /proc/locks); undefined where there is none. The kernel waits for all processors
 * before it answers, which takes longer than most commands: the earlier it is asked, the better.
 */
export function readLockList(): Promise<string | undefined> {
  return new Promise((resolve) => {
    readFile("/proc/locks", "latin1", (error, text) => resolve(error ? undefined : text));
  });
}
