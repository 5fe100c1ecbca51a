import type { Ports } from "../bus/ports.js";
import type { Device, InterruptLine, PortDevice, Timer, TimerSource } from "../interfaces.js";
import { copyState } from "../state.js";
import { anyFlag, clearFifo, dropByte, emptyFifo, FIFO_SIZE, pushByte, repairFifo } from "./byte-fifo.js";
import { loopedModem, type ModemInputs, modemBits } from "./modem.js";
import {
  CLOCK_HZ,
  FCR_ENABLE,
  IER_MSI,
  IER_RDA,
  IER_RLS,
  IER_THRE,
  IIR_NONE,
  IIR_RDA,
  IIR_RLS,
  IIR_THRE,
  IIR_TIMEOUT,
  LCR_BREAK,
  LCR_DLAB,
  LSR_BI,
  LSR_DR,
  LSR_ERRORS,
  LSR_FE,
  LSR_FIFO_ERROR,
  LSR_OE,
  LSR_TEMT,
  LSR_THRE,
  MCR_LOOP,
  MCR_OUT2,
  TRIGGER_LEVELS,
} from "./uart-registers.js";

/** The PC's four serial ports. */
export const COM_PORTS = [
  { base: 0x3f8, irq: 4 },
  { base: 0x2f8, irq: 3 },
  { base: 0x3e8, irq: 4 },
  { base: 0x2e8, irq: 3 },
] as const;

/** What the UART needs from whatever is on the other end of the line. */
export interface SerialLink {
  /** Takes a byte; false = not now: the byte stays in the transmitter until {@link Uart16550a.resumeTransmit}. */
  transmit(byte: number): boolean;
  /** The next byte for the guest, -1 = none now; {@link Uart16550a.resumeReceive} tells of new ones. */
  receive?(): number;
  /** DTR, RTS, OUT1, OUT2 (bits 0-3 of MCR) have changed. */
  modemOutputs?(mcr: number): void;
  /** The guest starts or ends a break. */
  break?(on: boolean): void;
}

export interface UartOptions {
  readonly timers: TimerSource;
  readonly irq: InterruptLine;
  readonly link: SerialLink;
  /** Modem inputs at power-on; CTS, DSR and DCD asserted when absent (a terminal is there). */
  readonly modem?: ModemInputs;
  readonly name?: string;
}

function initialState() {
  return {
    ier: 0,
    fcr: 0,
    lcr: 0,
    mcr: 0,
    scratch: 0,
    divisor: 12,
    /** LSR bits 1 (overrun); the other errors travel with their bytes. */
    overrun: false,
    /** Modem status: delta bits 0-3, levels 4-7. */
    msr: 0,
    /** The transmitter-empty interrupt is due; reading IIR or writing THR clears it. */
    threPending: false,
    /** Nothing was read or received for four characters' time. */
    timeout: false,
    /** Clock time at which that will be so, -1 = not counting. */
    timeoutAt: -1,
    rx: emptyFifo(),
    tx: emptyFifo(),
    /** The error flags of the oldest byte have been read from LSR. */
    errorsRead: false,
  };
}

/** State of a UART. */
export type UartState = ReturnType<typeof initialState> & { modem: number };

/**
 * 16550A UART (National PC16550D data sheet) on a PC serial port: eight ports, interrupts gated by OUT2. Bytes move as
 * fast as both ends take them; the baud rate matters only for the receive time-out. No byte is ever lost to overrun,
 * except in loopback, where the guest drives both ends.
 */
export class Uart16550a implements PortDevice, Device<UartState> {
  #s = initialState();
  readonly #o: UartOptions;
  readonly #timer: Timer;
  /** Levels of CTS, DSR, RI, DCD in bits 4-7, as MSR has them. */
  #modem: number;
  #irq = false;

  constructor(options: UartOptions) {
    this.#o = options;
    this.#modem = modemBits(options.modem ?? { cts: true, dsr: true, ri: false, dcd: true });
    this.#timer = options.timers.createTimer(() => this.#timeoutExpired());
    this.reset();
  }

