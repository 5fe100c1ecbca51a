import { beforeEach, describe, expect, it } from "vitest";
import { ManualClock, Ports, Uart16550a } from "../src/index.js";
import { Probe } from "./helpers.js";

const [DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR] = [0, 1, 2, 3, 4, 5, 6, 7].map((register) => 0x3f8 + register);
const FCR = IIR;

let clock: ManualClock;
let ports: Ports;
let irq: Probe;
let uart: Uart16550a;
let sent: number[];
let room: number;
let input: number[];
let events: string[];
const out = (port: number, value: number) => ports.writePort(port, 1, value);
const inb = (port: number) => ports.readPort(port, 1);
const type = (text: string) => {
  input.push(...Buffer.from(text));
  uart.resumeReceive();
};
const readAll = () => {
  const bytes: number[] = [];
  while (inb(LSR) & 1) bytes.push(inb(DATA));
  return Buffer.from(bytes).toString();
};
/** 115200 8n1, FIFOs with the trigger level at 8, interrupts connected. */
const open = (ier: number, fcr = 0x87) => {
  out(LCR, 0x83);
  out(DATA, 1);
  out(IER, 0);
  out(LCR, 0x03);
  out(FCR, fcr);
  out(MCR, 0x0b);
  out(IER, ier);
};

beforeEach(() => {
  clock = new ManualClock();
  ports = new Ports();
  irq = new Probe();
  sent = [];
  input = [];
  events = [];
  room = Number.POSITIVE_INFINITY;
  uart = new Uart16550a({
    timers: clock,
    irq,
    link: {
      transmit(byte) {
        if (room === 0) return false;
        room--;
        sent.push(byte);
        return true;
      },
      receive: () => input.shift() ?? -1,
      modemOutputs: (mcr) => events.push(`mcr ${mcr}`),
      break: (on) => events.push(`break ${on}`),
    },
  });
  uart.attach(ports, 0x3f8);
});

