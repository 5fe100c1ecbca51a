import type { MaybePromise } from "../file.js";

/** Runs tasks one after the other, in the order of the calls. */
export class Mutex {
  #tail: Promise<unknown> | undefined;

  run<T>(task: () => Promise<T>): Promise<T> {
    const before = this.#tail;
    const result = before === undefined ? task() : before.then(task, task);
    const settled = result.then(
      () => {},
      () => {},
    );
    this.#tail = settled;
    settled.then(() => {
      if (this.#tail === settled) this.#tail = undefined;
    });
    return result;
  }
}

export interface Range {
  readonly start: number;
  readonly end: number;
  readonly exclusive: boolean;
  granted: boolean;
  grant: (() => void) | undefined;
}

/**
 * Shared and exclusive locks on ranges of the disk. Requests are served in the order of the calls, so that none
 * starves; ranges that do not touch never wait for each other.
 */
export class RangeLock {
  readonly #ranges: Range[] = [];

  /** The lock itself when it is free, else a promise of it. */
  acquire(start: number, end: number, exclusive: boolean): Range | Promise<Range> {
    const range: Range = { start, end, exclusive, granted: true, grant: undefined };
    const list = this.#ranges;
    for (let i = 0; i < list.length; i++) {
      if (conflicts(list[i], range)) {
        range.granted = false;
        break;
      }
    }
    list.push(range);
    if (range.granted) return range;
    return new Promise((resolve) => {
      range.grant = () => resolve(range);
    });
  }

  release(range: Range): void {
    const list = this.#ranges;
    list.splice(list.indexOf(range), 1);
    for (let i = 0; i < list.length; i++) {
      const waiting = list[i];
      if (waiting.granted || !conflicts(waiting, range)) continue;
      let free = true;
      for (let j = 0; j < i && free; j++) free = !conflicts(list[j], waiting);
      if (!free) continue;
      waiting.granted = true;
      waiting.grant!();
    }
  }
}

function conflicts(a: Range, b: Range): boolean {
  return (a.exclusive || b.exclusive) && a.start < b.end && b.start < a.end;
}

/**
 * Starts one operation for each item and waits for all of them, also when one fails: what was started must not go on
 * behind a released lock. Fails with the first error.
 */
export async function forAll<T>(items: readonly T[], start: (item: T) => MaybePromise<void>): Promise<void> {
  const waiting: Promise<void>[] = [];
  let failure: { error: unknown } | undefined;
  for (const item of items) {
    try {
      const result = start(item);
      if (result !== undefined) waiting.push(result);
    } catch (error) {
      failure = { error };
      break;
    }
  }
  if (waiting.length > 0) {
    for (const result of await Promise.allSettled(waiting)) {
      if (result.status === "rejected") failure ??= { error: result.reason };
    }
  }
  if (failure !== undefined) throw failure.error;
}
