import { beforeEach, describe, expect, it } from "vitest";
import { ManualClock, PIT_HZ, Pit, Ports } from "../src/index.js";
import { Probe } from "./helpers.js";

let clock: ManualClock;
let ports: Ports;
let irq: Probe;
let pit: Pit;
let tones: number[];
const out = (port: number, ...values: number[]) => {
  for (const value of values) ports.writePort(port, 1, value);
};
const inb = (port: number) => ports.readPort(port, 1);
const word = (port: number) => inb(port) | (inb(port) << 8);
/** Lets exactly this many ticks of the 8254's clock pass. */
let passed = 0;
const tick = (ticks: number) => {
  passed += ticks;
  clock.advanceTo(Math.ceil((passed * 1e9) / PIT_HZ));
};
const latched = (counter: number) => {
  out(0x43, counter << 6);
  return word(0x40 + counter);
};
const status = (counter: number) => {
  out(0x43, 0xe0 | (2 << counter));
  return inb(0x40 + counter);
};

beforeEach(() => {
  clock = new ManualClock();
  passed = 0;
  ports = new Ports();
  irq = new Probe();
  tones = [];
  pit = new Pit({ timers: clock, irq, speaker: { tone: (hz) => tones.push(hz) } });
  pit.attach(ports);
  expect(irq.level).toBe(true);
  irq.edges = 0;
});

