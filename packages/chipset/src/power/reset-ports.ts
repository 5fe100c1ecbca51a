import type { Ports } from "../bus/ports.js";
import type { Device, PortDevice } from "../interfaces.js";
import { copyState } from "../state.js";
import type { A20Gate } from "./a20.js";

const FAST_RESET = 0x01;
const FAST_A20 = 0x02;

/** State of port 0x92. */
export interface Port92State {
  value: number;
}

/** System control port A at 0x92: fast A20 and fast CPU reset. */
export class Port92 implements PortDevice, Device<Port92State> {
  #value = 0;
  readonly #a20: A20Gate;
  readonly #reset: () => void;

  /** @param reset bit 0 has gone from 0 to 1 */
  constructor(a20: A20Gate, reset: () => void) {
    this.#a20 = a20;
    this.#reset = reset;
  }

  attach(ports: Ports): void {
    ports.add(0x92, 1, this, { name: "port 0x92" });
  }

  readPort(): number {
    return (this.#value & ~FAST_A20) | (this.#a20.enabled ? FAST_A20 : 0);
  }

  writePort(_port: number, _size: number, value: number): void {
    const rising = value & ~this.#value & FAST_RESET;
    this.#value = value;
    this.#a20.set((value & FAST_A20) !== 0);
    if (rising) this.#reset();
  }

  reset(): void {
    this.#value = 0;
  }

  save(): Port92State {
    return { value: this.#value };
  }

  load(state: unknown): void {
    this.#value = copyState(this.save(), state, "port92.state").value & 0xff;
  }
}

/** The I/O port of the reset control register; the FADT names it. */
export const RESET_CONTROL_PORT = 0xcf9;
/** A write of this value resets the machine. */
export const RESET_CONTROL_VALUE = 0x06;

const SYSTEM_RESET = 0x02;
const RESET_CPU = 0x04;
const FULL_RESET = 0x08;

/** State of the reset control register. */
export interface ResetControlState {
  value: number;
}

/** Reset control register at 0xCF9 (PIIX and ICH data sheets). */
export class ResetControl implements PortDevice, Device<ResetControlState> {
  #value = 0;
  readonly #reset: (hard: boolean) => void;

  /** @param reset bit 2 has gone from 0 to 1; `hard`: bit 1 was set, all devices are reset too */
  constructor(reset: (hard: boolean) => void) {
    this.#reset = reset;
  }

  attach(ports: Ports): void {
    ports.add(RESET_CONTROL_PORT, 1, this, { name: "reset control" });
  }

  readPort(): number {
    return this.#value;
  }

  writePort(_port: number, _size: number, value: number): void {
    const rising = value & ~this.#value & RESET_CPU;
    this.#value = value & (SYSTEM_RESET | RESET_CPU | FULL_RESET);
    if (rising) this.#reset((value & SYSTEM_RESET) !== 0);
  }

  reset(): void {
    this.#value = 0;
  }

  save(): ResetControlState {
    return { value: this.#value };
  }

  load(state: unknown): void {
    this.#value = copyState(this.save(), state, "reset-control.state").value & 0x0e;
  }
}
