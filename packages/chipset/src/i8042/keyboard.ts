import type { Device } from "../interfaces.js";
import { copyState } from "../state.js";
import { ByteQueue, type ByteQueueState } from "./byte-queue.js";
import { Ps2, type Ps2Device } from "./ps2-device.js";
import { type KeyCode, sequence, translate } from "./scancodes.js";

const SET_LEDS = 0xed;
const ECHO = 0xee;
const SCAN_CODE_SET = 0xf0;
const SET_TYPEMATIC = 0xf3;
/** What an MF2 keyboard says it is. */
const IDENTITY = [0xab, 0x83];
const DEFAULT_TYPEMATIC = 0x2b;

/** LED bits of the Set LEDs command. */
export const Led = { ScrollLock: 1, NumLock: 2, CapsLock: 4 } as const;

function initialState() {
  return {
    scanning: true,
    set: 2,
    leds: 0,
    typematic: DEFAULT_TYPEMATIC,
    /** Command whose argument comes next, 0 = none. */
    command: 0,
    lastSent: 0,
  };
}

/** State of the keyboard. */
export type KeyboardState = ReturnType<typeof initialState> & { queue: ByteQueueState };

/** An MF2 keyboard with scan code sets 1 and 2. */
export class Keyboard implements Ps2Device, Device<KeyboardState> {
  #s = initialState();
  readonly #queue = new ByteQueue(16);
  readonly #ready: () => void;
  readonly #ledsChanged?: (leds: number) => void;

  /**
   * @param ready there are bytes to fetch
   * @param ledsChanged the guest has set the LEDs ({@link Led})
   */
  constructor(ready: () => void, ledsChanged?: (leds: number) => void) {
    this.#ready = ready;
    this.#ledsChanged = ledsChanged;
  }

  get leds(): number {
    return this.#s.leds;
  }

  /**
   * A key goes down or up; repetitions are further downs. Returns false when it got lost because the guest does not
   * fetch its keys or has switched scanning off.
   */
  sendKey(key: KeyCode, down: boolean): boolean {
    if (!this.#s.scanning) return false;
    const bytes = this.#s.set === 1 ? toSet1(sequence(key, down)) : sequence(key, down);
    if (bytes.length > this.#queue.room) return false;
    for (const byte of bytes) this.#queue.push(byte);
    this.#ready();
    return true;
  }

  receive(byte: number): void {
    const { command } = this.#s;
    this.#s.command = 0;
    // Bytes above the arguments' range are commands, whatever was expected.
    if (command !== 0 && byte < 0x80) this.#argument(command, byte);
    else this.#command(byte);
    this.#ready();
  }

  shift(): number {
    const byte = this.#queue.shift();
    if (byte >= 0) this.#s.lastSent = byte;
    return byte;
  }

  reset(): void {
    this.#s = initialState();
    this.#queue.clear();
    this.#ledsChanged?.(0);
  }

  save(): KeyboardState {
    return { ...copyState(this.#s, this.#s, "keyboard"), queue: this.#queue.save() };
  }

  load(state: unknown): void {
    this.#s = copyState(this.#s, state, "keyboard.state");
    this.#queue.load((state as KeyboardState).queue, "keyboard.state.queue");
    this.#ledsChanged?.(this.#s.leds);
  }

  #answer(...bytes: number[]): void {
    for (const byte of bytes) this.#queue.push(byte);
  }

  #command(byte: number): void {
    const s = this.#s;
    if (byte === Ps2.ResendCommand) return this.#answer(s.lastSent);
    // A command empties the buffer: its answer must be the next thing the host sees.
    this.#queue.clear();
    switch (byte) {
      case SET_LEDS:
      case SCAN_CODE_SET:
      case SET_TYPEMATIC:
        s.command = byte;
        return this.#answer(Ps2.Ack);
      case ECHO:
        return this.#answer(ECHO);
      case Ps2.Identify:
        return this.#answer(Ps2.Ack, ...IDENTITY);
      case Ps2.EnableReporting:
        s.scanning = true;
        return this.#answer(Ps2.Ack);
      case Ps2.DisableReporting:
        this.#defaults(false);
        return this.#answer(Ps2.Ack);
      case Ps2.SetDefaults:
        this.#defaults(true);
        return this.#answer(Ps2.Ack);
      case Ps2.Reset:
        this.reset();
        return this.#answer(Ps2.Ack, Ps2.SelfTestPassed);
      default:
        return this.#answer(Ps2.Resend);
    }
  }

  #argument(command: number, byte: number): void {
    const s = this.#s;
    switch (command) {
      case SET_LEDS:
        s.leds = byte & 7;
        this.#ledsChanged?.(s.leds);
        return this.#answer(Ps2.Ack);
      case SET_TYPEMATIC:
        s.typematic = byte;
        return this.#answer(Ps2.Ack);
      default:
        // Scan code set: 0 asks for the present one; set 3 is not there.
        if (byte === 0) return this.#answer(Ps2.Ack, s.set);
        if (byte > 2) return this.#answer(Ps2.Resend);
        s.set = byte;
        return this.#answer(Ps2.Ack);
    }
  }

  #defaults(scanning: boolean): void {
    this.#s = { ...this.#s, scanning, set: 2, typematic: DEFAULT_TYPEMATIC };
  }
}

function toSet1(bytes: readonly number[]): number[] {
  const result: number[] = [];
  let released = false;
  for (const byte of bytes) {
    const code = translate(byte, released);
    released = code < 0;
    if (code >= 0) result.push(code);
  }
  return result;
}