describe("8254", () => {
  it("mode 0: output rises once at terminal count, the counter goes on from the top", () => {
    out(0x43, 0x30);
    expect(irq.level).toBe(false);
    out(0x40, 100, 0);
    tick(1 + 40);
    expect(latched(0)).toBe(60);
    tick(59);
    expect(irq.level).toBe(false);
    tick(1);
    expect(irq.level).toBe(true);
    expect(irq.edges).toBe(1);
    tick(10);
    expect(latched(0)).toBe(0xfff6);
    tick(1_000_000);
    expect(irq.edges).toBe(1);
  });

  it("mode 0: the first byte of a new count stops the old one", () => {
    out(0x43, 0x30);
    out(0x40, 100, 0);
    tick(50);
    out(0x40, 200);
    tick(1000);
    expect(irq.level).toBe(false);
    out(0x40, 0);
    tick(201);
    expect(irq.level).toBe(true);
  });

  it("mode 2: one edge per period, exactly at the programmed rate", () => {
    out(0x43, 0x34);
    out(0x40, 11932 & 0xff, 11932 >> 8); // 100 Hz
    clock.advance(10e9);
    expect(irq.edges).toBe(999);
    expect(irq.level).toBe(true);
    expect(status(0) & 0x3f).toBe(0x34);
  });

  it("mode 2: a new count is taken at the end of the period", () => {
    out(0x43, 0x34);
    out(0x40, 0xe8, 0x03);
    tick(1 + 500);
    out(0x40, 0xf4, 0x01);
    expect(status(0) & 0x40).toBe(0x40);
    expect(latched(0)).toBe(500);
    tick(500);
    expect(irq.edges).toBe(1);
    expect(latched(0)).toBe(500);
    expect(status(0) & 0x40).toBe(0);
    tick(500);
    expect(irq.edges).toBe(2);
  });

  it("mode 3: a square wave, counting by two; odd counts are high one tick longer", () => {
    out(0x43, 0xb6);
    out(0x61, 1);
    out(0x42, 7, 0);
    tick(1);
    const levels: number[] = [];
    const counts: number[] = [];
    for (let i = 0; i < 14; i++) {
      levels.push((inb(0x61) >> 5) & 1);
      counts.push(latched(2));
      tick(1);
    }
    expect(levels).toEqual([1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0]);
    expect(counts.slice(0, 7)).toEqual([6, 4, 2, 0, 6, 4, 2]);
  });

  it("mode 3 on counter 0 interrupts at each rising edge", () => {
    out(0x43, 0x36);
    out(0x40, 0, 0); // 65536: 18.2 Hz
    clock.advance(10e9);
    expect(irq.edges).toBe(182);
  });

  it("mode 1: GATE starts a low pulse, and starts it anew", () => {
    out(0x43, 0xb2);
    out(0x42, 100, 0);
    expect(inb(0x61) & 0x20).toBe(0x20);
    tick(1000);
    expect(inb(0x61) & 0x20).toBe(0x20);
    out(0x61, 1);
    tick(1 + 50);
    expect(inb(0x61) & 0x20).toBe(0);
    out(0x61, 0);
    out(0x61, 1);
    tick(1 + 99);
    expect(inb(0x61) & 0x20).toBe(0);
    tick(1);
    expect(inb(0x61) & 0x20).toBe(0x20);
  });

  it("mode 4: one interrupt, at the end of the strobe", () => {
    out(0x43, 0x38);
    out(0x40, 100, 0);
    tick(101);
    expect(irq.edges).toBe(0);
    tick(1);
    expect(irq.edges).toBe(1);
    tick(100_000);
    expect(irq.edges).toBe(1);
  });

  it("mode 5: the strobe follows GATE", () => {
    out(0x43, 0xba);
    out(0x42, 10, 0);
    tick(100);
    out(0x61, 1);
    tick(1 + 10);
    expect(inb(0x61) & 0x20).toBe(0);
    tick(1);
    expect(inb(0x61) & 0x20).toBe(0x20);
  });

  it("counter 2 holds while GATE is low (the kernels' TSC calibration)", () => {
    out(0x61, 0);
    out(0x43, 0xb0);
    out(0x42, 100, 0);
    tick(500);
    expect(inb(0x61) & 0x20).toBe(0);
    expect(latched(2)).toBe(100);
    out(0x61, 1);
    tick(40);
    expect(latched(2)).toBe(60);
    out(0x61, 0);
    tick(500);
    expect(latched(2)).toBe(60);
    out(0x61, 1);
    tick(60);
    expect(inb(0x61) & 0x20).toBe(0x20);
  });

  it("counts in BCD", () => {
    out(0x43, 0x31);
    out(0x40, 0x00, 0x10);
    tick(2);
    expect(latched(0)).toBe(0x0999);
    out(0x43, 0x35);
    out(0x40, 0, 0);
    tick(1 + 1);
    expect(latched(0)).toBe(0x9999);
  });

  it("has the four access modes", () => {
    out(0x43, 0x14);
    out(0x40, 0x80);
    tick(1 + 0x10);
    expect(inb(0x40)).toBe(0x70);
    out(0x43, 0x24);
    out(0x40, 0x80);
    tick(1 + 0x10);
    expect(inb(0x40)).toBe(0x7f);
    out(0x43, 0x34);
    out(0x40, 0, 0x80);
    tick(1 + 0x10);
    expect([inb(0x40), inb(0x40)]).toEqual([0xf0, 0x7f]);
  });

  it("latches a count until it is read; a second latch changes nothing", () => {
    out(0x43, 0x34);
    out(0x40, 0, 0x80);
    tick(1 + 1);
    out(0x43, 0x00);
    tick(1000);
    out(0x43, 0x00);
    expect(word(0x40)).toBe(0x7fff);
    expect(word(0x40)).toBe(0x8000 - 1001);
  });

  it("reads back status and count of several counters, status first", () => {
    out(0x43, 0x34);
    out(0x40, 0, 0x80);
    out(0x43, 0x70);
    out(0x41, 0x34, 0x12);
    tick(1 + 1);
    out(0x43, 0xc6);
    tick(50);
    expect([inb(0x40), word(0x40)]).toEqual([0xb4, 0x7fff]);
    expect([inb(0x41), word(0x41)]).toEqual([0x30, 0x1233]);
    expect(status(0) & 0x40).toBe(0);
    out(0x43, 0x34);
    expect(status(0) & 0x40).toBe(0x40);
  });

  it("takes mode numbers 6 and 7 as 2 and 3", () => {
    out(0x43, 0x3c);
    expect(status(0) & 0x0e).toBe(0x04);
    out(0x43, 0x3e);
    expect(status(0) & 0x0e).toBe(0x06);
  });

  it("tells the speaker its tone and shows the refresh toggle", () => {
    out(0x43, 0xb6);
    out(0x42, 1193 & 0xff, 1193 >> 8);
    out(0x61, 3);
    expect(tones.at(-1)).toBeCloseTo(1000.15, 1);
    out(0x61, 0);
    expect(tones.at(-1)).toBe(0);
    const seen = new Set<number>();
    for (let i = 0; i < 10; i++) {
      clock.advance(15_085);
      seen.add(inb(0x61) & 0x10);
    }
    expect(seen.size).toBe(2);
  });

  it("coalesces interrupts of tiny periods", () => {
    out(0x43, 0x34);
    out(0x40, 1, 0);
    clock.advance(10e6);
    expect(irq.edges).toBeLessThanOrEqual(500);
    expect(irq.edges).toBeGreaterThan(400);
    out(0x43, 0x36);
    out(0x40, 2, 0);
    irq.edges = 0;
    clock.advance(10e6);
    expect(irq.edges).toBeLessThanOrEqual(500);
    expect(irq.edges).toBeGreaterThan(200);
  });

  it("gives one interrupt for periods that passed while the timer was late", () => {
    const late = { timer: () => {} };
    let now = 0;
    const source = {
      now: () => now,
      createTimer: (callback: () => void) => {
        late.timer = callback;
        return { arm() {}, cancel() {} };
      },
    };
    const line = new Probe();
    const other = new Pit({ timers: source, irq: line });
    const bus = new Ports();
    other.attach(bus);
    for (const control of [0x34, 0x36]) {
      bus.writePort(0x43, 1, control);
      bus.writePort(0x40, 1, 0);
      bus.writePort(0x40, 1, 0x10);
      line.edges = 0;
      now += 100e6;
      late.timer();
      expect(line.edges).toBe(1);
    }
    // An early call is not an interrupt.
    late.timer();
    expect(line.edges).toBe(1);
  });

  it("continues from a saved state", () => {
    out(0x43, 0x34);
    out(0x40, 0x10, 0x27);
    clock.advance(5e6);
    const state = JSON.parse(JSON.stringify(pit.save()));
    const line = new Probe();
    const other = new Pit({ timers: clock, irq: line });
    other.load(state);
    clock.advance(1e9);
    expect(line.edges - 1).toBe(irq.edges); // the first edge is the level at load
    expect(other.save()).toEqual(pit.save());
  });
});
