import {
  A20Gate,
  AcpiPm,
  buildAcpiTables,
  buildMpTables,
  COM_PORTS,
  DEBUG_EXIT_PORT,
  DebugConsole,
  DebugExit,
  type Device,
  I8042,
  type InterruptLine,
  MmioBus,
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
import { FIRMWARE_TABLES, MP_TABLES } from "./memory-map.js";

/** The ISA IRQ of the SCI. */
const SCI = 9;

/** What takes the interrupts of ISA devices. */
export interface InterruptSink {
  /** The wire of an ISA IRQ, 0 to 15. */
  isa(irq: number): InterruptLine;
}

export interface PlatformOptions {
  readonly timers: TimerSource;
  /** Bytes of RAM, for CMOS. */
  readonly ram: number;
  readonly devices: MachineDevices;
  /** The interrupt controllers, wherever they are. */
  readonly interrupts: InterruptSink;
  /** The 8254 is one of the devices, rather than where the interrupt controllers are. */
  readonly pit: boolean;
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

/** The devices of a machine, without its interrupt controllers, wired; whatever executes the CPU drives `ports` and `mmio`. */
export class Platform {
  readonly ports = new Ports();
  readonly mmio = new MmioBus();
  readonly power: AcpiPm;
  readonly keyboard: I8042;
  readonly uarts: Uart16550a[];
  readonly a20: A20Gate;
  /** By the name under which its state is saved. */
  readonly #devices: { readonly [name: string]: Device<unknown> };

  constructor(options: PlatformOptions) {
    const { timers } = options;
    const { ports } = this;
    const isa = (irq: number) => options.interrupts.isa(irq);
    const pit = options.pit ? new Pit({ timers, irq: isa(0) }) : undefined;
    const rtc = new Rtc({
      timers,
      irq: isa(8),
      startSeconds: options.startSeconds,
      memory: { below4G: options.ram },
    });
    const a20 = new A20Gate(options.a20Changed);
    this.a20 = a20;
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
    const devices = { ...(pit && { pit }), rtc, i8042: this.keyboard, power: this.power, port92, resetControl };
    for (const device of Object.values(devices)) device.attach(ports);
    if (options.devices.debugConsole) new DebugConsole(options.debugConsole).attach(ports);
    if (options.devices.isaDebugExit) {
      new DebugExit(options.debugExit).attach(ports, options.devices.isaDebugExit.port ?? DEBUG_EXIT_PORT);
    }
    const uarts = this.uarts.map((uart, index) => [`com${index + 1}`, uart] as const);
    this.#devices = { ...(devices as object), a20, ...Object.fromEntries(uarts) };
  }

  reset(): void {
    for (const device of Object.values(this.#devices)) device.reset();
  }

  /**
   * The states of all devices, by name. They are brought up to date by that and may interrupt: the interrupt controllers
   * are to be saved after them, and the processors last.
   */
  save(): { [name: string]: unknown } {
    return Object.fromEntries(Object.entries(this.#devices).map(([name, device]) => [name, device.save()]));
  }

  /**
   * Takes over the states of all devices; the clock and the interrupt controllers have theirs already.
   * @throws ChipsetError
   */
  load(states: { readonly [name: string]: unknown }): void {
    for (const [name, device] of Object.entries(this.#devices)) device.load(states[name]);
    for (const uart of this.uarts) {
      uart.resumeReceive();
      uart.resumeTransmit();
    }
  }
}

/** A block of tables, to be written to RAM at `address`. */
export interface TableBlock {
  address: number;
  bytes: Uint8Array;
}

/** The tables that describe a machine to its guest. */
export interface FirmwareTables {
  /** ACPI, beginning with the RSDP. */
  acpi: TableBlock;
  /** MultiProcessor Specification 1.4, for kernels without ACPI: they find the I/O APIC by it. */
  mp: TableBlock;
}

export function firmwareTables(cpus: number, serialPorts: number): FirmwareTables {
  const apicIds = Array.from({ length: cpus }, (_, index) => index);
  const acpi = buildAcpiTables({
    address: FIRMWARE_TABLES,
    apicIds,
    serialPorts: COM_PORTS.slice(0, serialPorts),
  });
  return { acpi, mp: buildMpTables({ address: MP_TABLES, apicIds }) };
}
