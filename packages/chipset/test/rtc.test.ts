import { beforeEach, describe, expect, it } from "vitest";
import { ManualClock, Ports, Rtc } from "../src/index.js";
import { dayOfWeek, fromSeconds, toSeconds } from "../src/rtc/calendar.js";
import { Probe } from "./helpers.js";

/** 2024-02-28 23:59:58 UTC, a Wednesday. */
const START = Date.UTC(2024, 1, 28, 23, 59, 58) / 1000;
const SECOND = 1e9;

let clock: ManualClock;
let ports: Ports;
let irq: Probe;
let rtc: Rtc;
const get = (index: number) => {
  ports.writePort(0x70, 1, index);
  return ports.readPort(0x71, 1);
};
const set = (index: number, value: number) => {
  ports.writePort(0x70, 1, index);
  ports.writePort(0x71, 1, value);
};
const time = () => [0x32, 9, 8, 7, 4, 2, 0, 6].map((index) => get(index).toString(16).padStart(2, "0")).join(" ");

beforeEach(() => {
  clock = new ManualClock();
  ports = new Ports();
  irq = new Probe();
  rtc = new Rtc({ timers: clock, irq, startSeconds: START, memory: { below4G: 3 * 2 ** 30, above4G: 2 ** 30 } });
  rtc.attach(ports);
});

describe("calendar", () => {
  it("agrees with the host's over centuries", () => {
    for (let seconds = -5e9; seconds < 2e10; seconds += 12_345_678.9) {
      const s = Math.floor(seconds);
      const date = new Date(s * 1000);
      const civil = fromSeconds(s);
      expect([civil.year, civil.month, civil.day, civil.hour, civil.minute, civil.second]).toEqual([
        date.getUTCFullYear(),
        date.getUTCMonth() + 1,
        date.getUTCDate(),
        date.getUTCHours(),
        date.getUTCMinutes(),
        date.getUTCSeconds(),
      ]);
      expect(toSeconds(civil)).toBe(s);
      expect(dayOfWeek(s)).toBe(date.getUTCDay() + 1);
    }
  });
});

