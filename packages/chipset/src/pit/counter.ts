import { copyState } from "../state.js";

/** The 8254's input clock on a PC. */
export const PIT_HZ = 1193182;

const RW_LSB = 1;
const RW_MSB = 2;

function initialState() {
  return {
    /** 0-5. */
    mode: 3,
    bcd: false,
    /** Read/write mode of the control word: 1 = LSB, 2 = MSB, 3 = LSB then MSB. */
    access: 3,
    /** The next access in LSB/MSB mode concerns the MSB. */
    readMsb: false,
    writeMsb: false,
    /** Count register byte already written in LSB/MSB mode. */
    writeLow: 0,
    /** The count register, 1 to 65536 (10000 in BCD). */
    reload: 0x10000,
    /** A count written while modes 2 and 3 run; they take it at the end of the period. 0 = none. */
    next: 0,
    /** Tick at which the counting element was loaded; -1 = it waits for a count (or a trigger, modes 1 and 5). */
    start: -1,
    /** Ticks counted before GATE went low (modes 0 and 4), -1 while counting. */
    held: -1,
    gate: true,
    countLatched: false,
    latchedCount: 0,
    statusLatched: false,
    latchedStatus: 0,
  };
}

/** State of one counter. */
export type CounterState = ReturnType<typeof initialState>;

/**
 * One counter of the Intel 8254 (data sheet 231164). It computes everything from the number of input clock ticks since
 * it was loaded; it does not count on its own. All methods take the present tick.
 */
export class Counter {
  #s = initialState();

  /** @param gate level of GATE after reset */
  constructor(private readonly gateAtReset: boolean) {
    this.reset();
  }

  /** A control word for this counter that is not the counter latch command. */
  control(value: number): void {
    const s = this.#s;
    const mode = (value >> 1) & 7;
    s.mode = mode > 5 ? mode & 3 : mode;
    s.bcd = (value & 1) !== 0;
    s.access = (value >> 4) & 3;
    s.readMsb = false;
    s.writeMsb = false;
    s.countLatched = false;
    s.statusLatched = false;
    s.start = -1;
    s.held = -1;
    s.next = 0;
  }

  write(tick: number, value: number): void {
    const s = this.#s;
    switch (s.access) {
      case RW_LSB:
        this.#load(tick, value);
        break;
      case RW_MSB:
        this.#load(tick, value << 8);
        break;
      default:
        if (s.writeMsb) {
          s.writeMsb = false;
          this.#load(tick, s.writeLow | (value << 8));
        } else {
          s.writeMsb = true;
          s.writeLow = value;
          // The first byte stops mode 0; its output is low until the new count has run out.
          if (s.mode === 0) s.start = -1;
        }
    }
  }

  read(tick: number): number {
    const s = this.#s;
    if (s.statusLatched) {
      s.statusLatched = false;
      return s.latchedStatus;
    }
    const count = s.countLatched ? s.latchedCount : this.#encodedCount(tick);
    let byte = count & 0xff;
    let last = true;
    if (s.access === RW_MSB) byte = count >> 8;
    else if (s.access !== RW_LSB) {
      if (s.readMsb) byte = count >> 8;
      s.readMsb = !s.readMsb;
      last = !s.readMsb;
    }
    if (last) s.countLatched = false;
    return byte;
  }

  /** The counter latch command, and the count part of the read-back command; a latched count stays until it is read. */
  latchCount(tick: number): void {
    const s = this.#s;
    if (s.countLatched) return;
    s.latchedCount = this.#encodedCount(tick);
    s.countLatched = true;
  }

  /** The status part of the read-back command. */
  latchStatus(tick: number): void {
    const s = this.#s;
    if (s.statusLatched) return;
    this.settle(tick);
    const nullCount = s.start < 0 || s.next > 0 || tick < s.start;
    s.latchedStatus =
      (this.output(tick) ? 0x80 : 0) | (nullCount ? 0x40 : 0) | (s.access << 4) | (s.mode << 1) | (s.bcd ? 1 : 0);
    s.statusLatched = true;
  }

  get mode(): number {
    return this.#s.mode;
  }

  get gate(): boolean {
    return this.#s.gate;
  }

  setGate(tick: number, level: boolean): void {
    const s = this.#s;
    if (level === s.gate) return;
    this.settle(tick);
    s.gate = level;
    switch (s.mode) {
      case 0:
      case 4:
        if (s.start < 0) break;
        if (level) {
          s.start = tick - s.held;
          s.held = -1;
        } else {
          s.held = Math.max(0, tick - s.start);
        }
        break;
      default:
        // Rising GATE triggers modes 1 and 5 and restarts modes 2 and 3 with the newest count.
        if (level && s.reload > 0 && (s.start >= 0 || s.next > 0)) {
          if (s.next > 0) s.reload = s.next;
          s.next = 0;
          s.start = tick + 1;
        }
    }
  }

