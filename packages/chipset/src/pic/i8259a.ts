import { copyState } from "../state.js";

/** Where the chip is in its initialisation sequence (the next command word it waits for on the odd port). */
const Init = { Done: 0, Never: 1, Icw2: 2, Icw3: 3, Icw4: 4 } as const;

const ICW1_ICW4_NEEDED = 0x01;
const ICW1_SINGLE = 0x02;
const ICW1 = 0x10;
const ICW4_AUTO_EOI = 0x02;
const ICW4_SPECIAL_FULLY_NESTED = 0x10;
const OCW3 = 0x08;

function initialState() {
  return {
    /** Levels of the eight IR inputs. */
    lines: 0,
    /** Interrupt request register: latched edges and asserted level inputs. */
    irr: 0,
    /** In-service register. */
    isr: 0,
    /** Interrupt mask register. */
    imr: 0,
    /** Edge/level control register: a set bit makes the input level-triggered. */
    elcr: 0,
    vectorBase: 0,
    /** The input with the lowest priority; the one after it has the highest. */
    lowest: 7,
    /** After power-on the chip is silent until it is initialised. */
    init: Init.Never as number,
    icw1: 0,
    icw4: 0,
    specialMask: false,
    rotateOnAutoEoi: false,
    /** OCW3 chose ISR rather than IRR for reads of the even port. */
    readIsr: false,
    /** OCW3 asked for a poll: the next read acknowledges. */
    poll: false,
  };
}

/** State of one 8259A. */
export type I8259aState = ReturnType<typeof initialState>;

/**
 * One Intel 8259A programmable interrupt controller (data sheet 231468), with the PC's per-input edge/level control.
 * Inputs and vectors only; {@link PicPair} has the ports and the cascade.
 */
export class I8259a {
  #s = initialState();

  /**
   * @param cascade bits of the IR inputs that carry another 8259A (special fully nested mode treats those differently)
   * @param elcrMask inputs that may be made level-triggered
   */
  constructor(
    private readonly cascade: number,
    private readonly elcrMask: number,
  ) {}

  /** Level of the INT output. */
  get output(): boolean {
    return this.#highestRequest() >= 0;
  }

  setInput(input: number, level: boolean): void {
    const s = this.#s;
    const bit = 1 << input;
    if (level) {
      if ((s.elcr | ~s.lines) & bit) s.irr |= bit;
      s.lines |= bit;
    } else {
      // The request must stay up until the acknowledge in both modes (data sheet, "Edge and level triggered modes").
      s.irr &= ~bit;
      s.lines &= ~bit;
    }
  }

  /**
   * The INTA sequence: puts the highest request into service.
   * @returns the input number; 7 without anything in service when the request has gone (spurious)
   */
  acknowledge(): number {
    const input = this.#highestRequest();
    if (input < 0) return 7;
    const s = this.#s;
    const bit = 1 << input;
    if (!(s.elcr & bit)) s.irr &= ~bit;
    if (s.icw4 & ICW4_AUTO_EOI) {
      if (s.rotateOnAutoEoi) s.lowest = input;
    } else {
      s.isr |= bit;
    }
    return input;
  }

  /** The vector of an input. */
  vector(input: number): number {
    return this.#s.vectorBase | input;
  }

  /** Whether the next read acknowledges (OCW3's poll command). */
  get polled(): boolean {
    return this.#s.poll;
  }

  readCommand(): number {
    const s = this.#s;
    if (s.poll) return this.#readPoll();
    return s.readIsr ? s.isr : s.irr;
  }

  readData(): number {
    return this.#s.poll ? this.#readPoll() : this.#s.imr;
  }

  writeCommand(value: number): void {
    if (value & ICW1) this.#initialise(value);
    else if (value & OCW3) this.#operation3(value);
    else this.#operation2(value);
  }

  writeData(value: number): void {
    const s = this.#s;
    switch (s.init) {
      case Init.Icw2:
        s.vectorBase = value & 0xf8;
        s.init = s.icw1 & ICW1_SINGLE ? this.#afterIcw3() : Init.Icw3;
        break;
      case Init.Icw3:
        // The cascade is soldered: the value changes nothing.
        s.init = this.#afterIcw3();
        break;
      case Init.Icw4:
        s.icw4 = value & 0x1f;
        s.init = Init.Done;
        break;
      default:
        s.imr = value;
    }
  }

