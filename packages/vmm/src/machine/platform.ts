import {
  A20Gate,
  AcpiPm,
  ApicBus,
  buildAcpiTables,
  COM_PORTS,
  DEBUG_EXIT_PORT,
  DebugConsole,
  DebugExit,
  fanOut,
  I8042,
  type InterruptLine,
  IO_APIC_BASE,
  IoApic,
  MmioBus,
  PicPair,
  Pit,
  Port92,
  Ports,
  ResetControl,
  Rtc,
  type SerialLink,
  SharedLine,
  type TimerSource,
  Uart16550a,
} from "@softmetal/chipset";
import type { MachineDevices } from "../api.js";
import { FIRMWARE_TABLES } from "./memory-map.js";

/** The ISA IRQ of the SCI. */
const SCI = 9;

export interface PlatformOptions {
  readonly timers: TimerSource;
  /** Bytes of RAM, for CMOS. */
  readonly ram: number;
  readonly cpus: number;
  readonly devices: MachineDevices;
  /** The 8259A pair's INTR wire, to LINT0 of the boot processor's local APIC. */
  readonly interrupt: InterruptLine;
  /** Seconds since 1970 at clock time 0. */
  readonly startSeconds: number;
  serial(port: number): SerialLink;
  debugConsole(byte: number): void;
  a20Changed(enabled: boolean): void;
  /** The guest resets the machine. */
  reset(): void;
  powerOff(): void;
  debugExit(code: number): void;
}

/** The chipset and the devices of a machine, wired; whatever executes the CPU drives `ports` and `mmio`. */
export class Platform {
  readonly ports = new Ports();
  readonly mmio = new MmioBus();
  readonly apicBus = new ApicBus();
  readonly pic: PicPair;
  readonly ioApic: IoApic;
  readonly power: AcpiPm;
  readonly keyboard: I8042;
  readonly uarts: Uart16550a[];
  readonly #resettable: { reset(): void }[];

  constructor(options: PlatformOptions) {
    const { timers, ports } = { timers: options.timers, ports: this.ports };
    this.pic = new PicPair(options.interrupt);
    this.ioApic = new IoApic({ bus: this.apicBus });
    this.apicBus.addEoiListener(this.ioApic);
    this.mmio.add(IO_APIC_BASE, 0x1000, this.ioApic, "I/O APIC");

    /** An ISA interrupt reaches both controllers; the timer's IRQ 0 is pin 2 of the I/O APIC, as the MADT says. */
    const isa = (irq: number): InterruptLine => fanOut(this.pic.line(irq), this.ioApic.line(irq === 0 ? 2 : irq));
    const pit = new Pit({ timers, irq: isa(0) });
    const rtc = new Rtc({
      timers,
      irq: isa(8),
      startSeconds: options.startSeconds,
      memory: { below4G: options.ram },
    });
    const a20 = new A20Gate(options.a20Changed);
    this.keyboard = new I8042({ keyboardIrq: isa(1), auxIrq: isa(12), a20, reset: options.reset });
    this.power = new AcpiPm({ timers, sci: isa(SCI), powerOff: options.powerOff });
    const port92 = new Port92(a20, options.reset);
    const resetControl = new ResetControl(options.reset);

    const count = options.devices.serialPorts ?? 1;
    const lines = new Map<number, SharedLine>();
    this.uarts = COM_PORTS.slice(0, count).map(({ base, irq }, index) => {
      const line = lines.get(irq) ?? new SharedLine(isa(irq));
      lines.set(irq, line);
      const uart = new Uart16550a({ timers, irq: line.source(), link: options.serial(index), name: `COM${index + 1}` });
      uart.attach(ports, base);
      return uart;
    });
    for (const device of [this.pic, pit, rtc, this.keyboard, this.power, port92, resetControl]) device.attach(ports);
    if (options.devices.debugConsole) new DebugConsole(options.debugConsole).attach(ports);
    if (options.devices.isaDebugExit) {
      new DebugExit(options.debugExit).attach(ports, options.devices.isaDebugExit.port ?? DEBUG_EXIT_PORT);
    }
    this.#resettable = [
      this.pic,
      this.ioApic,
      pit,
      rtc,
      a20,
      this.keyboard,
      this.power,
      port92,
      resetControl,
      ...this.uarts,
    ];
  }

  reset(): void {
    for (const device of this.#resettable) device.reset();
  }
}

/** The ACPI tables of a machine, to be written to RAM at `address`. */
export function firmwareTables(cpus: number, serialPorts: number): { address: number; bytes: Uint8Array } {
  return buildAcpiTables({
    address: FIRMWARE_TABLES,
    apicIds: Array.from({ length: cpus }, (_, index) => index),
    serialPorts: COM_PORTS.slice(0, serialPorts),
  });
}
