import type { Ports } from "../bus/ports.js";
import type { Device, InterruptLine, PortDevice, Timer, TimerSource } from "../interfaces.js";
import { copyState } from "../state.js";
import { TickRate } from "../ticks.js";
import { dayOfWeek, fromSeconds, toSeconds } from "./calendar.js";
import { type CmosMemory, fillCmos } from "./cmos-memory.js";

const CMOS_SIZE = 128;
const SECOND_NS = 1e9;
/** UIP is up for this long before each update (data sheet: t_BUC). */
const UIP_NS = 244_000;
/** After the divider leaves reset the first update comes half a second later. */
const FIRST_UPDATE_NS = 500e6;

const REG_A = 0x0a;
const REG_B = 0x0b;
const REG_C = 0x0c;
const REG_D = 0x0d;
/** Where the FADT says the century is. */
export const RTC_CENTURY_REGISTER = 0x32;

const A_UIP = 0x80;
const A_DIVIDER_RESET = 0x60;
const B_SET = 0x80;
const B_AIE = 0x20;
const B_UIE = 0x10;
const B_SQWE = 0x08;
const B_BINARY = 0x04;
const B_24H = 0x02;
const C_IRQF = 0x80;
const C_PF = 0x40;
const C_AF = 0x20;
const C_UF = 0x10;
const D_VALID = 0x80;

export interface RtcOptions {
  readonly timers: TimerSource;
  /** IRQ 8. */
  readonly irq: InterruptLine;
  /** The time of day (seconds since 1970, in the zone the guest expects: UTC for most) at Clock time 0. */
  readonly startSeconds: number;
  /** Written into CMOS RAM for firmware and old operating systems. */
  readonly memory?: CmosMemory;
}

/** State of the RTC and CMOS RAM. */
export interface RtcState {
  index: number;
  cmos: number[];
  baseSeconds: number;
  baseNs: number;
  settledNs: number;
}

/** MC146818A real-time clock with 114 + 14 bytes of CMOS RAM at ports 0x70 and 0x71. */
export class Rtc implements PortDevice, Device<RtcState> {
  readonly #o: RtcOptions;
  readonly #timer: Timer;
  readonly #crystal = new TickRate(32768);
  #index = 0;
  #cmos: number[] = new Array<number>(CMOS_SIZE).fill(0);
  /** The clock shows `baseSeconds` at Clock time `baseNs`; in SET mode or divider reset it stands still at what CMOS says. */
  #baseSeconds: number;
  #baseNs = 0;
  /** Clock time up to which the flags of register C are computed. */
  #settledNs = 0;
  #irq = false;