  /** Claims the eight ports from `base`. */
  attach(ports: Ports, base: number): void {
    ports.add(base, 8, this, { name: this.#o.name ?? `16550A 0x${base.toString(16)}` });
  }

  readPort(port: number): number {
    const s = this.#s;
    switch (port & 7) {
      case 0:
        return s.lcr & LCR_DLAB ? s.divisor & 0xff : this.#readReceiver();
      case 1:
        return s.lcr & LCR_DLAB ? s.divisor >> 8 : s.ier;
      case 2:
        return this.#readIir();
      case 3:
        return s.lcr;
      case 4:
        return s.mcr;
      case 5:
        return this.#readLsr();
      case 6:
        return this.#readMsr();
      default:
        return s.scratch;
    }
  }

  writePort(port: number, _size: number, value: number): void {
    const s = this.#s;
    switch (port & 7) {
      case 0:
        if (s.lcr & LCR_DLAB) s.divisor = (s.divisor & 0xff00) | value;
        else this.#writeTransmitter(value);
        break;
      case 1:
        if (s.lcr & LCR_DLAB) s.divisor = (s.divisor & 0xff) | (value << 8);
        else this.#writeIer(value & 0x0f);
        break;
      case 2:
        this.#writeFcr(value);
        break;
      case 3:
        if ((s.lcr ^ value) & LCR_BREAK) this.#setBreak((value & LCR_BREAK) !== 0);
        s.lcr = value;
        break;
      case 4:
        this.#writeMcr(value & 0x1f);
        break;
      case 7:
        s.scratch = value;
        break;
    }
    this.#update();
  }

  /** The link has room again after `transmit` returned false. */
  resumeTransmit(): void {
    this.#drain();
    this.#update();
  }

  /** The link has bytes again after `receive` returned -1. */
  resumeReceive(): void {
    this.#fill();
    this.#update();
  }

  /** The other end sends a break: a zero byte with framing error and break flag. Dropped when the receiver is full. */
  receiveBreak(): void {
    if (this.#s.mcr & MCR_LOOP || this.#s.rx.count >= this.#capacity) return;
    this.#receive(0, LSR_BI | LSR_FE);
    this.#update();
  }

  /** Levels of the modem inputs. */
  setModemInputs(inputs: ModemInputs): void {
    this.#modem = modemBits(inputs);
    this.#updateModem();
    this.#update();
  }

  reset(): void {
    const driven = this.#s.mcr !== 0;
    this.#s = initialState();
    this.#s.msr = this.#modem;
    this.#timer.cancel();
    if (driven) this.#o.link.modemOutputs?.(0);
    this.#update();
  }

  save(): UartState {
    return { ...copyState(this.#s, this.#s, "uart"), modem: this.#modem };
  }

  load(state: unknown): void {
    const { modem, ...s } = copyState(this.save(), state, "uart.state");
    repairFifo(s.rx);
    repairFifo(s.tx);
    this.#s = s;
    this.#modem = modem & 0xf0;
    if (s.timeoutAt >= 0) this.#timer.arm(s.timeoutAt);
    else this.#timer.cancel();
    this.#irq = this.#interrupting;
    this.#o.irq.set(this.#irq);
  }

  get #fifos(): boolean {
    return (this.#s.fcr & FCR_ENABLE) !== 0;
  }

  get #capacity(): number {
    return this.#fifos ? FIFO_SIZE : 1;
  }

  get #trigger(): number {
    return this.#fifos ? TRIGGER_LEVELS[this.#s.fcr >> 6] : 1;
  }

  /** Time of four characters, ns. */
  get #fourCharacters(): number {
    const s = this.#s;
    const bits = 7 + (s.lcr & 3) + (s.lcr & 4 ? 1 : 0) + (s.lcr & 8 ? 1 : 0);
    return (4 * bits * 16 * Math.max(1, s.divisor) * 1e9) / CLOCK_HZ;
  }

  // ---- receiver

  #readReceiver(): number {
    const { rx } = this.#s;
    if (rx.count === 0) {
      // Without FIFOs the receiver buffer keeps its last byte.
      return this.#fifos ? 0 : rx.bytes[(rx.head + FIFO_SIZE - 1) % FIFO_SIZE];
    }
    const byte = rx.bytes[rx.head];
    dropByte(rx);
    this.#s.errorsRead = false;
    this.#restartTimeout();
    this.#fill();
    this.#update();
    return byte;
  }

  #fill(): void {
    const s = this.#s;
    if (s.mcr & MCR_LOOP || !this.#o.link.receive) return;
    const before = s.rx.count;
    while (s.rx.count < this.#capacity) {
      const byte = this.#o.link.receive();
      if (byte < 0) break;
      pushByte(s.rx, byte & 0xff, 0);
    }
    if (s.rx.count > before) this.#restartTimeout();
  }

  #receive(byte: number, flags: number): void {
    pushByte(this.#s.rx, byte, flags);
    this.#restartTimeout();
  }

  /** Counts only while there are bytes below the trigger level, and nothing else interrupts for them. */
  #restartTimeout(): void {
    const s = this.#s;
    s.timeout = false;
    if (this.#fifos && s.rx.count > 0) {
      s.timeoutAt = Math.ceil(this.#o.timers.now() + this.#fourCharacters);
      this.#timer.arm(s.timeoutAt);
    } else if (s.timeoutAt >= 0) {
      s.timeoutAt = -1;
      this.#timer.cancel();
    }
  }

  #timeoutExpired(): void {
    const s = this.#s;
    if (s.timeoutAt < 0) return;
    if (this.#o.timers.now() < s.timeoutAt) {
      this.#timer.arm(s.timeoutAt);
      return;
    }
    s.timeoutAt = -1;
    s.timeout = s.rx.count > 0;
    this.#update();
  }

  // ---- transmitter