describe("16550A", () => {
  it("has its registers, and the divisor behind DLAB", () => {
    out(SCR, 0xa5);
    expect(inb(SCR)).toBe(0xa5);
    out(LCR, 0x80);
    out(DATA, 0x34);
    out(IER, 0x12);
    expect([inb(DATA), inb(IER)]).toEqual([0x34, 0x12]);
    out(LCR, 0x1b);
    expect(inb(LCR)).toBe(0x1b);
    out(IER, 0xff);
    expect(inb(IER)).toBe(0x0f);
    out(MCR, 0xff);
    expect(inb(MCR)).toBe(0x1f);
    expect(inb(LSR)).toBe(0x60);
  });

  it("is found to be a 16550A and nothing newer", () => {
    expect(inb(IIR)).toBe(0x01);
    out(FCR, 0x01);
    expect(inb(IIR) & 0xc0).toBe(0xc0);
    out(FCR, 0x21);
    expect(inb(IIR) & 0xe0).toBe(0xc0);
    out(LCR, 0xbf);
    expect(inb(IIR)).toBe(0xc1);
  });

  it("sends at once and interrupts as drivers expect", () => {
    open(0x02);
    expect(irq.level).toBe(true);
    expect(inb(IIR)).toBe(0xc2);
    expect(irq.level).toBe(false);
    expect(inb(IIR)).toBe(0xc1);
    out(DATA, 0x41);
    expect(sent).toEqual([0x41]);
    expect(inb(IIR)).toBe(0xc2);
    out(IER, 0);
    out(IER, 2);
    expect(irq.level).toBe(true);
  });

  it("holds bytes back while the other end is full, and loses none", () => {
    open(0x02);
    inb(IIR);
    room = 3;
    for (let i = 0; i < 16; i++) out(DATA, i);
    expect(sent).toEqual([0, 1, 2]);
    expect(inb(LSR) & 0x60).toBe(0);
    expect(irq.level).toBe(false);
    room = 5;
    uart.resumeTransmit();
    expect(sent).toHaveLength(8);
    expect(irq.level).toBe(false);
    room = 100;
    uart.resumeTransmit();
    expect(sent).toEqual(Array.from({ length: 16 }, (_, i) => i));
    expect(inb(LSR) & 0x60).toBe(0x60);
    expect(inb(IIR)).toBe(0xc2);
  });

  it("drops what does not fit into a full transmitter", () => {
    open(0);
    room = 0;
    for (let i = 0; i < 20; i++) out(DATA, i);
    room = 100;
    uart.resumeTransmit();
    expect(sent).toHaveLength(16);
  });

  it("interrupts at the trigger level, and after four characters' silence", () => {
    open(0x01);
    type("abc");
    expect(irq.level).toBe(false);
    clock.advance(340_000);
    expect(irq.level).toBe(false);
    clock.advance(10_000);
    expect(irq.level).toBe(true);
    expect(inb(IIR)).toBe(0xcc);
    inb(DATA);
    expect(irq.level).toBe(false);
    clock.advance(350_000);
    expect(readAll()).toBe("bc");
    clock.advance(1e9);
    expect(irq.level).toBe(false);
    type("12345678");
    expect(inb(IIR)).toBe(0xc4);
    inb(DATA);
    expect(inb(IIR)).toBe(0xc1);
  });

  it.each([
    [0x07, 1],
    [0x47, 4],
    [0x87, 8],
    [0xc7, 14],
  ])("FCR 0x%s sets the trigger level %i", (fcr, level) => {
    open(0x01, fcr);
    for (let i = 1; i <= level; i++) {
      expect(irq.level).toBe(false);
      type("x");
    }
    expect(irq.level).toBe(true);
  });

  it("takes a long paste through its FIFO as fast as it is read", () => {
    open(0x01);
    const text = "The quick brown fox jumps over the lazy dog. ".repeat(20);
    type(text);
    expect(input.length).toBe(text.length - 16);
    expect(readAll()).toBe(text);
  });

  it("works without FIFOs", () => {
    open(0x01, 0);
    type("ab");
    expect(inb(IIR)).toBe(0x04);
    expect(input).toHaveLength(1);
    expect(readAll()).toBe("ab");
    expect(irq.level).toBe(false);
    room = 0;
    out(DATA, 1);
    expect(inb(LSR) & 0x60).toBe(0);
  });

  it("orders its interrupts by priority", () => {
    open(0x0f);
    uart.receiveBreak();
    type("1234567");
    uart.setModemInputs({ cts: false, dsr: true, ri: false, dcd: true });
    expect(inb(IIR)).toBe(0xc6);
    expect(inb(LSR)).toBe(0x60 | 0x80 | 0x18 | 0x01);
    expect(inb(IIR)).toBe(0xc4);
    expect(readAll()).toBe("\x001234567");
    expect(inb(IIR)).toBe(0xc2);
    expect(inb(IIR)).toBe(0xc0);
    expect(inb(MSR)).toBe(0xa1);
    expect(inb(IIR)).toBe(0xc1);
    expect(inb(MSR)).toBe(0xa0);
  });

  it("notices the end of a ring only", () => {
    const lines = { cts: true, dsr: true, dcd: true };
    uart.setModemInputs({ ...lines, ri: true });
    expect(inb(MSR)).toBe(0xf0);
    uart.setModemInputs({ ...lines, ri: false });
    expect(inb(MSR)).toBe(0xb4);
  });

  it("loops back bytes, modem lines and overruns, away from the link", () => {
    open(0x04);
    out(MCR, 0x1a);
    expect(inb(MSR) & 0xf0).toBe(0x90);
    out(MCR, 0x15);
    expect(inb(MSR) & 0xf0).toBe(0x60);
    out(MCR, 0x1b);
    for (let i = 0; i < 17; i++) out(DATA, 0x61 + i);
    expect(irq.level).toBe(false); // OUT2 is disconnected
    expect(inb(IIR)).toBe(0xc6);
    expect(inb(LSR)).toBe(0x63);
    expect(inb(LSR)).toBe(0x61);
    expect(readAll()).toBe("abcdefghijklmnop");
    expect(sent).toEqual([]);
    type("z");
    expect(inb(LSR) & 1).toBe(0);
    out(MCR, 0x0b);
    expect(readAll()).toBe("z");
  });

  it("loops a break back as a byte with flags", () => {
    open(0);
    out(MCR, 0x10);
    out(LCR, 0x43);
    expect(inb(LSR)).toBe(0x60 | 0x98 | 0x01);
    expect(inb(DATA)).toBe(0);
    expect(inb(LSR)).toBe(0x60);
  });

  it("tells the link of modem outputs and breaks", () => {
    out(MCR, 0x0b);
    out(LCR, 0x43);
    out(LCR, 0x03);
    uart.reset();
    expect(events).toEqual(["mcr 11", "break true", "break false", "mcr 0"]);
  });

  it("interrupts only with OUT2", () => {
    open(0x02);
    expect(irq.level).toBe(true);
    out(MCR, 0x03);
    expect(irq.level).toBe(false);
    expect(inb(IIR)).toBe(0xc2);
  });

  it("clears FIFOs by command", () => {
    open(0x01);
    type("12345678");
    room = 0;
    out(DATA, 1);
    expect(irq.level).toBe(true);
    out(FCR, 0x87);
    expect(irq.level).toBe(false);
    expect(inb(LSR)).toBe(0x60);
    room = 9;
    uart.resumeTransmit();
    expect(sent).toEqual([]);
  });

  it("continues from a saved state", () => {
    open(0x03);
    inb(IIR);
    room = 1;
    out(DATA, 1);
    out(DATA, 2);
    type("abc");
    const state = JSON.parse(JSON.stringify(uart.save()));
    const line = new Probe();
    const bytes: number[] = [];
    const link = { transmit: (byte: number) => bytes.push(byte) > 0 };
    const other = new Uart16550a({ timers: clock, irq: line, link });
    other.load(state);
    expect(line.level).toBe(false);
    clock.advance(1e6);
    expect(line.level).toBe(true);
    expect(other.readPort(IIR)).toBe(0xcc);
    other.resumeTransmit();
    expect(bytes).toEqual([2]);
    expect([0, 0, 0].map(() => other.readPort(DATA))).toEqual([0x61, 0x62, 0x63]);
  });
});
