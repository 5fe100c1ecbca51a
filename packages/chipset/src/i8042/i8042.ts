import type { Ports } from "../bus/ports.js";
import type { Device, InterruptLine, PortDevice } from "../interfaces.js";
import type { A20Gate } from "../power/a20.js";
import { copyState } from "../state.js";
import { ByteQueue, type ByteQueueState } from "./byte-queue.js";
import { Keyboard, type KeyboardState } from "./keyboard.js";
import { Mouse, type MouseState } from "./mouse.js";
import { translate } from "./scancodes.js";

const STATUS_OBF = 0x01;
const STATUS_SYSTEM = 0x04;
const STATUS_COMMAND = 0x08;
/** The keyboard is not locked. */
const STATUS_UNLOCKED = 0x10;
const STATUS_AUX = 0x20;

const CTR_KEYBOARD_IRQ = 0x01;
const CTR_AUX_IRQ = 0x02;
const CTR_SYSTEM = 0x04;
const CTR_KEYBOARD_OFF = 0x10;
const CTR_AUX_OFF = 0x20;
const CTR_TRANSLATE = 0x40;

const OUT_NOT_RESET = 0x01;
const OUT_A20 = 0x02;

/** Sources of the byte in the output buffer; the first has priority. */
const FROM_CONTROLLER = 0;
const FROM_KEYBOARD = 1;
const FROM_AUX = 2;

export interface I8042Options {
  /** IRQ 1. */
  readonly keyboardIrq: InterruptLine;
  /** IRQ 12. */
  readonly auxIrq: InterruptLine;
  readonly a20: A20Gate;
  /** The guest pulses the CPU's reset line (command 0xFE, or bit 0 of the output port). */
  readonly reset: () => void;
  readonly ledsChanged?: (leds: number) => void;
}

function initialState() {
  return {
    /** The command byte (RAM byte 0). */
    ctr: CTR_SYSTEM | CTR_KEYBOARD_IRQ | CTR_TRANSLATE,
    ram: new Array<number>(32).fill(0),
    /** The system flag: the self-test has passed. */
    system: false,
    lastWasCommand: false,
    /** Command whose data byte comes next, 0 = none. */
    command: 0,
    full: false,
    data: 0,
    source: FROM_CONTROLLER as number,
    /** F0 has gone through the translation. */
    released: false,
  };
}

/** State of the controller and what hangs on it. */
export type I8042State = ReturnType<typeof initialState> & {
  answers: ByteQueueState;
  keyboard: KeyboardState;
  mouse: MouseState;
};

/** The PC's keyboard controller (8042, PS/2 type) at ports 0x60 and 0x64, with a keyboard and a mouse attached. */
export class I8042 implements PortDevice, Device<I8042State> {
  readonly keyboard: Keyboard;
  readonly mouse: Mouse;
  #s = initialState();
  /** Answers of the controller itself. */
  readonly #answers = new ByteQueue(16);
  readonly #o: I8042Options;
  #keyboardIrq = false;
  #auxIrq = false;

  constructor(options: I8042Options) {
    this.#o = options;
    const ready = () => this.#advance();
    this.keyboard = new Keyboard(ready, options.ledsChanged);
    this.mouse = new Mouse(ready);
  }

  /** Claims 0x60 and 0x64. */
  attach(ports: Ports): void {
    ports.add(0x60, 1, this, { name: "i8042 data" });
    ports.add(0x64, 1, this, { name: "i8042 command" });
  }

  readPort(port: number): number {
    return port === 0x64 ? this.#status() : this.#readData();
  }

  writePort(port: number, _size: number, value: number): void {
    if (port === 0x64) this.#writeCommand(value);
    else this.#writeData(value);
    this.#advance();
  }

  reset(): void {
    this.#s = initialState();
    this.#answers.clear();
    this.keyboard.reset();
    this.mouse.reset();
    this.#drive();
  }

  save(): I8042State {
    return {
      ...copyState(this.#s, this.#s, "i8042"),
      answers: this.#answers.save(),
      keyboard: this.keyboard.save(),
      mouse: this.mouse.save(),
    };
  }

  load(state: unknown): void {
    const given = state as I8042State;
    this.#s = copyState(this.#s, state, "i8042.state");
    this.#answers.load(given.answers, "i8042.state.answers");
    this.keyboard.load(given.keyboard);
    this.mouse.load(given.mouse);
    this.#drive();
  }

  #status(): number {
    const s = this.#s;
    return (
      STATUS_UNLOCKED |
      (s.full ? STATUS_OBF : 0) |
      (s.full && s.source === FROM_AUX ? STATUS_AUX : 0) |
      (s.system || s.ctr & CTR_SYSTEM ? STATUS_SYSTEM : 0) |
      (s.lastWasCommand ? STATUS_COMMAND : 0)
    );
  }

