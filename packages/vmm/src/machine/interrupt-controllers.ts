import {
  ApicBus,
  fanOut,
  type InterruptLine,
  IO_APIC_BASE,
  IoApic,
  type MmioBus,
  PicPair,
  type Ports,
} from "@softmetal/chipset";
import type { InterruptSink } from "./platform.js";

/** The 8259A pair and the I/O APIC as devices, for engines that have none of their own. */
export class InterruptControllers implements InterruptSink {
  readonly apicBus = new ApicBus();
  readonly pic: PicPair;
  readonly ioApic: IoApic;

  constructor(
    /** The 8259A pair's INTR wire, to LINT0 of the boot processor's local APIC. */
    intr: InterruptLine,
  ) {
    this.pic = new PicPair(intr);
    this.ioApic = new IoApic({ bus: this.apicBus });
    this.apicBus.addEoiListener(this.ioApic);
  }

  /** An ISA interrupt reaches both controllers; the timer's IRQ 0 is pin 2 of the I/O APIC, as the MADT says. */
  isa(irq: number): InterruptLine {
    return fanOut(this.pic.line(irq), this.ioApic.line(irq === 0 ? 2 : irq));
  }

  attach(ports: Ports, mmio: MmioBus): void {
    this.pic.attach(ports);
    mmio.add(IO_APIC_BASE, 0x1000, this.ioApic, "I/O APIC");
  }

  reset(): void {
    this.pic.reset();
    this.ioApic.reset();
  }
}
