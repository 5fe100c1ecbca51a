import type { Ports } from "../bus/ports.js";
import type { Device, InterruptLine, PortDevice, Timer, TimerSource } from "../interfaces.js";
import { copyState } from "../state.js";
import { TickRate } from "../ticks.js";
import { Counter, type CounterState, PIT_HZ } from "./counter.js";

const READ_BACK = 3;
const RW_LATCH = 0;
/** The refresh request toggles bit 4 of port 0x61 about every 15 us; firmware and old kernels time delays with it. */
const REFRESH_NS = 15_085;
const PORT_B_WRITABLE = 0x0f;
const PORT_B_GATE2 = 0x01;
const PORT_B_SPEAKER = 0x02;

/** What the speaker does. */
export interface Speaker {
  /** @param hz the tone's frequency, 0 = silent */
  tone(hz: number): void;
}

export interface PitOptions {
  readonly timers: TimerSource;
  /** OUT of counter 0: IRQ 0. */
  readonly irq: InterruptLine;
  readonly speaker?: Speaker;
  /**
   * Shortest time between two changes of IRQ 0 (ns); a guest that programs a shorter period gets fewer interrupts,
   * coalesced. Counter values are not affected.
   */
  readonly minimumPeriodNs?: number;
}

/** State of the timer chip and port 0x61. */
export interface PitState {
  counters: CounterState[];
  output: boolean;
  portB: number;
  /** Clock time of the last timed change of IRQ 0. */
  lastChange: number;
  /** Tick of counter 0's next change, -1 when there will be none. */
  due: number;
}

/** Intel 8254 programmable interval timer at 0x40-0x43, with the PC's system control port B at 0x61. */
export class Pit implements PortDevice, Device<PitState> {
  readonly #rate = new TickRate(PIT_HZ);
  readonly #counters = [new Counter(true), new Counter(true), new Counter(false)];
  readonly #options: PitOptions;
  readonly #minimumNs: number;
  readonly #timer: Timer;
  #output = true;
  #portB = 0;
  #lastChange = 0;
  #due = -1;
  #tone = 0;

  constructor(options: PitOptions) {
    this.#options = options;
    this.#minimumNs = options.minimumPeriodNs ?? 20_000;
    this.#timer = options.timers.createTimer(() => this.#expired());
    // OUT of an unprogrammed counter is high, so that programming it makes no edge.
    options.irq.set(true);
  }

  /** Claims 0x40-0x43 and 0x61. */
  attach(ports: Ports): void {
    ports.add(0x40, 4, this, { name: "8254" });
    ports.add(0x61, 1, this, { name: "port B" });
  }

  readPort(port: number): number {
    switch (port) {
      case 0x40:
      case 0x41:
      case 0x42:
        return this.#counters[port & 3].read(this.#tick());
      case 0x61:
        return this.#readPortB();
      default:
        return 0xff;
    }
  }

  writePort(port: number, _size: number, value: number): void {
    const tick = this.#tick();
    // An edge whose time has come must not get lost because the guest writes before the timer fires.
    if (this.#due >= 0 && tick >= this.#due) this.#expired();
    switch (port) {
      case 0x40:
      case 0x41:
      case 0x42:
        this.#counters[port & 3].write(tick, value);
        if (port === 0x40) this.#schedule(tick);
        break;
      case 0x43:
        this.#control(tick, value);
        break;
      case 0x61:
        this.#portB = value & PORT_B_WRITABLE;
        this.#counters[2].setGate(tick, (value & PORT_B_GATE2) !== 0);
        break;
      default:
        return;
    }
    this.#updateTone();
  }

  reset(): void {
    for (const counter of this.#counters) counter.reset();
    this.#portB = 0;
    this.#lastChange = 0;
    this.#due = -1;
    this.#timer.cancel();
    this.#drive(true);
    this.#updateTone();
  }

  save(): PitState {
    return {
      counters: this.#counters.map((counter) => counter.save()),
      output: this.#output,
      portB: this.#portB,
      lastChange: this.#lastChange,
      due: this.#due,
    };
  }

  load(state: unknown): void {
    const s = copyState(this.save(), state, "pit.state");
    for (const [i, counter] of this.#counters.entries()) counter.load(s.counters[i]);
    this.#portB = s.portB & PORT_B_WRITABLE;
    this.#output = s.output;
    this.#options.irq.set(s.output);
    this.#lastChange = s.lastChange;
    this.#due = s.due;
    this.#arm();
    this.#updateTone();
  }

  #tick(): number {
    return this.#rate.ticks(this.#options.timers.now());
  }

  #control(tick: number, value: number): void {
    const select = value >> 6;
    if (select === READ_BACK) {
      for (let i = 0; i < 3; i++) {
        if (!(value & (2 << i))) continue;
        if (!(value & 0x20)) this.#counters[i].latchCount(tick);
        if (!(value & 0x10)) this.#counters[i].latchStatus(tick);
      }
    } else if (((value >> 4) & 3) === RW_LATCH) {
      this.#counters[select].latchCount(tick);
    } else {
      this.#counters[select].control(value);
      if (select === 0) this.#schedule(tick);
    }
  }

  #readPortB(): number {
    const now = this.#options.timers.now();
    return (
      this.#portB |
      (Math.floor(now / REFRESH_NS) & 1 ? 0x10 : 0) |
      (this.#counters[2].output(this.#rate.ticks(now)) ? 0x20 : 0)
    );
  }

  /** Brings IRQ 0 to the level OUT has now and waits for the next change. */
  #schedule(tick: number): void {
    this.#drive(this.#counters[0].output(tick));
    this.#due = this.#counters[0].nextChange(tick);
    this.#arm();
  }

  #arm(): void {
    if (this.#due < 0) this.#timer.cancel();
    else this.#timer.arm(Math.max(this.#rate.nanoseconds(this.#due), this.#lastChange + this.#minimumNs));
  }

  #expired(): void {
    const now = this.#options.timers.now();
    const tick = this.#rate.ticks(now);
    if (this.#due < 0 || tick < this.#due) return this.#arm();
    this.#lastChange = now;
    const counter = this.#counters[0];
    // The pulses of modes 2 and 4 are over when the timer fires: their rising edge remains to be shown. The same holds
    // for mode 3 when the timer came so late that at least one change was missed.
    if (counter.mode === 2 || counter.mode >= 4 || (counter.mode === 3 && counter.output(tick) === this.#output)) {
      this.#drive(false);
      this.#drive(true);
      this.#due = counter.nextChange(tick);
      this.#arm();
    } else {
      this.#schedule(tick);
    }
  }

  #drive(level: boolean): void {
    if (level === this.#output) return;
    this.#output = level;
    this.#options.irq.set(level);
  }

  #updateTone(): void {
    const on = (this.#portB & (PORT_B_GATE2 | PORT_B_SPEAKER)) === (PORT_B_GATE2 | PORT_B_SPEAKER);
    const counter = this.#counters[2];
    const hz = on && counter.mode === 3 ? PIT_HZ / counter.reload : 0;
    if (hz === this.#tone) return;
    this.#tone = hz;
    this.#options.speaker?.tone(hz);
  }
}
