import { ChipsetError } from "../error.js";
import type { Device, InterruptLine, MmioDevice } from "../interfaces.js";
import { copyState } from "../state.js";
import { type ApicMessage, type DeliveryMode, type EoiListener, isFixed, widenDestination } from "./message.js";

/** Where a PC has its first I/O APIC. */
export const IO_APIC_BASE = 0xfec0_0000;

const PINS = 24;
/** 0x20 has the EOI register. */
const VERSION = 0x20 | ((PINS - 1) << 16);

const IOREGSEL = 0x00;
const IOWIN = 0x10;
const EOI = 0x40;

const RTE_LOGICAL = 0x800;
const RTE_REMOTE_IRR = 0x4000;
const RTE_LEVEL = 0x8000;
const RTE_MASKED = 0x1_0000;
/** Vector, delivery mode, destination mode, polarity, trigger mode, mask. */
const RTE_LOW_WRITABLE = 0x1_afff;
/** Destination: bits 63-56, and 55-48 as the extended destination ID of 15-bit MSIs. */
const RTE_HIGH_WRITABLE = 0xffff_0000;

/** What takes the I/O APIC's messages. */
export interface MessageSink {
  /** Returns whether a local APIC accepted the message. */
  send(message: ApicMessage): boolean;
}

export interface IoApicOptions {
  readonly bus: MessageSink;
  /** APIC ID after reset, as the MADT says; 4 bits. */
  readonly id?: number;
}

function initialState() {
  return {
    id: 0,
    /** IOREGSEL. */
    select: 0,
    /** Levels of the pins, already without their polarity: true = asserted. */
    lines: 0,
    /** Redirection table, low and high halves. */
    low: new Array<number>(PINS).fill(RTE_MASKED),
    high: new Array<number>(PINS).fill(0),
  };
}

/** State of the I/O APIC. */
export type IoApicState = ReturnType<typeof initialState>;

/**
 * 82093AA I/O APIC with 24 pins and the later EOI register (ICH data sheet, "I/O APIC"). Lines are levels of the
 * signal, not of the pin: the polarity bits of the table are kept for the guest but change nothing.
 */
export class IoApic implements MmioDevice, EoiListener, Device<IoApicState> {
  #s = initialState();
  readonly #bus: MessageSink;
  readonly #resetId: number;

  constructor(options: IoApicOptions) {
    this.#bus = options.bus;
    this.#resetId = (options.id ?? 0) & 15;
    this.reset();
  }

  /**
   * The input for a pin (GSI) from 0 to 23.
   * @throws ChipsetError `bad-range`
   */
  line(pin: number): InterruptLine {
    if (!Number.isInteger(pin) || pin < 0 || pin >= PINS) {
      throw new ChipsetError("bad-range", `io-apic pin ${pin}`, `the I/O APIC has pins 0 to ${PINS - 1}`);
    }
    return { set: (level) => this.#setLine(pin, level) };
  }

  readMmio(offset: number, size: 1 | 2 | 4): number {
    const byte = offset & 3;
    const value = this.#readRegister(offset & 0xfc) >>> (byte * 8);
    return size === 4 ? value : value & (size === 2 ? 0xffff : 0xff);
  }

  writeMmio(offset: number, size: 1 | 2 | 4, value: number): void {
    switch (offset & 0xff) {
      case IOREGSEL:
        this.#s.select = value & 0xff;
        break;
      case IOWIN:
        // The window takes whole registers only.
        if (size === 4) this.#writeIndexed(value);
        break;
      case EOI:
        this.endOfInterrupt(value & 0xff);
        break;
    }
  }

  /** A local APIC's EOI message or a write of the EOI register: pins that are still asserted interrupt again. */
  endOfInterrupt(vector: number): void {
    const s = this.#s;
    for (let pin = 0; pin < PINS; pin++) {
      if ((s.low[pin] & 0xff) !== vector || !(s.low[pin] & RTE_REMOTE_IRR)) continue;
      s.low[pin] &= ~RTE_REMOTE_IRR;
      this.#serveLevel(pin);
    }
  }

  reset(): void {
    const { lines } = this.#s;
    this.#s = { ...initialState(), lines, id: this.#resetId };
  }

  save(): IoApicState {
    return copyState(this.#s, this.#s, "io-apic");
  }

  load(state: unknown): void {
    this.#s = copyState(this.#s, state, "io-apic.state");
  }

  #setLine(pin: number, level: boolean): void {
    const s = this.#s;
    const bit = 1 << pin;
    const before = (s.lines & bit) !== 0;
    if (before === level) return;
    s.lines = level ? s.lines | bit : s.lines & ~bit;
    if (!level) return;
    if (s.low[pin] & RTE_LEVEL) this.#serveLevel(pin);
    // An edge on a masked pin is lost (data sheet, "Interrupt mask").
    else if (!(s.low[pin] & RTE_MASKED)) this.#send(pin, "edge");
  }

  #serveLevel(pin: number): void {
    const s = this.#s;
    const low = s.low[pin];
    if (!(s.lines & (1 << pin)) || !(low & RTE_LEVEL) || low & (RTE_MASKED | RTE_REMOTE_IRR)) return;
    // Other modes are edges whatever the trigger bit says; Remote IRR belongs to fixed ones. It is set before the
    // message goes out because the EOI may come back from within.
    if (!isFixed(((low >> 8) & 7) as DeliveryMode)) {
      this.#send(pin, "edge");
      return;
    }
    s.low[pin] |= RTE_REMOTE_IRR;
    if (!this.#send(pin, "level")) s.low[pin] &= ~RTE_REMOTE_IRR;
  }

  #send(pin: number, trigger: "edge" | "level"): boolean {
    const low = this.#s.low[pin];
    const high = this.#s.high[pin];
    return this.#bus.send({
      destination: widenDestination((high >>> 24) | (((high >>> 17) & 0x7f) << 8)),
      destinationMode: low & RTE_LOGICAL ? "logical" : "physical",
      deliveryMode: ((low >> 8) & 7) as DeliveryMode,
      vector: low & 0xff,
      level: true,
      trigger,
    });
  }

  #readRegister(offset: number): number {
    if (offset === IOREGSEL) return this.#s.select;
    return offset === IOWIN ? this.#readIndexed() : 0;
  }

  #readIndexed(): number {
    const s = this.#s;
    switch (s.select) {
      case 0: // ID
      case 2: // arbitration ID
        return s.id << 24;
      case 1:
        return VERSION;
    }
    const pin = (s.select - 0x10) >> 1;
    if (s.select < 0x10 || pin >= PINS) return 0;
    return s.select & 1 ? s.high[pin] : s.low[pin];
  }

  #writeIndexed(value: number): void {
    const s = this.#s;
    if (s.select === 0) s.id = (value >>> 24) & 15;
    const pin = (s.select - 0x10) >> 1;
    if (s.select < 0x10 || pin >= PINS) return;
    if (s.select & 1) {
      s.high[pin] = value & RTE_HIGH_WRITABLE;
      return;
    }
    // Drivers of chips without an EOI register clear Remote IRR by making the pin edge-triggered for a moment.
    const remoteIrr = value & RTE_LEVEL ? s.low[pin] & RTE_REMOTE_IRR : 0;
    s.low[pin] = (value & RTE_LOW_WRITABLE) | remoteIrr;
    this.#serveLevel(pin);
  }
}
