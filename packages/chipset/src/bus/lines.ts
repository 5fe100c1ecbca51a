import type { InterruptLine } from "../interfaces.js";

/** A line that nothing listens to. */
export const unconnected: InterruptLine = { set() {} };

/** One wire to several inputs, e.g. an ISA IRQ to both the 8259A and the I/O APIC. */
export function fanOut(...inputs: readonly InterruptLine[]): InterruptLine {
  return {
    set(level) {
      for (const input of inputs) input.set(level);
    },
  };
}

/**
 * Several outputs on one wire (wired-OR): asserted while any source asserts it. The level of each source is not state
 * of its own: after a `load` the devices drive their sources again.
 */
export class SharedLine {
  readonly #output: InterruptLine;
  #asserted = 0;

  constructor(output: InterruptLine) {
    this.#output = output;
  }

  /** A further source for the wire. */
  source(): InterruptLine {
    let mine = false;
    return {
      set: (level) => {
        if (level === mine) return;
        mine = level;
        this.#asserted += level ? 1 : -1;
        this.#output.set(this.#asserted > 0);
      },
    };
  }
}
