import {
  fanOut,
  type InterruptLine,
  IO_APIC_BASE,
  IoApic,
  type IoApicState,
  type MessageSink,
  type MmioBus,
  type MmioDevice,
  PicPair,
  type PicPairState,
  type Ports,
} from "@softmetal/chipset";
import type { InterruptSink } from "./platform.js";

/** As they are saved. */
export interface ControllerStates {
  pic: PicPairState;
  ioApic: IoApicState;
}

/** The 8259A pair and the I/O APIC as devices, for engines that have none of their own. */
export class InterruptControllers implements InterruptSink {
  readonly pic: PicPair;
  readonly ioApic: IoApic;

  constructor(
    /** The 8259A pair's INTR wire, to LINT0 of the boot processor's local APIC. */
    intr: InterruptLine,
    /** Takes the I/O APIC's messages, wherever the local APICs are. */
    bus: MessageSink,
  ) {
    this.pic = new PicPair(intr);
    this.ioApic = new IoApic({ bus });
  }

  /** An ISA interrupt reaches both controllers; the timer's IRQ 0 is pin 2 of the I/O APIC, as the MADT says. */
  isa(irq: number): InterruptLine {
    return fanOut(this.pic.line(irq), this.ioApic.line(irq === 0 ? 2 : irq));
  }

  /** @param written called after every write to the I/O APIC's registers */
  attach(ports: Ports, mmio: MmioBus, written?: () => void): void {
    this.pic.attach(ports);
    const { ioApic } = this;
    const device: MmioDevice = written
      ? {
          readMmio: (offset, size) => ioApic.readMmio(offset, size),
          writeMmio: (offset, size, value) => {
            ioApic.writeMmio(offset, size, value);
            written();
          },
        }
      : ioApic;
    mmio.add(IO_APIC_BASE, 0x1000, device, "I/O APIC");
  }

  reset(): void {
    this.pic.reset();
    this.ioApic.reset();
  }

  save(): ControllerStates {
    return { pic: this.pic.save(), ioApic: this.ioApic.save() };
  }

  /** @throws ChipsetError */
  load(states: { readonly [name in keyof ControllerStates]?: unknown }): void {
    this.ioApic.load(states.ioApic);
    this.pic.load(states.pic);
  }
}
