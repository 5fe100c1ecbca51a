import type { Ports } from "../bus/ports.js";
import type { Device, InterruptLine, PortDevice, Timer, TimerSource } from "../interfaces.js";
import { copyState } from "../state.js";
import { TickRate } from "../ticks.js";

/** Frequency of the ACPI PM timer. */
export const PM_TIMER_HZ = 3_579_545;
/** SLP_TYP of S5 as the DSDT's \_S5 package gives it. */
export const S5_SLEEP_TYPE = 5;

/** Where the registers are; the FADT repeats it. */
export const ACPI_PM_PORTS = {
  pm1aEvent: 0x600,
  pm1aControl: 0x604,
  pmTimer: 0x608,
  gpe0: 0x620,
} as const;
/** Bytes of the GPE0 block: status and enable for 16 events. */
export const GPE0_LENGTH = 4;
export const GPE_COUNT = 16;

const TIMER_STATUS = 0x0001;
const GLOBAL_STATUS = 0x0020;
const POWER_BUTTON_STATUS = 0x0100;
const SLEEP_BUTTON_STATUS = 0x0200;
const RTC_STATUS = 0x0400;
const WAKE_STATUS = 0x8000;
const STATUS_BITS = TIMER_STATUS | GLOBAL_STATUS | POWER_BUTTON_STATUS | SLEEP_BUTTON_STATUS | RTC_STATUS | WAKE_STATUS;
const ENABLE_BITS = TIMER_STATUS | GLOBAL_STATUS | POWER_BUTTON_STATUS | SLEEP_BUTTON_STATUS | RTC_STATUS;
const SCI_ENABLE = 0x0001;
const SLEEP_ENABLE = 0x2000;
const CONTROL_BITS = 0x1c07;

export interface AcpiPmOptions {
  readonly timers: TimerSource;
  /** The SCI, IRQ 9, level-triggered. */
  readonly sci: InterruptLine;
  /** The guest enters S5 (soft-off). */
  readonly powerOff: () => void;
  /** Width of the PM timer; 32 when absent. The FADT's TMR_VAL_EXT must agree. */
  readonly timerBits?: 24 | 32;
}

function initialState() {
  return {
    status: 0,
    enable: 0,
    control: SCI_ENABLE,
    gpeStatus: 0,
    gpeEnable: 0,
    /** Levels of the GPE inputs. */
    gpeLevels: 0,
    /** PM timer ticks at which TMR_STS was last brought up to date. */
    settledTicks: 0,
  };
}

/** State of the ACPI registers. */
export type AcpiPmState = ReturnType<typeof initialState>;

/**
 * ACPI fixed hardware (ACPI 6.3, chapter 4): PM1a event and control blocks, PM timer, GPE0 block. There is no SMI
 * command port: the machine is always in ACPI mode.
 */
export class AcpiPm implements PortDevice, Device<AcpiPmState> {
  #s = initialState();
  readonly #o: AcpiPmOptions;
  readonly #rate = new TickRate(PM_TIMER_HZ);
  readonly #timer: Timer;
  /** Ticks between two changes of the timer's most significant bit. */
  readonly #half: number;
  #sci = false;

  constructor(options: AcpiPmOptions) {
    this.#o = options;
    this.#half = options.timerBits === 24 ? 2 ** 23 : 2 ** 31;
    this.#timer = options.timers.createTimer(() => this.#update());
    this.#s.settledTicks = this.#ticks();
  }

  /** Claims the four blocks of {@link ACPI_PM_PORTS}. */
  attach(ports: Ports): void {
    ports.add(ACPI_PM_PORTS.pm1aEvent, 4, this, { width: 4, name: "PM1a event" });
    ports.add(ACPI_PM_PORTS.pm1aControl, 2, this, { width: 2, name: "PM1a control" });
    ports.add(ACPI_PM_PORTS.pmTimer, 4, this, { width: 4, name: "PM timer" });
    ports.add(ACPI_PM_PORTS.gpe0, GPE0_LENGTH, this, { width: 4, name: "GPE0" });
  }

  /** A person presses the power button; the guest learns of it by the SCI. */
  pressPowerButton(): void {
    this.#s.status |= POWER_BUTTON_STATUS;
    this.#update();
  }

