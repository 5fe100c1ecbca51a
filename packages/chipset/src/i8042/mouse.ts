import type { Device } from "../interfaces.js";
import { copyState } from "../state.js";
import { ByteQueue, type ByteQueueState } from "./byte-queue.js";
import { Ps2, type Ps2Device } from "./ps2-device.js";

const SCALING_1 = 0xe6;
const SCALING_2 = 0xe7;
const SET_RESOLUTION = 0xe8;
const STATUS_REQUEST = 0xe9;
const STREAM_MODE = 0xea;
const READ_DATA = 0xeb;
const RESET_WRAP = 0xec;
const WRAP_MODE = 0xee;
const REMOTE_MODE = 0xf0;
const SET_SAMPLE_RATE = 0xf3;
/** Sample rates in this order turn a mouse into one with a wheel (ID 3). */
const WHEEL_KNOCK = (200 << 16) | (100 << 8) | 80;

function initialState() {
  return {
    reporting: false,
    remote: false,
    wrap: false,
    scaling2: false,
    resolution: 2,
    sampleRate: 100,
    /** The last three sample rates, one per byte. */
    rates: 0,
    wheel: false,
    command: 0,
    lastSent: 0,
    /** Buttons: 1 = left, 2 = right, 4 = middle. */
    buttons: 0,
    /** Movement not yet reported. */
    dx: 0,
    dy: 0,
    dz: 0,
    changed: false,
  };
}

/** State of the mouse. */
export type MouseState = ReturnType<typeof initialState> & { queue: ByteQueueState };

/** A PS/2 mouse, with a wheel for drivers that ask for one. */
export class Mouse implements Ps2Device, Device<MouseState> {
  #s = initialState();
  readonly #queue = new ByteQueue(16);
  readonly #ready: () => void;

  /** @param ready there are bytes to fetch */
  constructor(ready: () => void) {
    this.#ready = ready;
  }

  /**
   * Moves the mouse (right and up are positive, as PS/2 counts), turns the wheel, sets the buttons (1 = left, 2 = right,
   * 4 = middle). Movements add up while the guest does not fetch them.
   */
  move(dx: number, dy: number, buttons: number, wheel = 0): void {
    const s = this.#s;
    s.dx = clamp(s.dx + Math.trunc(dx), 32767);
    s.dy = clamp(s.dy + Math.trunc(dy), 32767);
    s.dz = clamp(s.dz + Math.trunc(wheel), 127);
    s.buttons = buttons & 7;
    s.changed = true;
    this.#report();
    this.#ready();
  }

  receive(byte: number): void {
    const s = this.#s;
    const { command } = s;
    s.command = 0;
    if (s.wrap && byte !== Ps2.Reset && byte !== RESET_WRAP) this.#answer(byte);
    else if (command === SET_SAMPLE_RATE) this.#setSampleRate(byte);
    else if (command === SET_RESOLUTION) {
      s.resolution = byte & 3;
      this.#answer(Ps2.Ack);
    } else this.#command(byte);
    this.#ready();
  }

  shift(): number {
    const byte = this.#queue.shift();
    if (byte >= 0) this.#s.lastSent = byte;
    if (this.#queue.length === 0) this.#report();
    return byte;
  }

  reset(): void {
    this.#s = initialState();
    this.#queue.clear();
  }

  save(): MouseState {
    return { ...copyState(this.#s, this.#s, "mouse"), queue: this.#queue.save() };
  }

  load(state: unknown): void {
    this.#s = copyState(this.#s, state, "mouse.state");
    this.#queue.load((state as MouseState).queue, "mouse.state.queue");
  }

  #answer(...bytes: number[]): void {
    for (const byte of bytes) this.#queue.push(byte);
  }

  #command(byte: number): void {
    const s = this.#s;
    if (byte === Ps2.ResendCommand) return this.#answer(s.lastSent);
    this.#queue.clear();
    switch (byte) {
      case SCALING_1:
      case SCALING_2:
        s.scaling2 = byte === SCALING_2;
        break;
      case SET_RESOLUTION:
      case SET_SAMPLE_RATE:
        s.command = byte;
        break;
      case STATUS_REQUEST:
        return this.#answer(Ps2.Ack, this.#status(), s.resolution, s.sampleRate);
      case STREAM_MODE:
        s.remote = false;
        break;
      case REMOTE_MODE:
        s.remote = true;
        break;
      case WRAP_MODE:
        s.wrap = true;
        break;
      case RESET_WRAP:
        s.wrap = false;
        break;
      case READ_DATA:
        this.#answer(Ps2.Ack);
        return this.#packet();
      case Ps2.Identify:
        return this.#answer(Ps2.Ack, s.wheel ? 3 : 0);
      case Ps2.EnableReporting:
        s.reporting = true;
        break;
      case Ps2.DisableReporting:
        s.reporting = false;
        break;
      case Ps2.SetDefaults:
        this.#s = { ...initialState(), wheel: s.wheel, buttons: s.buttons, lastSent: s.lastSent };
        break;
      case Ps2.Reset:
        this.reset();
        return this.#answer(Ps2.Ack, Ps2.SelfTestPassed, 0);
      default:
        return this.#answer(Ps2.Resend);
    }
    this.#answer(Ps2.Ack);
  }

  #setSampleRate(rate: number): void {
    const s = this.#s;
    s.sampleRate = rate;
    s.rates = ((s.rates << 8) | rate) & 0xff_ffff;
    if (s.rates === WHEEL_KNOCK) s.wheel = true;
    this.#answer(Ps2.Ack);
  }

  #status(): number {
    const s = this.#s;
    const buttons = (s.buttons & 1 ? 4 : 0) | (s.buttons & 4 ? 2 : 0) | (s.buttons & 2 ? 1 : 0);
    return (s.remote ? 0x40 : 0) | (s.reporting ? 0x20 : 0) | (s.scaling2 ? 0x10 : 0) | buttons;
  }

  /** In stream mode a movement becomes a packet once the last packet has gone. */
  #report(): void {
    const s = this.#s;
    if (s.changed && s.reporting && !s.remote && !s.wrap && this.#queue.length === 0) this.#packet();
  }

  #packet(): void {
    const s = this.#s;
    const dx = clamp(s.dx, 255);
    const dy = clamp(s.dy, 255);
    this.#queue.push(0x08 | s.buttons | (dx < 0 ? 0x10 : 0) | (dy < 0 ? 0x20 : 0));
    this.#queue.push(dx);
    this.#queue.push(dy);
    s.dx -= dx;
    s.dy -= dy;
    if (s.wheel) {
      // The wheel counts the other way round: positive is towards the user.
      const dz = clamp(s.dz, 7);
      this.#queue.push(-dz);
      s.dz -= dz;
    } else s.dz = 0;
    s.changed = s.dx !== 0 || s.dy !== 0 || s.dz !== 0;
  }
}

function clamp(value: number, limit: number): number {
  return Math.max(-limit, Math.min(limit, value));
}
