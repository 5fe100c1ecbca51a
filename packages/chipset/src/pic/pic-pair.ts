import type { Ports } from "../bus/ports.js";
import { ChipsetError } from "../error.js";
import type { Device, InterruptLine, PortDevice } from "../interfaces.js";
import { I8259a, type I8259aState } from "./i8259a.js";

/** Ports of the PC's two interrupt controllers. */
export const PIC_PORTS = { master: 0x20, slave: 0xa0, elcr: 0x4d0 } as const;

/** The master's input that carries the slave. */
const CASCADE_INPUT = 2;
/** IRQ 0, 1 and 2 are always edge-triggered; so are 8 (RTC) and 13 (FERR#). */
const MASTER_ELCR_MASK = 0xf8;
const SLAVE_ELCR_MASK = 0xde;

/** State of the pair. */
export interface PicPairState {
  master: I8259aState;
  slave: I8259aState;
  output: boolean;
}

/**
 * The two cascaded 8259As of a PC with their edge/level control registers. The CPU (or a local APIC whose LINT0 is in
 * ExtINT mode) watches INTR and calls {@link PicPair.acknowledge} when it takes the interrupt.
 */
export class PicPair implements PortDevice, Device<PicPairState> {
  readonly #master = new I8259a(1 << CASCADE_INPUT, MASTER_ELCR_MASK);
  readonly #slave = new I8259a(0, SLAVE_ELCR_MASK);
  readonly #intr: InterruptLine;
  #output = false;

  /** @param intr the INTR wire to the CPU; called only when the level changes */
  constructor(intr: InterruptLine) {
    this.#intr = intr;
  }

  /** Claims 0x20-0x21, 0xA0-0xA1 and 0x4D0-0x4D1. */
  attach(ports: Ports): void {
    ports.add(PIC_PORTS.master, 2, this, { name: "master 8259A" });
    ports.add(PIC_PORTS.slave, 2, this, { name: "slave 8259A" });
    ports.add(PIC_PORTS.elcr, 2, this, { name: "ELCR" });
  }

  /** Level of INTR. */
  get output(): boolean {
    return this.#output;
  }

  /**
   * The input for ISA IRQ 0-15 (2 is the cascade and cannot be had).
   * @throws ChipsetError `bad-range`
   */
  line(irq: number): InterruptLine {
    if (!Number.isInteger(irq) || irq < 0 || irq > 15 || irq === CASCADE_INPUT) {
      throw new ChipsetError("bad-range", `irq ${irq}`, "the 8259A pair has inputs 0, 1 and 3 to 15");
    }
    const chip = irq < 8 ? this.#master : this.#slave;
    const input = irq & 7;
    return {
      set: (level) => {
        chip.setInput(input, level);
        this.#update();
      },
    };
  }

  /**
   * The CPU's interrupt acknowledge cycle.
   * @returns the vector; the one of input 7 when the request has gone meanwhile (spurious)
   */
  acknowledge(): number {
    const input = this.#master.acknowledge();
    // A spurious answer of the master is 7, so 2 means that the cascade really asked.
    if (input !== CASCADE_INPUT) {
      this.#update();
      return this.#master.vector(input);
    }
    const vector = this.#slave.vector(this.#slave.acknowledge());
    this.#slaveAcknowledged();
    return vector;
  }

  readPort(port: number): number {
    switch (port) {
      case 0x20:
        return this.#read(this.#master, false);
      case 0x21:
        return this.#read(this.#master, true);
      case 0xa0:
        return this.#read(this.#slave, false);
      case 0xa1:
        return this.#read(this.#slave, true);
      case 0x4d0:
        return this.#master.elcr;
      case 0x4d1:
        return this.#slave.elcr;
      default:
        return 0xff;
    }
  }

  writePort(port: number, _size: number, value: number): void {
    switch (port) {
      case 0x20:
        this.#master.writeCommand(value);
        break;
      case 0x21:
        this.#master.writeData(value);
        break;
      case 0xa0:
        this.#slave.writeCommand(value);
        break;
      case 0xa1:
        this.#slave.writeData(value);
        break;
      case 0x4d0:
        this.#master.elcr = value;
        break;
      case 0x4d1:
        this.#slave.elcr = value;
        break;
    }
    this.#update();
  }

  reset(): void {
    this.#master.reset();
    this.#slave.reset();
    this.#update();
  }

  save(): PicPairState {
    return { master: this.#master.save(), slave: this.#slave.save(), output: this.#output };
  }

  load(state: unknown): void {
    const given = (state ?? {}) as Partial<PicPairState>;
    if (typeof given.output !== "boolean")
      throw new ChipsetError("bad-state", "pic.state.output", "expected a boolean");
    this.#master.load(given.master);
    this.#slave.load(given.slave);
    this.#output = given.output;
    this.#intr.set(this.#output);
    // The cascade's line and INTR follow from the rest, whatever the state says of them.
    this.#update();
  }

  #read(chip: I8259a, data: boolean): number {
    const polled = chip.polled;
    const value = data ? chip.readData() : chip.readCommand();
    // A read in poll mode acknowledges, which changes the outputs.
    if (polled && chip === this.#slave) this.#slaveAcknowledged();
    else if (polled) this.#update();
    return value;
  }

  /** INT falls with every acknowledge; when the slave has more to ask it makes a new edge for the master. */
  #slaveAcknowledged(): void {
    this.#master.setInput(CASCADE_INPUT, false);
    this.#update();
  }

  #update(): void {
    this.#master.setInput(CASCADE_INPUT, this.#slave.output);
    const output = this.#master.output;
    if (output === this.#output) return;
    this.#output = output;
    this.#intr.set(output);
  }
}
