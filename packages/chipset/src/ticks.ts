/**
 * A counter that runs at a fixed frequency off the guest's clock. Ticks are whole numbers; both directions round so
 * that `ticks(nanoseconds(t)) >= t` always holds: a timer armed with `nanoseconds(t)` never fires a tick early.
 */
export class TickRate {
  constructor(readonly hz: number) {}

  /** Whole ticks that have passed at this Clock time (ns). */
  ticks(ns: number): number {
    return Math.floor((ns * this.hz) / 1e9);
  }

  /** The first whole Clock time (ns) at which `ticks` have passed. */
  nanoseconds(ticks: number): number {
    let ns = Math.ceil((ticks * 1e9) / this.hz);
    // Growing steps: where doubles are further apart than 1, adding 1 changes nothing.
    for (let step = 1; this.ticks(ns) < ticks; step *= 2) ns += step;
    return ns;
  }
}