  constructor(options: RtcOptions) {
    this.#o = options;
    this.#timer = options.timers.createTimer(() => this.#settle());
    this.#baseSeconds = Math.floor(options.startSeconds);
    this.#baseNs = 0 - Math.floor((options.startSeconds - this.#baseSeconds) * SECOND_NS);
    if (options.memory) fillCmos(this.#cmos, options.memory);
    this.#cmos[REG_A] = 0x26;
    this.#cmos[REG_B] = B_24H;
    this.#cmos[REG_D] = D_VALID;
    this.#settledNs = options.timers.now();
  }

  /** Claims 0x70 and 0x71. */
  attach(ports: Ports): void {
    ports.add(0x70, 2, this, { name: "RTC" });
  }

  /** A byte of CMOS RAM (0x0E up); below it the registers as last written, which is not the running time. */
  peek(index: number): number {
    return this.#cmos[index & (CMOS_SIZE - 1)];
  }

  /** Sets a byte of CMOS RAM from 0x0E up, as firmware does (boot order, shutdown status). */
  poke(index: number, value: number): void {
    if ((index & (CMOS_SIZE - 1)) > REG_D) this.#cmos[index & (CMOS_SIZE - 1)] = value & 0xff;
  }

  readPort(port: number): number {
    // The index cannot be read back.
    if (port === 0x70) return 0xff;
    const index = this.#index;
    if (index === REG_C) return this.#readC();
    if (index === REG_A) return this.#cmos[REG_A] | (this.#updating ? A_UIP : 0);
    if (this.#running && isTime(index)) return this.#encodedTime(index);
    return this.#cmos[index];
  }

  writePort(port: number, _size: number, value: number): void {
    if (port === 0x70) {
      // Bit 7 masks NMI on the bus; nothing here raises one.
      this.#index = value & 0x7f;
      return;
    }
    const index = this.#index;
    this.#settle();
    if (index === REG_A) this.#writeA(value & 0x7f);
    else if (index === REG_B) this.#writeB(value);
    else if (index === REG_C || index === REG_D) return;
    else if (this.#running && isTime(index)) {
      this.#freeze();
      this.#cmos[index] = value;
      this.#thaw();
    } else this.#cmos[index] = value;
    this.#settle();
  }

  /** RESET#: interrupts off, flags gone; the time and CMOS RAM stay. */
  reset(): void {
    this.#settle();
    this.#index = 0;
    this.#cmos[REG_B] &= ~(0x70 | B_SQWE);
    this.#cmos[REG_C] = 0;
    this.#settle();
  }

  save(): RtcState {
    this.#settle();
    return {
      index: this.#index,
      cmos: [...this.#cmos],
      baseSeconds: this.#baseSeconds,
      baseNs: this.#baseNs,
      settledNs: this.#settledNs,
    };
  }

  load(state: unknown): void {
    const s = copyState(this.save(), state, "rtc.state");
    this.#index = s.index & 0x7f;
    this.#cmos = s.cmos.map((byte) => byte & 0xff);
    this.#baseSeconds = Math.floor(s.baseSeconds);
    this.#baseNs = s.baseNs;
    this.#settledNs = s.settledNs;
    this.#irq = (this.#cmos[REG_C] & C_IRQF) !== 0;
    this.#o.irq.set(this.#irq);
    this.#settle();
  }

  // ---- the time

  get #running(): boolean {
    return !(this.#cmos[REG_B] & B_SET) && (this.#cmos[REG_A] & A_DIVIDER_RESET) !== A_DIVIDER_RESET;
  }

  get #updating(): boolean {
    if (!this.#running) return false;
    const passed = this.#o.timers.now() - this.#baseNs;
    return passed - Math.floor(passed / SECOND_NS) * SECOND_NS >= SECOND_NS - UIP_NS;
  }

  #seconds(ns: number): number {
    return this.#baseSeconds + Math.floor((ns - this.#baseNs) / SECOND_NS);
  }

  #encodedTime(index: number): number {
    const seconds = this.#seconds(this.#o.timers.now());
    if (index === 6) return this.#encode(dayOfWeek(seconds));
    const time = fromSeconds(seconds);
    switch (index) {
      case 0:
        return this.#encode(time.second);
      case 2:
        return this.#encode(time.minute);
      case 4:
        return this.#encodeHour(time.hour);
      case 7:
        return this.#encode(time.day);
      case 8:
        return this.#encode(time.month);
      case 9:
        return this.#encode(((time.year % 100) + 100) % 100);
      default:
        return this.#encode(Math.floor(time.year / 100) & 0xff);
    }
  }

  /** Puts the time into the registers, where the guest may change it. */
  #freeze(): void {
    for (const index of TIME_REGISTERS) this.#cmos[index] = this.#encodedTime(index);
  }

