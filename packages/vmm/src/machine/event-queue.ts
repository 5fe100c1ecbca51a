import type { Timer, TimerSource } from "@softmetal/chipset";

interface Entry extends Timer {
  deadline: number;
  callback: () => void;
}

const NEVER = Number.POSITIVE_INFINITY;

/** The timers of a machine on its clock: armed by devices, fired by the loop that runs the CPU. */
export class EventQueue implements TimerSource {
  /** A machine has a dozen timers, so that a scan is as good as a heap. */
  readonly #timers: Entry[] = [];
  #next = NEVER;

  constructor(
    /** Nanoseconds since the machine started. */
    readonly now: () => number,
    /** Called when an earlier deadline than all others is armed. */
    readonly onEarlier: (deadline: number) => void = () => {},
  ) {}

  /** The earliest deadline, infinite when nothing is armed. */
  get next(): number {
    return this.#next;
  }

  createTimer(callback: () => void): Timer {
    const entry: Entry = {
      deadline: NEVER,
      callback,
      arm: (deadline) => {
        const earliest = entry.deadline === this.#next;
        entry.deadline = deadline;
        if (deadline < this.#next) {
          this.#next = deadline;
          this.onEarlier(deadline);
        } else if (earliest) this.#findNext();
      },
      cancel: () => {
        const earliest = entry.deadline === this.#next;
        entry.deadline = NEVER;
        if (earliest) this.#findNext();
      },
    };
    this.#timers.push(entry);
    return entry;
  }

  /** Fires everything that is due. A callback may arm its timer again; that fires in the next call. */
  fire(): void {
    const now = this.now();
    if (now < this.#next) return;
    const due = this.#timers.filter((entry) => entry.deadline <= now).sort((a, b) => a.deadline - b.deadline);
    for (const entry of due) {
      if (entry.deadline > now) continue;
      entry.deadline = NEVER;
      entry.callback();
    }
    this.#findNext();
  }

  #findNext(): void {
    let next = NEVER;
    for (const entry of this.#timers) if (entry.deadline < next) next = entry.deadline;
    this.#next = next;
  }
}