  /** Level of OUT. */
  output(tick: number): boolean {
    const s = this.#s;
    const idle = s.mode !== 0;
    if (s.start < 0) return idle;
    const passed = this.#passed(tick);
    if (passed < 0) return idle;
    switch (s.mode) {
      case 0:
        return passed >= s.reload;
      case 1:
        return passed >= s.reload || !this.#triggered;
      case 2:
        return !s.gate || passed % s.reload !== s.reload - 1;
      case 3:
        return !s.gate || passed % s.reload < (s.reload + 1) >> 1;
      default:
        return passed !== s.reload || !this.#triggered;
    }
  }

  /**
   * The next tick after `tick` at which OUT falls or rises, -1 when it will not. Mode 2's and mode 4's low pulse of one
   * tick is given by its end, the rising edge.
   */
  nextChange(tick: number): number {
    const s = this.#s;
    this.settle(tick);
    if (s.start < 0 || s.held >= 0) return -1;
    const end = s.start + s.reload;
    switch (s.mode) {
      case 0:
      case 1:
        return this.#triggered && tick < end ? end : -1;
      case 2:
      case 3: {
        if (!s.gate) return -1;
        if (tick < s.start) return s.start + (s.mode === 2 ? s.reload : (s.reload + 1) >> 1);
        const periodStart = tick - ((tick - s.start) % s.reload);
        const middle = periodStart + ((s.reload + 1) >> 1);
        return s.mode === 3 && tick < middle ? middle : periodStart + s.reload;
      }
      default:
        return this.#triggered && tick <= end ? end + 1 : -1;
    }
  }

  /** Takes over a count that waits for the end of the period, once that has passed. */
  settle(tick: number): void {
    const s = this.#s;
    if (s.next === 0 || (s.mode !== 2 && s.mode !== 3) || !s.gate || tick < s.start) return;
    // `start` is moved to the last period boundary when the count is written, so the first boundary is one period away.
    if (tick < s.start + s.reload) return;
    s.start += s.reload;
    s.reload = s.next;
    s.next = 0;
  }

  /** The count register, for the speaker's frequency. */
  get reload(): number {
    return this.#s.reload;
  }

  reset(): void {
    this.#s = { ...initialState(), gate: this.gateAtReset };
  }

  save(): CounterState {
    return copyState(this.#s, this.#s, "counter");
  }

  load(state: unknown): void {
    const s = copyState(this.#s, state, "counter.state");
    s.reload = Math.min(Math.max(Math.trunc(s.reload), 1), 0x10000);
    s.next = Math.min(Math.max(Math.trunc(s.next), 0), 0x10000);
    this.#s = s;
  }

  /** In modes 1 and 5 a count alone starts nothing; `start` is then set by GATE only. */
  get #triggered(): boolean {
    return this.#s.start >= 0;
  }

  #load(tick: number, raw: number): void {
    const s = this.#s;
    const limit = s.bcd ? 10000 : 0x10000;
    const count = (s.bcd ? fromBcd(raw) : raw) || limit;
    switch (s.mode) {
      case 1:
      case 5:
        // Taken at the next trigger.
        s.next = count;
        break;
      case 2:
      case 3:
        if (s.start >= 0) {
          this.settle(tick);
          if (tick > s.start) s.start = tick - ((tick - s.start) % s.reload);
          s.next = count;
          break;
        }
        s.reload = count;
        s.start = tick + 1;
        break;
      default:
        s.reload = count;
        s.start = tick + 1;
        s.held = s.gate ? -1 : 0;
    }
  }

  /** Ticks the counting element has counted; negative before it is loaded. */
  #passed(tick: number): number {
    const s = this.#s;
    return s.held >= 0 ? s.held : tick - s.start;
  }

  #count(tick: number): number {
    const s = this.#s;
    this.settle(tick);
    const limit = s.bcd ? 10000 : 0x10000;
    if (s.start < 0) return s.reload % limit;
    const passed = this.#passed(tick);
    if (passed < 0) return s.reload % limit;
    switch (s.mode) {
      case 2:
        return s.gate ? (s.reload - (passed % s.reload)) % limit : s.reload % limit;
      case 3: {
        if (!s.gate) return s.reload % limit;
        // Counts down by two in each half; an odd count is made even, and its first half is a tick longer.
        const half = (s.reload + 1) >> 1;
        const phase = passed % s.reload;
        return ((s.reload & ~1) - 2 * (phase < half ? phase : phase - half)) % limit;
      }
      default:
        // Goes on below zero, from the top again.
        return (((s.reload - passed) % limit) + limit) % limit;
    }
  }

  #encodedCount(tick: number): number {
    const count = this.#count(tick);
    return this.#s.bcd ? toBcd(count) : count;
  }
}

function toBcd(value: number): number {
  let result = 0;
  for (let shift = 0, rest = value; shift < 16; shift += 4, rest = Math.floor(rest / 10))
    result |= (rest % 10) << shift;
  return result;
}

function fromBcd(value: number): number {
  let result = 0;
  for (let shift = 12; shift >= 0; shift -= 4) result = result * 10 + ((value >> shift) & 15);
  // Digits above 9 are the guest's mistake; the result stays inside the counter.
  return Math.min(result, 9999);
}