  #writeTransmitter(byte: number): void {
    const s = this.#s;
    s.threPending = false;
    if (s.mcr & MCR_LOOP) {
      this.#loopBack(byte);
      s.threPending = true;
      return;
    }
    // A guest that writes although the transmitter is full loses the byte, as the data sheet has it.
    if (s.tx.count < this.#capacity) pushByte(s.tx, byte, 0);
    this.#drain();
  }

  #drain(): void {
    const { tx } = this.#s;
    if (tx.count === 0) return;
    while (tx.count > 0 && this.#o.link.transmit(tx.bytes[tx.head])) dropByte(tx);
    if (tx.count === 0) this.#s.threPending = true;
  }

  #loopBack(byte: number): void {
    const s = this.#s;
    if (s.rx.count < this.#capacity) this.#receive(byte, 0);
    else {
      s.overrun = true;
      // With FIFOs the new byte is lost, without them the old one.
      if (!this.#fifos) s.rx.bytes[s.rx.head] = byte;
    }
  }

  #setBreak(on: boolean): void {
    const s = this.#s;
    if (!(s.mcr & MCR_LOOP)) this.#o.link.break?.(on);
    else if (on && s.rx.count < this.#capacity) this.#receive(0, LSR_BI | LSR_FE);
  }

  // ---- control

  #writeIer(value: number): void {
    const s = this.#s;
    // Enabling the transmitter interrupt while the transmitter is empty interrupts at once; drivers start sending so.
    if (value & ~s.ier & IER_THRE && s.tx.count === 0) s.threPending = true;
    s.ier = value;
  }

  #writeFcr(value: number): void {
    const s = this.#s;
    const toggled = (s.fcr ^ value) & FCR_ENABLE;
    if (toggled || value & 0x02) {
      clearFifo(s.rx);
      s.errorsRead = false;
      this.#restartTimeout();
    }
    if (toggled || value & 0x04) {
      if (s.tx.count > 0) s.threPending = true;
      clearFifo(s.tx);
    }
    s.fcr = value & FCR_ENABLE ? value & 0xc9 : 0;
    this.#fill();
  }

  #writeMcr(value: number): void {
    const s = this.#s;
    const before = s.mcr;
    s.mcr = value;
    if ((before ^ value) & (0x0f | MCR_LOOP)) this.#o.link.modemOutputs?.(value & MCR_LOOP ? 0 : value & 0x0f);
    this.#updateModem();
    if (before & ~value & MCR_LOOP) this.#fill();
  }

  #updateModem(): void {
    const s = this.#s;
    const levels = s.mcr & MCR_LOOP ? loopedModem(s.mcr) : this.#modem;
    const changed = (levels ^ s.msr) & 0xf0;
    let deltas = (changed >> 4) & 0x0b;
    // The ring indicator counts when it ends.
    if (changed & 0x40 && !(levels & 0x40)) deltas |= 0x04;
    s.msr = levels | (s.msr & 0x0f) | deltas;
  }

  // ---- status

  #readLsr(): number {
    const s = this.#s;
    const { rx, tx } = s;
    let value = tx.count === 0 ? LSR_THRE | LSR_TEMT : 0;
    if (rx.count > 0) {
      value |= LSR_DR;
      if (!s.errorsRead) value |= rx.flags[rx.head] & LSR_ERRORS;
      if (this.#fifos && anyFlag(rx, LSR_ERRORS)) value |= LSR_FIFO_ERROR;
    }
    if (s.overrun) value |= LSR_OE;
    s.overrun = false;
    s.errorsRead = rx.count > 0;
    this.#update();
    return value;
  }

  #readMsr(): number {
    const s = this.#s;
    const value = s.msr;
    s.msr &= 0xf0;
    this.#update();
    return value;
  }

  #readIir(): number {
    const s = this.#s;
    const id = this.#interruptId();
    if (id === IIR_THRE) {
      s.threPending = false;
      this.#update();
    }
    return id | (this.#fifos ? 0xc0 : 0);
  }

  /** The pending interrupt of the highest priority, as IIR bits 3-0. */
  #interruptId(): number {
    const s = this.#s;
    const { rx, ier } = s;
    const lineError = s.overrun || (rx.count > 0 && !s.errorsRead && (rx.flags[rx.head] & LSR_ERRORS) !== 0);
    if (ier & IER_RLS && lineError) return IIR_RLS;
    if (ier & IER_RDA && rx.count >= this.#trigger) return IIR_RDA;
    if (ier & IER_RDA && s.timeout && rx.count > 0) return IIR_TIMEOUT;
    if (ier & IER_THRE && s.threPending) return IIR_THRE;
    if (ier & IER_MSI && s.msr & 0x0f) return 0;
    return IIR_NONE;
  }

  /** OUT2 connects the interrupt to the bus; loopback disconnects it. */
  get #interrupting(): boolean {
    return (this.#s.mcr & (MCR_OUT2 | MCR_LOOP)) === MCR_OUT2 && this.#interruptId() !== IIR_NONE;
  }

  #update(): void {
    const level = this.#interrupting;
    if (level === this.#irq) return;
    this.#irq = level;
    this.#o.irq.set(level);
  }
}
