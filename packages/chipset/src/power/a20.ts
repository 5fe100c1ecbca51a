import type { Device } from "../interfaces.js";
import { copyState } from "../state.js";

/** State of the gate. */
export interface A20State {
  enabled: boolean;
}

/**
 * The A20 gate: one latch that the i8042's output port and port 0x92 both write. While it is closed the CPU's address
 * bit 20 is zero.
 */
export class A20Gate implements Device<A20State> {
  #enabled: boolean;
  readonly #atReset: boolean;
  readonly #changed: (enabled: boolean) => void;

  /**
   * @param changed told of every change
   * @param atReset level after reset; open by default, as boot loaders find it
   */
  constructor(changed: (enabled: boolean) => void, atReset = true) {
    this.#changed = changed;
    this.#atReset = atReset;
    this.#enabled = atReset;
  }

  get enabled(): boolean {
    return this.#enabled;
  }

  set(enabled: boolean): void {
    if (enabled === this.#enabled) return;
    this.#enabled = enabled;
    this.#changed(enabled);
  }

  reset(): void {
    this.set(this.#atReset);
  }

  save(): A20State {
    return { enabled: this.#enabled };
  }

  load(state: unknown): void {
    this.set(copyState(this.save(), state, "a20.state").enabled);
  }
}
