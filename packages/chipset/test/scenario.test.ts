import { beforeEach, describe, expect, it } from "vitest";
import { Board } from "./board.js";

let board: Board;
const out = (port: number, ...values: number[]) => {
  for (const value of values) board.ports.writePort(port, 1, value);
};
const inb = (port: number) => board.ports.readPort(port, 1);
const lapic = (offset: number, value: number) => board.mmio.write(0xfee00000 + offset, 4, value);
const ioApic = (register: number, value: number) => {
  board.mmio.write(0xfec00000, 4, register);
  board.mmio.write(0xfec00010, 4, value);
};
const initialisePics = (masterMask: number, slaveMask: number) => {
  out(0x20, 0x11);
  out(0x21, 0x30, 4, 1, masterMask);
  out(0xa0, 0x11);
  out(0xa1, 0x38, 2, 1, slaveMask);
};
/** Takes every interrupt until `end`, as a CPU with IF set would, and ends it with `eoi`. */
const run = (ns: number, eoi: (vector: number) => void) => {
  const counts = new Map<number, number>();
  const [apic] = board.apics;
  const end = board.clock.now() + ns;
  for (;;) {
    for (let i = 0; apic.pending() && i < 100; i++) {
      const vector = apic.acknowledge();
      counts.set(vector, (counts.get(vector) ?? 0) + 1);
      eoi(vector);
    }
    const next = board.clock.nextDeadline;
    if (next > end) break;
    board.clock.advanceTo(next);
  }
  board.clock.advanceTo(end);
  return Object.fromEntries(counts);
};
const picEoi = (vector: number) => {
  if (vector >= 0x38) {
    inbC();
    out(0xa0, 0x60 | (vector & 7));
    out(0x20, 0x62);
  } else out(0x20, 0x60 | (vector & 7));
};
/** RTC handlers read register C. */
const inbC = () => {
  out(0x70, 0x0c);
  return inb(0x71);
};

beforeEach(() => {
  board = new Board();
});

describe("a PC without APIC (the state firmware leaves)", () => {
  it("ticks at 100 Hz through the 8259A and the virtual wire, with the RTC at 64 Hz beside it", () => {
    initialisePics(0xfa, 0xfe);
    out(0x43, 0x34);
    out(0x40, 0x9c, 0x2e);
    out(0x70, 0x0a);
    out(0x71, 0x2a);
    out(0x70, 0x0b);
    out(0x71, 0x42);
    inbC();
    const counts = run(1e9, picEoi);
    expect(counts[0x30]).toBe(99);
    expect(counts[0x38]).toBe(64);
    expect(Object.keys(counts)).toHaveLength(2);
  });

  it("does one-shot ticks by mode 4, each programmed from the last one's handler (Linux without APIC timer)", () => {
    initialisePics(0xfe, 0xff);
    out(0x43, 0x38);
    const program = () => out(0x40, 1193 & 0xff, 1193 >> 8);
    program();
    const counts = run(1e9, (vector) => {
      picEoi(vector);
      program();
    });
    // 1193 counts, one tick to load and one for the strobe.
    expect(counts[0x30]).toBe(Math.floor(1193182 / 1195));
  });

  it("calibrates a counter against PIT channel 2 as kernels do", () => {
    out(0x61, (inb(0x61) & ~2) | 1);
    out(0x43, 0xb0);
    const ticks = Math.round(1193182 / 20); // 50 ms
    out(0x42, ticks & 0xff, ticks >> 8);
    const start = board.clock.now();
    let loops = 0;
    while (!(inb(0x61) & 0x20)) {
      board.clock.advance(10_000);
      loops++;
    }
    expect(board.clock.now() - start).toBeGreaterThan(49_990_000);
    expect(loops).toBeLessThan(5003);
  });

  it("serves keyboard, mouse and serial port side by side", () => {
    initialisePics(0xe9, 0xef);
    out(0x60, 0xf4);
    inb(0x60);
    out(0x64, 0x60);
    out(0x60, 0x47);
    out(0x64, 0xd4);
    out(0x60, 0xf4);
    inb(0x60);
    out(0x3fc, 0x0b);
    out(0x3f9, 0x02);
    board.kbc.keyboard.sendKey("KeyA", true);
    board.kbc.mouse.move(1, 1, 0);
    const bytes: string[] = [];
    const counts = run(1e6, (vector) => {
      if (vector === 0x31) bytes.push(`k${inb(0x60).toString(16)}`);
      if (vector === 0x3c) bytes.push(`m${inb(0x60).toString(16)}`);
      if (vector === 0x34) inb(0x3fa);
      picEoi(vector);
    });
    expect(bytes).toEqual(["k1e", "m8", "m1", "m1"]);
    expect(counts).toMatchObject({ 49: 1, 60: 3, 52: 1 });
  });
});