describe("MC146818A", () => {
  it("tells the time in BCD, over midnight of a leap year", () => {
    expect(time()).toBe("20 24 02 28 23 59 58 04");
    clock.advance(2 * SECOND);
    expect(time()).toBe("20 24 02 29 00 00 00 05");
    clock.advance(24 * 3600 * SECOND);
    expect(time()).toBe("20 24 03 01 00 00 00 06");
  });

  it("tells it in binary and with twelve hours", () => {
    set(0x0b, 0x04);
    expect([get(4), get(2), get(9)]).toEqual([0x80 | 11, 59, 24]);
    set(0x0b, 0x06);
    expect(get(4)).toBe(23);
    set(0x0b, 0x00);
    clock.advance(2 * SECOND);
    expect(get(4)).toBe(0x12);
  });

  it("is set by the guest while SET holds it", () => {
    set(0x0b, 0x82);
    clock.advance(5 * SECOND);
    expect(get(0)).toBe(0x58);
    for (const [index, value] of [
      [0x32, 0x19],
      [9, 0x99],
      [8, 0x12],
      [7, 0x31],
      [4, 0x23],
      [2, 0x59],
      [0, 0x59],
    ]) {
      set(index, value);
    }
    set(0x0b, 0x02);
    expect(time()).toBe("19 99 12 31 23 59 59 06");
    clock.advance(SECOND);
    expect(time()).toBe("20 00 01 01 00 00 00 07");
  });

  it("takes single fields while running", () => {
    set(2, 0x15);
    expect(time()).toBe("20 24 02 28 23 15 58 04");
  });

  it("starts half a second after the divider leaves reset", () => {
    set(0x0a, 0x66);
    clock.advance(10.25 * SECOND);
    set(0x0a, 0x26);
    expect(get(0)).toBe(0x58);
    clock.advance(0.49 * SECOND);
    expect(get(0)).toBe(0x58);
    clock.advance(0.01 * SECOND);
    expect(get(0)).toBe(0x59);
  });

  it("announces updates by UIP", () => {
    expect(get(0x0a)).toBe(0x26);
    clock.advance(SECOND - 244_000);
    expect(get(0x0a)).toBe(0xa6);
    clock.advance(243_999);
    expect([get(0x0a), get(0)]).toEqual([0xa6, 0x58]);
    clock.advance(1);
    expect([get(0x0a), get(0)]).toEqual([0x26, 0x59]);
  });

  it("interrupts after each update, until register C is read", () => {
    set(0x0b, 0x12);
    clock.advance(2.5 * SECOND);
    expect(irq.edges).toBe(1);
    expect(get(0x0c) & 0x90).toBe(0x90);
    expect(irq.level).toBe(false);
    expect(get(0x0c) & 0x90).toBe(0);
    clock.advance(SECOND);
    expect(irq.edges).toBe(2);
  });

  it("sets flags without interrupts too", () => {
    clock.advance(1.5 * SECOND);
    expect(get(0x0c)).toBe(0x50);
    expect(irq.edges).toBe(0);
    clock.advance(0.4 * SECOND);
    expect(get(0x0c)).toBe(0x40);
  });

  it("rings at the alarm, with wild cards", () => {
    set(1, 0x05);
    set(3, 0xc0);
    set(5, 0xff);
    set(0x0b, 0x22);
    clock.advance(6 * SECOND);
    expect(irq.level).toBe(false);
    clock.advance(SECOND);
    expect(irq.level).toBe(true);
    expect(get(0x0c) & 0xa0).toBe(0xa0);
    clock.advance(59 * SECOND);
    expect(irq.level).toBe(false);
    clock.advance(SECOND);
    expect(irq.level).toBe(true);
  });

  it("rings once a day at a full time, and never at an impossible one", () => {
    set(1, 0x30);
    set(3, 0x20);
    set(5, 0x10);
    set(0x0b, 0x22);
    const expected = Date.UTC(2024, 1, 29, 10, 20, 30) / 1000 - START;
    clock.advance((expected - 1) * SECOND);
    expect(irq.edges).toBe(0);
    clock.advance(SECOND);
    expect(irq.edges).toBe(1);
    get(0x0c);
    set(5, 0x77);
    clock.advance(2 * 86400 * SECOND);
    expect(irq.edges).toBe(1);
  });

  it.each([
    [1, 256],
    [2, 128],
    [3, 8192],
    [6, 1024],
    [15, 2],
  ])("rate %i is %i Hz", (rate, hz) => {
    set(0x0a, 0x20 | rate);
    set(0x0b, 0x42);
    let interrupts = 0;
    const end = clock.now() + SECOND;
    while (clock.nextDeadline <= end) {
      clock.advanceTo(clock.nextDeadline);
      if (get(0x0c) & 0x80) interrupts++;
    }
    expect(interrupts).toBe(hz);
  });

  it("lowers its line at each reading of register C, even when the next interrupt is due by then", () => {
    // A busy host: a period and more passes between any two looks at the clock.
    const busy = { now: () => clock.now() + looks++ * 1e7, createTimer: clock.createTimer.bind(clock) };
    let looks = 0;
    ports = new Ports();
    rtc = new Rtc({ timers: busy, irq, startSeconds: START });
    rtc.attach(ports);
    set(0x0a, 0x29);
    set(0x0b, 0x42);
    irq.edges = 0;
    for (let count = 0; count < 10; count++) get(0x0c);
    expect(irq.edges).toBe(10);
  });

  it("needs no timer while nobody reads register C, or wants interrupts", () => {
    expect(clock.nextDeadline).toBe(Number.POSITIVE_INFINITY);
    set(0x0a, 0x23);
    set(0x0b, 0x42);
    clock.advance(SECOND);
    expect(clock.nextDeadline).toBe(Number.POSITIVE_INFINITY);
    expect(irq.edges).toBe(1);
  });

  it("holds what firmware says about memory", () => {
    const word = (index: number) => get(index) | (get(index + 1) << 8);
    expect(word(0x15)).toBe(640);
    expect([word(0x17), word(0x30)]).toEqual([0xffff, 0xffff]);
    expect(word(0x34)).toBe((3 * 2 ** 30 - 2 ** 24) / 65536);
    expect(word(0x5b) | (get(0x5d) << 16)).toBe(2 ** 30 / 65536);
    let sum = 0;
    for (let i = 0x10; i < 0x2e; i++) sum += get(i);
    expect((get(0x2e) << 8) | get(0x2f)).toBe(sum);
    expect(get(0x0d)).toBe(0x80);
    rtc.poke(0x3d, 0x21);
    expect(get(0x3d)).toBe(0x21);
    set(0x7f, 0x55);
    rtc.reset();
    expect(get(0x7f)).toBe(0x55);
    expect(rtc.peek(0x7f)).toBe(0x55);
    expect(() => new Rtc({ timers: clock, irq, startSeconds: 0, memory: { below4G: 2 ** 33 } })).toThrowError(
      expect.objectContaining({ code: "bad-config" }),
    );
  });

  it("continues from a saved state", () => {
    set(0x0b, 0x12);
    clock.advance(0.7 * SECOND);
    const line = new Probe();
    const other = new Rtc({ timers: clock, irq: line, startSeconds: 0 });
    other.load(JSON.parse(JSON.stringify(rtc.save())));
    clock.advance(0.4 * SECOND);
    expect(line.level).toBe(true);
    expect(other.save()).toEqual(rtc.save());
  });
});
