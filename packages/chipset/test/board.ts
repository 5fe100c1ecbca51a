import {
  A20Gate,
  AcpiPm,
  ApicBus,
  COM_PORTS,
  DebugConsole,
  DebugExit,
  type Device,
  fanOut,
  I8042,
  type InterruptLine,
  IO_APIC_BASE,
  IoApic,
  LocalApic,
  ManualClock,
  MmioBus,
  PicPair,
  Pit,
  Port92,
  Ports,
  ResetControl,
  Rtc,
  Uart16550a,
} from "../src/index.js";

/** Every device of the package wired as on a PC, with a log of everything that leaves it. */
export class Board {
  readonly ports = new Ports();
  readonly mmio = new MmioBus();
  readonly events: string[] = [];
  readonly bus = new ApicBus();
  readonly apics: LocalApic[];
  readonly ioApic = new IoApic({ bus: this.bus, id: 0 });
  readonly pic: PicPair;
  readonly pit: Pit;
  readonly rtc: Rtc;
  readonly uart: Uart16550a;
  readonly kbc: I8042;
  readonly pm: AcpiPm;
  readonly a20 = new A20Gate((level) => this.events.push(`a20 ${level}`));
  readonly port92 = new Port92(this.a20, () => this.events.push("reset 0x92"));
  readonly resetControl = new ResetControl((hard) => this.events.push(`reset ${hard}`));
  /** Bytes the UART may still send; the link's and not the UART's state. */
  room = 40;

  constructor(
    readonly clock: ManualClock = new ManualClock(),
    cpus = 2,
  ) {
    const { bus, events, ports, ioApic } = this;
    this.apics = Array.from(
      { length: cpus },
      (_, apicId) =>
        new LocalApic({
          apicId,
          bootstrap: apicId === 0,
          timers: clock,
          bus,
          cpu: {
            nmi: () => events.push(`nmi ${apicId}`),
            smi: () => events.push(`smi ${apicId}`),
            init: () => events.push(`init ${apicId}`),
            startup: (vector) => events.push(`startup ${apicId} ${vector}`),
          },
          externalInterrupts: { acknowledge: () => this.pic.acknowledge() },
          tsc: { timeOfTsc: (tsc) => tsc / 2 },
        }),
    );
    for (const apic of this.apics) bus.addTarget(apic);
    bus.addEoiListener(ioApic);
    this.pic = new PicPair(this.apics[0].lint(0));
    const isa = (irq: number): InterruptLine => fanOut(this.pic.line(irq), ioApic.line(irq === 0 ? 2 : irq));
    this.pit = new Pit({
      timers: clock,
      irq: isa(0),
      speaker: { tone: (hz) => events.push(`tone ${Math.round(hz)}`) },
    });
    this.rtc = new Rtc({ timers: clock, irq: isa(8), startSeconds: 1.7e9, memory: { below4G: 2 ** 29 } });
    this.uart = new Uart16550a({
      timers: clock,
      irq: isa(4),
      link: {
        transmit: (byte) => {
          if (this.room === 0) return false;
          this.room--;
          events.push(`tx ${byte}`);
          return true;
        },
      },
    });
    this.kbc = new I8042({
      keyboardIrq: isa(1),
      auxIrq: isa(12),
      a20: this.a20,
      reset: () => events.push("reset kbc"),
      ledsChanged: (leds) => events.push(`leds ${leds}`),
    });
    this.pm = new AcpiPm({ timers: clock, sci: isa(9), powerOff: () => events.push("off") });
    this.pic.attach(ports);
    this.pit.attach(ports);
    this.rtc.attach(ports);
    this.uart.attach(ports, COM_PORTS[0].base);
    this.kbc.attach(ports);
    this.pm.attach(ports);
    this.port92.attach(ports);
    this.resetControl.attach(ports);
    new DebugConsole((byte) => events.push(`debug ${byte}`)).attach(ports);
    new DebugExit((status) => events.push(`exit ${status}`)).attach(ports);
    this.mmio.add(IO_APIC_BASE, 0x1000, ioApic, "I/O APIC");
    this.mmio.add(0xfee0_0000, 0x1000, this.apics[0], "local APIC");
  }

  /** Interrupt controllers first: a device that is loaded after them drives the level they already know. */
  get devices(): Device<unknown>[] {
    return [
      this.bus,
      ...this.apics,
      this.ioApic,
      this.pic,
      this.a20,
      this.port92,
      this.resetControl,
      this.pit,
      this.rtc,
      this.uart,
      this.kbc,
      this.pm,
    ];
  }

  save(): unknown[] {
    return this.devices.map((device) => device.save());
  }

  load(states: readonly unknown[]): void {
    for (const [i, device] of this.devices.entries()) device.load(states[i]);
  }
}