  /** The same for the sleep button. */
  pressSleepButton(): void {
    this.#s.status |= SLEEP_BUTTON_STATUS;
    this.#update();
  }

  /** The input of general-purpose event 0-15: the status bit stays up as long as the line does. */
  gpe(event: number): InterruptLine {
    const bit = 1 << (event & (GPE_COUNT - 1));
    return {
      set: (level) => {
        const s = this.#s;
        s.gpeLevels = level ? s.gpeLevels | bit : s.gpeLevels & ~bit;
        this.#update();
      },
    };
  }

  readPort(port: number, size: number): number {
    const block = port & ~3;
    const value = this.#readBlock(block) >>> ((port & 3) * 8);
    return size === 4 ? value : value & (size === 2 ? 0xffff : 0xff);
  }

  writePort(port: number, size: number, value: number): void {
    const block = port & ~3;
    const shift = (port & 3) * 8;
    const mask = ((size === 4 ? 0xffff_ffff : size === 2 ? 0xffff : 0xff) << shift) >>> 0;
    this.#writeBlock(block, (value << shift) >>> 0, mask);
    this.#update();
  }

  reset(): void {
    const { gpeLevels } = this.#s;
    this.#s = { ...initialState(), gpeLevels, settledTicks: this.#ticks() };
    this.#update();
  }

  save(): AcpiPmState {
    this.#update();
    return copyState(this.#s, this.#s, "acpi-pm");
  }

  load(state: unknown): void {
    this.#s = copyState(this.#s, state, "acpi-pm.state");
    this.#update();
  }

  #ticks(): number {
    return this.#rate.ticks(this.#o.timers.now());
  }

  #readBlock(block: number): number {
    const s = this.#s;
    switch (block) {
      case ACPI_PM_PORTS.pm1aEvent:
        this.#update();
        return s.status | (s.enable << 16);
      case ACPI_PM_PORTS.pm1aControl:
        return s.control;
      case ACPI_PM_PORTS.pmTimer:
        return this.#ticks() % (2 * this.#half);
      default:
        return s.gpeStatus | (s.gpeEnable << 16);
    }
  }

  /** Bytes outside `mask` keep what they have; status bits are cleared by ones. */
  #writeBlock(block: number, value: number, mask: number): void {
    const s = this.#s;
    const high = value >>> 16;
    const highMask = mask >>> 16;
    switch (block) {
      case ACPI_PM_PORTS.pm1aEvent:
        // An overflow of the timer before this write must not show up after it.
        this.#update();
        s.status &= ~(value & mask & 0xffff);
        s.enable = ((s.enable & ~highMask) | (high & highMask)) & ENABLE_BITS;
        break;
      case ACPI_PM_PORTS.pm1aControl:
        s.control = (s.control & ~mask) | (value & mask & CONTROL_BITS) | SCI_ENABLE;
        if (value & mask & SLEEP_ENABLE && ((s.control >> 10) & 7) === S5_SLEEP_TYPE) this.#o.powerOff();
        break;
      case ACPI_PM_PORTS.gpe0:
        s.gpeStatus &= ~(value & mask & 0xffff);
        s.gpeEnable = (s.gpeEnable & ~highMask) | (high & highMask);
        break;
    }
  }

  /** Brings TMR_STS up to date, drives the SCI and waits for the timer's next overflow if the guest wants to know. */
  #update(): void {
    const s = this.#s;
    const ticks = this.#ticks();
    if (Math.floor(ticks / this.#half) !== Math.floor(s.settledTicks / this.#half)) s.status |= TIMER_STATUS;
    s.settledTicks = ticks;
    s.status &= STATUS_BITS;
    s.gpeStatus |= s.gpeLevels;
    const sci = (s.status & s.enable) !== 0 || (s.gpeStatus & s.gpeEnable) !== 0;
    if (sci !== this.#sci) {
      this.#sci = sci;
      this.#o.sci.set(sci);
    }
    if (s.enable & TIMER_STATUS && !(s.status & TIMER_STATUS)) {
      this.#timer.arm(this.#rate.nanoseconds((Math.floor(ticks / this.#half) + 1) * this.#half));
    } else this.#timer.cancel();
  }
}