  /** Takes the time from the registers; the place within the second stays. */
  #thaw(): void {
    const field = (index: number) => this.#decode(this.#cmos[index]);
    const seconds = toSeconds({
      second: field(0),
      minute: field(2),
      hour: this.#decodeHour(this.#cmos[4]),
      day: field(7),
      month: field(8),
      year: field(RTC_CENTURY_REGISTER) * 100 + field(9),
    });
    const now = this.#o.timers.now();
    this.#baseSeconds += seconds - this.#seconds(now);
    this.#settledNs = now;
  }

  #encode(value: number): number {
    if (this.#cmos[REG_B] & B_BINARY) return value;
    return (Math.floor(value / 10) << 4) | (value % 10);
  }

  #decode(value: number): number {
    return this.#cmos[REG_B] & B_BINARY ? value : (value >> 4) * 10 + (value & 15);
  }

  #encodeHour(hour: number): number {
    if (this.#cmos[REG_B] & B_24H) return this.#encode(hour);
    return this.#encode(hour % 12 || 12) | (hour >= 12 ? 0x80 : 0);
  }

  #decodeHour(value: number): number {
    if (this.#cmos[REG_B] & B_24H) return this.#decode(value);
    return (this.#decode(value & 0x7f) % 12) + (value & 0x80 ? 12 : 0);
  }

  // ---- registers A, B, C

  #writeA(value: number): void {
    const wasRunning = this.#running;
    const wasReset = (this.#cmos[REG_A] & A_DIVIDER_RESET) === A_DIVIDER_RESET;
    if (wasRunning && (value & A_DIVIDER_RESET) === A_DIVIDER_RESET) this.#freeze();
    this.#cmos[REG_A] = value;
    if (wasReset && (value & A_DIVIDER_RESET) !== A_DIVIDER_RESET) {
      const now = this.#o.timers.now();
      this.#baseSeconds = this.#seconds(now);
      this.#baseNs = now - FIRST_UPDATE_NS;
    }
    if (!wasRunning && this.#running) this.#thaw();
  }

  #writeB(value: number): void {
    const wasRunning = this.#running;
    // SET stops the updates and with them clears UIE.
    const next = value & B_SET ? value & ~B_UIE : value;
    if (wasRunning && value & B_SET) this.#freeze();
    this.#cmos[REG_B] = next;
    if (!wasRunning && this.#running) this.#thaw();
  }

  #readC(): number {
    this.#settle();
    const value = this.#cmos[REG_C];
    this.#cmos[REG_C] = 0;
    // The line falls even if the next flag is up by now: without an edge, an 8259A would not hear of it.
    this.#drive(false);
    this.#settle();
    return value;
  }

  #drive(irq: boolean): void {
    if (irq === this.#irq) return;
    this.#irq = irq;
    this.#o.irq.set(irq);
  }

  // ---- interrupts

  /**
   * Computes the flags up to now, drives IRQ 8, and sets the timer for the next enabled flag. A flag that is up already
   * needs no timer, so interrupts cannot come faster than the guest reads register C.
   */
  #settle(): void {
    const now = this.#o.timers.now();
    const from = this.#settledNs;
    const enables = this.#cmos[REG_B];
    let flags = this.#cmos[REG_C] & (C_PF | C_AF | C_UF);
    if (now > from) {
      if (this.#nextPeriodic(from) <= now) flags |= C_PF;
      if (this.#running) {
        if (this.#nextUpdate(from) <= now) flags |= C_UF;
        if (this.#nextAlarm(from) <= now) flags |= C_AF;
      }
      this.#settledNs = now;
    }
    // Each flag has the same bit in C as its enable in B.
    const irq = (flags & enables) !== 0;
    this.#cmos[REG_C] = flags | (irq ? C_IRQF : 0);
    this.#drive(irq);
    let next = Number.POSITIVE_INFINITY;
    const waiting = enables & ~flags;
    if (waiting & C_PF) next = this.#nextPeriodic(now);
    if (waiting & B_UIE && this.#running) next = Math.min(next, this.#nextUpdate(now));
    if (waiting & B_AIE && this.#running) next = Math.min(next, this.#nextAlarm(now));
    if (next === Number.POSITIVE_INFINITY) this.#timer.cancel();
    else this.#timer.arm(next);
  }

  /** First Clock time after `ns` at which PF is set. */
  #nextPeriodic(ns: number): number {
    const rate = this.#cmos[REG_A] & 15;
    if (rate === 0 || (this.#cmos[REG_A] & A_DIVIDER_RESET) === A_DIVIDER_RESET) return Number.POSITIVE_INFINITY;
    const period = 1 << (rate < 3 ? rate + 6 : rate - 1);
    return this.#crystal.nanoseconds((Math.floor(this.#crystal.ticks(ns) / period) + 1) * period);
  }

  /** First Clock time after `ns` at which the time moves on. */
  #nextUpdate(ns: number): number {
    return this.#baseNs + (Math.floor((ns - this.#baseNs) / SECOND_NS) + 1) * SECOND_NS;
  }

  /** First Clock time after `ns` at which the alarm registers match; Infinity when they never do. */
  #nextAlarm(ns: number): number {
    const wildcard = (value: number) => (value & 0xc0) === 0xc0;
    const [second, minute, hour] = [this.#cmos[1], this.#cmos[3], this.#cmos[5]];
    const first = this.#seconds(ns) + 1;
    const wantSecond = wildcard(second) ? -1 : this.#decode(second);
    const wantMinute = wildcard(minute) ? -1 : this.#decode(minute);
    const wantHour = wildcard(hour) ? -1 : this.#decodeHour(hour);
    if (wantSecond > 59 || wantMinute > 59 || wantHour > 23) return Number.POSITIVE_INFINITY;
    const found = nextMatch(first, wantSecond, wantMinute, wantHour);
    return this.#baseNs + (found - this.#baseSeconds) * SECOND_NS;
  }
}

const TIME_REGISTERS = [0, 2, 4, 6, 7, 8, 9, RTC_CENTURY_REGISTER];

function isTime(index: number): boolean {
  return index === RTC_CENTURY_REGISTER || index === 0 || index === 2 || index === 4 || (index >= 6 && index <= 9);
}

/** The first second from `from` on whose time of day matches; -1 matches anything. */
function nextMatch(from: number, second: number, minute: number, hour: number): number {
  let at = from;
  const to = (unit: number, want: number, modulus: number) => {
    const value = ((Math.floor(at / unit) % modulus) + modulus) % modulus;
    if (want < 0 || value === want) return;
    at = (Math.floor(at / unit) + ((want - value + modulus) % modulus)) * unit;
  };
  // Going to a larger unit's next match resets the smaller ones; two rounds settle every carry.
  for (let round = 0; round < 3; round++) {
    to(1, second, 60);
    to(60, minute, 60);
    to(3600, hour, 24);
  }
  to(1, second, 60);
  return at;
}
