import type { Timer, TimerSource } from "./interfaces.js";

interface ManualTimer extends Timer {
  deadline: number;
  readonly callback: () => void;
}

/**
 * A clock that stands still until it is advanced, and fires timers in the order of their deadlines: for tests,
 * and for machines whose time is the number of executed instructions.
 */
export class ManualClock implements TimerSource {
  readonly #timers: ManualTimer[] = [];
  #now: number;

  constructor(startNs = 0) {
    this.#now = startNs;
  }

  now(): number {
    return this.#now;
  }

  createTimer(callback: () => void): Timer {
    const timer: ManualTimer = {
      deadline: Number.POSITIVE_INFINITY,
      callback,
      arm(deadlineNs) {
        timer.deadline = deadlineNs;
      },
      cancel() {
        timer.deadline = Number.POSITIVE_INFINITY;
      },
    };
    this.#timers.push(timer);
    return timer;
  }

  /** The earliest deadline (ns), Infinity when no timer is armed. */
  get nextDeadline(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const timer of this.#timers) next = Math.min(next, timer.deadline);
    return next;
  }

  /** Lets `ns` pass, firing every timer at its own time. */
  advance(ns: number): void {
    this.advanceTo(this.#now + ns);
  }

  /** As {@link advance}, to an absolute time. */
  advanceTo(end: number): void {
    for (;;) {
      const next = this.nextDeadline;
      if (next > end) break;
      this.#now = Math.max(this.#now, next);
      for (const timer of this.#timers) {
        if (timer.deadline > this.#now) continue;
        timer.deadline = Number.POSITIVE_INFINITY;
        timer.callback();
      }
    }
    this.#now = Math.max(this.#now, end);
  }
}