  #readData(): number {
    const { data } = this.#s;
    this.#s.full = false;
    // The interrupt falls with the read, so that the next byte makes an edge of its own.
    this.#drive();
    this.#advance();
    return data;
  }

  #writeCommand(value: number): void {
    const s = this.#s;
    s.lastWasCommand = true;
    s.command = 0;
    if (value >= 0x20 && value < 0x40) return this.#answer(value === 0x20 ? s.ctr : s.ram[value & 31]);
    if (value >= 0xf0) {
      // Pulses the output port lines whose bits are zero; line 0 is the CPU's reset.
      if (!(value & OUT_NOT_RESET)) this.#o.reset();
      return;
    }
    switch (value) {
      case 0xa7:
        s.ctr |= CTR_AUX_OFF;
        break;
      case 0xa8:
        s.ctr &= ~CTR_AUX_OFF;
        break;
      case 0xa9: // test of the aux port's wires: good
      case 0xab: // the same for the keyboard's
        return this.#answer(0x00);
      case 0xaa: // self-test: passed
        s.system = true;
        return this.#answer(0x55);
      case 0xad:
        s.ctr |= CTR_KEYBOARD_OFF;
        break;
      case 0xae:
        s.ctr &= ~CTR_KEYBOARD_OFF;
        break;
      case 0xc0: // input port: keyboard not inhibited, no manufacturing jumper
        return this.#answer(0xb0);
      case 0xd0:
        return this.#answer(this.#outputPort());
      case 0xd1: // write output port
      case 0xd2: // write keyboard output buffer
      case 0xd3: // write aux output buffer
      case 0xd4: // write to the aux device
        s.command = value;
        break;
      case 0xdd:
        this.#o.a20.set(false);
        break;
      case 0xdf:
        this.#o.a20.set(true);
        break;
      default:
        if (value >= 0x60 && value < 0x80) s.command = value;
    }
  }

  #writeData(value: number): void {
    const s = this.#s;
    const { command } = s;
    s.lastWasCommand = false;
    s.command = 0;
    switch (command) {
      case 0:
        // Sending wakes a disabled keyboard's clock.
        s.ctr &= ~CTR_KEYBOARD_OFF;
        this.keyboard.receive(value);
        break;
      case 0x60:
        s.ctr = value;
        this.#drive();
        break;
      case 0xd1:
        this.#o.a20.set((value & OUT_A20) !== 0);
        if (!(value & OUT_NOT_RESET)) this.#o.reset();
        break;
      case 0xd2:
        this.#fill(FROM_KEYBOARD, value);
        break;
      case 0xd3:
        this.#fill(FROM_AUX, value);
        break;
      case 0xd4:
        s.ctr &= ~CTR_AUX_OFF;
        this.mouse.receive(value);
        break;
      default:
        s.ram[command & 31] = value;
    }
  }

  #outputPort(): number {
    const s = this.#s;
    return (
      0xcc |
      OUT_NOT_RESET |
      (this.#o.a20.enabled ? OUT_A20 : 0) |
      (s.full && s.source !== FROM_AUX ? 0x10 : 0) |
      (s.full && s.source === FROM_AUX ? 0x20 : 0)
    );
  }

  #answer(byte: number): void {
    // Nobody fetches more than one answer at a time; old ones that nobody wanted make room.
    if (this.#answers.room === 0) this.#answers.clear();
    this.#answers.push(byte);
  }

  /** Puts the next waiting byte into the output buffer, when that is free. */
  #advance(): void {
    const s = this.#s;
    if (s.full) return;
    const answer = this.#answers.shift();
    if (answer >= 0) return this.#fill(FROM_CONTROLLER, answer);
    if (!(s.ctr & CTR_KEYBOARD_OFF)) {
      let byte = this.keyboard.shift();
      while (byte >= 0) {
        const code = s.ctr & CTR_TRANSLATE ? translate(byte, s.released) : byte;
        s.released = code < 0;
        if (code >= 0) return this.#fill(FROM_KEYBOARD, code);
        byte = this.keyboard.shift();
      }
    }
    if (s.ctr & CTR_AUX_OFF) return;
    const byte = this.mouse.shift();
    if (byte >= 0) this.#fill(FROM_AUX, byte);
  }

  /** A byte that the guest puts there by command replaces an unread one, as on the chip. */
  #fill(source: number, data: number): void {
    const s = this.#s;
    s.full = false;
    this.#drive();
    s.full = true;
    s.source = source;
    s.data = data;
    this.#drive();
  }

  #drive(): void {
    const s = this.#s;
    const keyboard = s.full && s.source !== FROM_AUX && (s.ctr & CTR_KEYBOARD_IRQ) !== 0;
    const aux = s.full && s.source === FROM_AUX && (s.ctr & CTR_AUX_IRQ) !== 0;
    if (keyboard !== this.#keyboardIrq) {
      this.#keyboardIrq = keyboard;
      this.#o.keyboardIrq.set(keyboard);
    }
    if (aux !== this.#auxIrq) {
      this.#auxIrq = aux;
      this.#o.auxIrq.set(aux);
    }
  }
}
