import { closeSync, openSync, read } from "node:fs";

const STEP = 64 * 1024;

/**
 * The kernel's list of all locks (proc(5), /proc/locks); undefined where there is none. The kernel waits for all processors
 * before it answers, which takes longer than most commands: the earlier it is asked, the better. So it is asked at once,
 * where readFile() would wait for the event loop after opening the file.
 */
export function readLockList(): Promise<string | undefined> {
  return new Promise((resolve) => {
    let fd: number;
    try {
      fd = openSync("/proc/locks", "r");
    } catch {
      return resolve(undefined);
    }
    let text = "";
    const buffer = Buffer.allocUnsafe(STEP);
    const finish = (result: string | undefined): void => {
      closeSync(fd);
      resolve(result);
    };
    const next = (): void =>
      read(fd, buffer, 0, STEP, null, (error, count) => {
        if (error) return finish(undefined);
        if (count === 0) return finish(text);
        text += buffer.toString("latin1", 0, count);
        next();
      });
    next();
  });
}
