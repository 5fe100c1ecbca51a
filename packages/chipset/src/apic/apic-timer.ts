import type { Timer, TimerSource } from "../interfaces.js";
import { copyState } from "../state.js";

/** The time-stamp counter as the TSC-deadline timer needs it. */
export interface TscClock {
  /** Clock time (ns) at which the counter reaches this value (64 bits, rounded to a double). */
  timeOfTsc(tsc: number): number;
}

/** Modes of the LVT timer entry's bits 18-17. */
export const TimerMode = { OneShot: 0, Periodic: 1, TscDeadline: 2 } as const;

export interface ApicTimerOptions {
  readonly timers: TimerSource;
  /** Frequency of the undivided timer, Hz. */
  readonly hz: number;
  readonly tsc?: TscClock;
  /** Shortest period (ns) at which the periodic timer interrupts; shorter ones are coalesced. */
  readonly minimumPeriodNs: number;
  readonly expired: () => void;
}

function initialState() {
  return {
    mode: TimerMode.OneShot as number,
    initialCount: 0,
    /** The divide configuration register. */
    divideConfiguration: 0,
    /** Clock time (ns, with fraction) at which the count reaches zero; -1 = not running. */
    expiry: -1,
    /** Clock time of the last interrupt. */
    lastFired: 0,
    deadlineLow: 0,
    deadlineHigh: 0,
  };
}

/** State of the timer. */
export type ApicTimerState = ReturnType<typeof initialState>;

/** The local APIC's timer (SDM vol. 3A, 11.5.4). */
export class ApicTimer {
  #s = initialState();
  readonly #options: ApicTimerOptions;
  readonly #timer: Timer;

  constructor(options: ApicTimerOptions) {
    this.#options = options;
    this.#timer = options.timers.createTimer(() => this.#fire());
  }

  get initialCount(): number {
    return this.#s.initialCount;
  }

  set initialCount(value: number) {
    const s = this.#s;
    if (s.mode === TimerMode.TscDeadline) return;
    s.initialCount = value;
    s.expiry = value === 0 ? -1 : this.#options.timers.now() + value * this.#tickNs;
    this.#arm();
  }

  get currentCount(): number {
    const s = this.#s;
    if (s.expiry < 0 || s.mode === TimerMode.TscDeadline) return 0;
    let remaining = s.expiry - this.#options.timers.now();
    if (remaining <= 0) {
      if (s.mode === TimerMode.OneShot) return 0;
      const period = this.#periodNs;
      remaining = period - (-remaining % period);
    }
    return Math.min(Math.ceil(remaining / this.#tickNs), s.initialCount) >>> 0;
  }

  get divideConfiguration(): number {
    return this.#s.divideConfiguration;
  }

  set divideConfiguration(value: number) {
    const s = this.#s;
    const count = this.currentCount;
    s.divideConfiguration = value & 0xb;
    if (s.expiry < 0 || s.mode === TimerMode.TscDeadline) return;
    s.expiry = this.#options.timers.now() + count * this.#tickNs;
    this.#arm();
  }

  /** Bits 18-17 of the LVT entry. Going to or from TSC-deadline mode disarms the timer. */
  set mode(value: number) {
    const s = this.#s;
    const mode = value === 3 ? TimerMode.OneShot : value;
    if (mode === s.mode) return;
    if (mode === TimerMode.TscDeadline || s.mode === TimerMode.TscDeadline) {
      s.expiry = -1;
      s.initialCount = 0;
      s.deadlineLow = 0;
      s.deadlineHigh = 0;
    }
    s.mode = mode;
    this.#arm();
  }

  /** IA32_TSC_DEADLINE; 0 when disarmed. */
  get deadlineLow(): number {
    return this.#s.deadlineLow;
  }

  get deadlineHigh(): number {
    return this.#s.deadlineHigh;
  }

  /** A write of IA32_TSC_DEADLINE; without effect outside TSC-deadline mode. */
  setDeadline(low: number, high: number): void {
    const s = this.#s;
    const { tsc } = this.#options;
    if (s.mode !== TimerMode.TscDeadline || !tsc) return;
    s.deadlineLow = low;
    s.deadlineHigh = high;
    const armed = (low | high) !== 0;
    s.expiry = armed ? Math.max(0, tsc.timeOfTsc(high * 0x1_0000_0000 + low)) : -1;
    this.#arm();
  }

  reset(): void {
    this.#s = initialState();
    this.#timer.cancel();
  }

  save(): ApicTimerState {
    return copyState(this.#s, this.#s, "apic-timer");
  }

  load(state: unknown): void {
    this.#s = copyState(this.#s, state, "apic-timer.state");
    this.#arm();
  }

  /** Nanoseconds of one count. */
  get #tickNs(): number {
    const bits = this.#s.divideConfiguration;
    const code = (bits & 3) | ((bits & 8) >> 1);
    return (code === 7 ? 1 : 2 << code) * (1e9 / this.#options.hz);
  }

  get #periodNs(): number {
    return this.#s.initialCount * this.#tickNs;
  }

  #arm(): void {
    const s = this.#s;
    if (s.expiry < 0) this.#timer.cancel();
    else if (s.mode === TimerMode.Periodic) {
      this.#timer.arm(Math.max(Math.ceil(s.expiry), s.lastFired + this.#options.minimumPeriodNs));
    } else this.#timer.arm(Math.ceil(s.expiry));
  }

  #fire(): void {
    const s = this.#s;
    if (s.expiry < 0) return;
    const now = this.#options.timers.now();
    if (now < s.expiry) return this.#arm();
    s.lastFired = now;
    if (s.mode === TimerMode.Periodic && s.initialCount > 0) {
      const period = this.#periodNs;
      s.expiry += (Math.floor((now - s.expiry) / period) + 1) * period;
      this.#arm();
    } else {
      s.expiry = -1;
      s.deadlineLow = 0;
      s.deadlineHigh = 0;
    }
    this.#options.expired();
  }
}