  get elcr(): number {
    return this.#s.elcr;
  }

  set elcr(value: number) {
    const s = this.#s;
    s.elcr = value & this.elcrMask;
    // An asserted level input requests at once; a latch of an input that turned level-triggered follows its wire.
    s.irr = (s.irr & ~s.elcr) | (s.lines & s.elcr);
  }

  reset(): void {
    const { lines } = this.#s;
    this.#s = { ...initialState(), lines };
  }

  save(): I8259aState {
    return copyState(this.#s, this.#s, "i8259a");
  }

  load(state: unknown): void {
    const s = copyState(this.#s, state, "i8259a.state");
    s.lowest &= 7;
    this.#s = s;
  }

  #initialise(icw1: number): void {
    const s = this.#s;
    s.icw1 = icw1;
    s.init = Init.Icw2;
    s.imr = 0;
    s.isr = 0;
    // The edge sense circuit is reset: a latched input must make a new low-to-high transition.
    s.irr = s.lines & s.elcr;
    s.lowest = 7;
    s.specialMask = false;
    s.readIsr = false;
    s.poll = false;
    s.rotateOnAutoEoi = false;
    s.icw4 = 0;
  }

  #afterIcw3(): number {
    return this.#s.icw1 & ICW1_ICW4_NEEDED ? Init.Icw4 : Init.Done;
  }

  #operation2(value: number): void {
    const s = this.#s;
    const level = value & 7;
    switch (value >> 5) {
      case 0: // rotate in automatic EOI mode: clear
        s.rotateOnAutoEoi = false;
        break;
      case 1: // non-specific EOI
        this.#endOfInterrupt(this.#highestInService(), false);
        break;
      case 3: // specific EOI
        this.#endOfInterrupt(level, false);
        break;
      case 4: // rotate in automatic EOI mode: set
        s.rotateOnAutoEoi = true;
        break;
      case 5: // rotate on non-specific EOI
        this.#endOfInterrupt(this.#highestInService(), true);
        break;
      case 6: // set priority
        s.lowest = level;
        break;
      case 7: // rotate on specific EOI
        this.#endOfInterrupt(level, true);
        break;
    }
  }

  #operation3(value: number): void {
    const s = this.#s;
    if (value & 0x40) s.specialMask = (value & 0x20) !== 0;
    // A poll waits for its read, whatever other OCW3 comes in between.
    if (value & 0x04) s.poll = true;
    else if (value & 0x02) s.readIsr = (value & 0x01) !== 0;
  }

  #endOfInterrupt(input: number, rotate: boolean): void {
    if (input < 0) return;
    this.#s.isr &= ~(1 << input);
    if (rotate) this.#s.lowest = input;
  }

  #readPoll(): number {
    this.#s.poll = false;
    const input = this.#highestRequest();
    if (input < 0) return 0;
    this.acknowledge();
    return 0x80 | input;
  }

  /** The first set input in priority order, -1 when there is none. */
  #first(bits: number): number {
    if (bits === 0) return -1;
    const top = this.#s.lowest + 1;
    for (let i = 0; i < 8; i++) {
      const input = (top + i) & 7;
      if (bits & (1 << input)) return input;
    }
    return -1;
  }

  #highestRequest(): number {
    const s = this.#s;
    const request = this.#first(s.irr & ~s.imr);
    if (request < 0 || s.init !== Init.Done) return -1;
    let blocking = s.isr;
    // In special mask mode a masked level in service holds nothing back.
    if (s.specialMask) blocking &= ~s.imr;
    // In special fully nested mode the slave may interrupt itself.
    if (s.icw4 & ICW4_SPECIAL_FULLY_NESTED) blocking &= ~this.cascade;
    const service = this.#first(blocking);
    if (service < 0) return request;
    const top = this.#s.lowest + 1;
    return ((request - top) & 7) < ((service - top) & 7) ? request : -1;
  }

  /** What a non-specific EOI ends: in special mask mode a masked level is not touched by it. */
  #highestInService(): number {
    const s = this.#s;
    return this.#first(s.specialMask ? s.isr & ~s.imr : s.isr);
  }
}