describe("a PC with APICs", () => {
  beforeEach(() => {
    initialisePics(0xff, 0xff);
    lapic(0xf0, 0x1ff);
  });

  it("checks the timer like Linux: PIT through I/O APIC pin 2 in physical mode", () => {
    ioApic(0x10 + 4, 0x30);
    out(0x43, 0x34);
    out(0x40, 0x9c, 0x2e);
    const counts = run(1e9, () => lapic(0xb0, 0));
    expect(counts).toEqual({ 48: 99 });
  });

  it("falls back to the 8259A by LINT0 and by I/O APIC pin 0 in ExtINT mode", () => {
    initialisePics(0xfe, 0xff);
    out(0x43, 0x34);
    out(0x40, 0x9c, 0x2e);
    lapic(0x350, 0x700);
    expect(run(1e9, picEoi)).toEqual({ 48: 99 });
    lapic(0x350, 0x1_0700);
    expect(run(1e9, picEoi)).toEqual({});
  });

  it("calibrates the APIC timer against the PIT and then runs on it alone", () => {
    lapic(0x3e0, 0x3);
    lapic(0x320, 0x1_0040);
    lapic(0x380, 0xffffffff);
    board.clock.advance(100e6);
    const counted = 0xffffffff - board.mmio.read(0xfee00390, 4);
    expect(counted).toBe(100e6 / 16);
    lapic(0x320, 0x2_0040);
    lapic(0x380, counted / 25); // 250 Hz
    expect(run(2e9, () => lapic(0xb0, 0))).toEqual({ 64: 500 });
  });

  it("drives a tickless kernel by TSC deadlines", () => {
    lapic(0x320, 0x4_0040);
    const arm = () => board.apics[0].writeMsr(0x6e0, (board.clock.now() + 4e6) * 2, 0);
    arm();
    const counts = run(1e9, () => {
      lapic(0xb0, 0);
      arm();
    });
    expect(counts).toEqual({ 64: 250 });
  });

  it("delivers a level-triggered SCI until its cause is gone", () => {
    ioApic(0x10 + 18, 0x8051);
    board.ports.writePort(0x602, 2, 0x0100);
    board.pm.pressPowerButton();
    let served = 0;
    const counts = run(1e6, () => {
      served++;
      // The handler clears the cause at its third run only.
      if (served === 3) board.ports.writePort(0x600, 2, 0x0100);
      lapic(0xb0, 0);
    });
    expect(counts).toEqual({ 81: 3 });
  });

  it("boots a second processor", () => {
    lapic(0x310, 1 << 24);
    lapic(0x300, 0xc500);
    lapic(0x300, 0x8500);
    lapic(0x300, 0x4609);
    lapic(0x300, 0x4609);
    expect(board.events).toEqual(["init 1", "startup 1 9", "startup 1 9"]);
  });

  it("keeps lower classes waiting while a handler runs with TPR raised", () => {
    ioApic(0x10 + 8, 0x61);
    ioApic(0x10 + 2, 0x31);
    board.apics[0].setCr8(5);
    board.kbc.keyboard.sendKey("KeyA", true);
    out(0x3fc, 0x0b);
    out(0x3f9, 0x02);
    expect(board.apics[0].acknowledge()).toBe(0x61);
    lapic(0xb0, 0);
    expect(board.apics[0].pending()).toBe(false);
    board.apics[0].setCr8(0);
    expect(board.apics[0].acknowledge()).toBe(0x31);
  });
});
