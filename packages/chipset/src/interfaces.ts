/** Guest time. */
export interface Clock {
  /** Nanoseconds since the machine started, monotonic. */
  now(): number;
}

/** A one-shot alarm on a {@link Clock}. */
export interface Timer {
  /** Fires once at this Clock time (ns), replacing an earlier deadline. A deadline in the past fires as soon as possible. */
  arm(deadlineNs: number): void;
  /** Forgets the deadline, if any. */
  cancel(): void;
}

/** A clock that can also wake a device up. The callback must not run inside `arm`. */
export interface TimerSource extends Clock {
  createTimer(callback: () => void): Timer;
}

/** A wire into an interrupt controller (or any other level signal). */
export interface InterruptLine {
  /** Level of the wire: true = asserted. */
  set(level: boolean): void;
}

/** A device on I/O ports. `size` is 1, 2 or 4 (bytes); `port` is the absolute port number; values are unsigned. */
export interface PortDevice {
  readPort(port: number, size: number): number;
  writePort(port: number, size: number, value: number): void;
}

/** A device on memory addresses. `offset` counts from its base; values are unsigned. */
export interface MmioDevice {
  readMmio(offset: number, size: 1 | 2 | 4): number;
  writeMmio(offset: number, size: 1 | 2 | 4, value: number): void;
}

/**
 * What every device of this package offers besides its registers.
 *
 * `save` returns plain data (numbers, booleans, arrays, objects: JSON carries it without loss). Times inside are
 * {@link Clock} times, so whoever loads a state first sets the clock to the moment of the save.
 */
export interface Device<State> {
  /** As after power-on or RESET#. */
  reset(): void;
  /** A complete copy of the state. */
  save(): State;
  /**
   * Takes over a saved state; input levels and timers follow from it.
   * @throws ChipsetError `bad-state` when it does not have the shape that `save` gives.
   */
  load(state: unknown): void;
}
