import { beforeEach, describe, expect, it } from "vitest";
import { A20Gate, I8042, KEY_CODES, type KeyCode, Ports } from "../src/index.js";
import { Probe } from "./helpers.js";

let ports: Ports;
let irq1: Probe;
let irq12: Probe;
let a20: A20Gate;
let resets: number;
let kbc: I8042;
const command = (value: number) => ports.writePort(0x64, 1, value);
const data = (value: number) => ports.writePort(0x60, 1, value);
const status = () => ports.readPort(0x64, 1);
const read = () => ports.readPort(0x60, 1);
const drain = () => {
  const bytes: number[] = [];
  while (status() & 1) bytes.push(read());
  return bytes;
};
const mouse = (...bytes: number[]) =>
  bytes.flatMap((byte) => {
    command(0xd4);
    data(byte);
    return drain();
  });

beforeEach(() => {
  ports = new Ports();
  irq1 = new Probe();
  irq12 = new Probe();
  resets = 0;
  a20 = new A20Gate(() => {});
  kbc = new I8042({ keyboardIrq: irq1, auxIrq: irq12, a20, reset: () => resets++ });
  kbc.attach(ports);
});

describe("i8042", () => {
  it("passes the tests of Linux's driver", () => {
    expect(drain()).toEqual([]);
    command(0x20);
    const ctr = read();
    command(0x60);
    data((ctr | 0x10) & ~0x01);
    command(0x20);
    expect(read()).toBe((ctr | 0x10) & ~0x01);
    command(0xd3);
    data(0x5a);
    expect([status() & 0x21, read()]).toEqual([0x21, 0x5a]);
    command(0xa9);
    expect(read()).toBe(0);
    command(0xa7);
    command(0x20);
    expect(read() & 0x20).toBe(0x20);
    command(0xa8);
    command(0x20);
    expect(read() & 0x20).toBe(0);
    command(0xaa);
    expect(read()).toBe(0x55);
    expect(status() & 0x04).toBe(0x04);
    command(0xab);
    expect(read()).toBe(0);
    // The aux interrupt test: a looped byte must raise IRQ 12.
    command(0x60);
    data(0x47);
    command(0xd3);
    data(0xa5);
    expect(irq12.level).toBe(true);
    expect(read()).toBe(0xa5);
    expect(irq12.level).toBe(false);
  });

  it("resets the machine and gates A20", () => {
    command(0xfe);
    expect(resets).toBe(1);
    command(0xff);
    expect(resets).toBe(1);
    command(0xd1);
    data(0xdd);
    expect(a20.enabled).toBe(false);
    command(0xd0);
    expect(read() & 3).toBe(1);
    command(0xd1);
    data(0xdf);
    expect(a20.enabled).toBe(true);
    command(0xdd);
    expect(a20.enabled).toBe(false);
    command(0xdf);
    expect(a20.enabled).toBe(true);
    command(0xd1);
    data(0xfe);
    expect(resets).toBe(2);
  });

  it("has RAM and an input port", () => {
    command(0x65);
    data(0x99);
    command(0x25);
    expect(read()).toBe(0x99);
    command(0xc0);
    expect(read() & 0x80).toBe(0x80);
  });

  it("says whether a command or data was written last", () => {
    command(0xae);
    expect(status() & 8).toBe(8);
    data(0xf4);
    expect(status() & 8).toBe(0);
  });

  it("makes an interrupt for each byte", () => {
    kbc.keyboard.sendKey("ArrowUp", true);
    expect([irq1.edges, read()]).toEqual([1, 0xe0]);
    expect([irq1.edges, irq1.level, read()]).toEqual([2, true, 0x48]);
    expect(irq1.level).toBe(false);
  });

  it("keeps the devices' bytes back while their port is disabled", () => {
    command(0xad);
    kbc.keyboard.sendKey("KeyA", true);
    expect(drain()).toEqual([]);
    command(0xae);
    expect(drain()).toEqual([0x1e]);
  });
});

describe("keyboard", () => {
  it("answers its commands", () => {
    command(0x60);
    data(0x04); // no translation
    const send = (...bytes: number[]) =>
      bytes.flatMap((byte) => {
        data(byte);
        return drain();
      });
    expect(send(0xff)).toEqual([0xfa, 0xaa]);
    expect(send(0xf2)).toEqual([0xfa, 0xab, 0x83]);
    expect(send(0xee)).toEqual([0xee]);
    expect(send(0xed, 0x05)).toEqual([0xfa, 0xfa]);
    expect(kbc.keyboard.leds).toBe(5);
    expect(send(0xf3, 0x20)).toEqual([0xfa, 0xfa]);
    expect(send(0xf0, 0x00)).toEqual([0xfa, 0xfa, 0x02]);
    expect(send(0xf0, 0x03)).toEqual([0xfa, 0xfe]);
    expect(send(0xf6, 0xf4)).toEqual([0xfa, 0xfa]);
    expect(send(0xfe)).toEqual([0xfa]);
    expect(send(0x12)).toEqual([0xfe]);
    expect(send(0xf5)).toEqual([0xfa]);
    expect(kbc.keyboard.sendKey("KeyA", true)).toBe(false);
    expect(send(0xed, 0xf4)).toEqual([0xfa, 0xfa]);
    expect(kbc.keyboard.sendKey("KeyA", true)).toBe(true);
    expect(drain()).toEqual([0x1c]);
  });

  it("identifies itself through the translation", () => {
    data(0xf2);
    expect(drain()).toEqual([0xfa, 0xab, 0x41]);
  });

  const keys: [KeyCode, number[], number[]][] = [
    ["Escape", [0x01], [0x76]],
    ["KeyA", [0x1e], [0x1c]],
    ["Enter", [0x1c], [0x5a]],
    ["Space", [0x39], [0x29]],
    ["ShiftLeft", [0x2a], [0x12]],
    ["ShiftRight", [0x36], [0x59]],
    ["ControlLeft", [0x1d], [0x14]],
    ["F1", [0x3b], [0x05]],
    ["F7", [0x41], [0x83]],
    ["F12", [0x58], [0x07]],
    ["Digit1", [0x02], [0x16]],
    ["Backslash", [0x2b], [0x5d]],
    ["Delete", [0xe0, 0x53], [0xe0, 0x71]],
    ["NumpadEnter", [0xe0, 0x1c], [0xe0, 0x5a]],
    ["MetaLeft", [0xe0, 0x5b], [0xe0, 0x1f]],
    ["IntlBackslash", [0x56], [0x61]],
    ["Pause", [0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5], [0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77]],
    ["PrintScreen", [0xe0, 0x2a, 0xe0, 0x37], [0xe0, 0x12, 0xe0, 0x7c]],
  ];

  it.each(keys)("sends %s in both sets", (key, set1, set2) => {
    kbc.keyboard.sendKey(key, true);
    expect(drain()).toEqual(set1);
    kbc.keyboard.sendKey(key, false);
    const released = drain();
    if (key === "Pause") expect(released).toEqual([]);
    else expect(released.at(-1)).toBe(set1[key === "PrintScreen" ? 1 : set1.length - 1] | 0x80);
    command(0x60);
    data(0x05);
    kbc.keyboard.sendKey(key, true);
    expect(drain()).toEqual(set2);
    data(0xf0);
    data(0x01);
    drain();
    kbc.keyboard.sendKey(key, true);
    expect(drain()).toEqual(set1);
  });

  it("has a different code for every key", () => {
    const codes = KEY_CODES.map((key) => {
      kbc.keyboard.sendKey(key, true);
      return drain().join();
    });
    expect(new Set(codes).size).toBe(KEY_CODES.length);
    expect(KEY_CODES.length).toBeGreaterThan(104);
  });

  it("drops whole keys when nobody reads", () => {
    let taken = 0;
    for (let i = 0; i < 100; i++) if (kbc.keyboard.sendKey("ArrowUp", i % 2 === 0)) taken++;
    expect(taken).toBeLessThan(10);
    expect(drain().length).toBeLessThan(20);
  });
});

describe("mouse", () => {
  it("answers its commands and becomes a wheel mouse", () => {
    expect(mouse(0xff)).toEqual([0xfa, 0xaa, 0x00]);
    expect(mouse(0xf2)).toEqual([0xfa, 0x00]);
    expect(mouse(0xe9)).toEqual([0xfa, 0x00, 0x02, 100]);
    mouse(0xf3, 200, 0xf3, 100, 0xf3, 80);
    expect(mouse(0xf2)).toEqual([0xfa, 0x03]);
    expect(mouse(0xe8, 3, 0xe7, 0xe9)).toEqual([0xfa, 0xfa, 0xfa, 0xfa, 0x10, 3, 80]);
    expect(mouse(0xee, 0x55, 0xec)).toEqual([0xfa, 0x55, 0xfa]);
    expect(mouse(0x11)).toEqual([0xfe]);
  });

  it("reports movement on IRQ 12 in stream mode", () => {
    command(0x60);
    data(0x47);
    kbc.mouse.move(5, -3, 1);
    expect(drain()).toEqual([]);
    expect(mouse(0xf4)).toEqual([0xfa, 0x29, 5, 0xfd]);
    const before = irq12.edges;
    kbc.mouse.move(300, 0, 0);
    expect(status() & 0x21).toBe(0x21);
    expect(drain()).toEqual([0x08, 255, 0, 0x08, 45, 0]);
    expect(irq12.edges).toBe(before + 6);
  });

  it("gives data on demand in remote mode", () => {
    expect(mouse(0xf0, 0xf4)).toEqual([0xfa, 0xfa]);
    kbc.mouse.move(1, 2, 4);
    expect(drain()).toEqual([]);
    expect(mouse(0xeb)).toEqual([0xfa, 0x0c, 1, 2]);
  });

  it("continues from a saved state", () => {
    mouse(0xf4);
    kbc.mouse.move(1, 2, 0);
    kbc.keyboard.sendKey("ArrowUp", true);
    const state = JSON.parse(JSON.stringify(kbc.save()));
    const before = drain();
    kbc.load(state);
    expect(drain()).toEqual(before);
    expect(before).toHaveLength(5);
    expect(() => kbc.load({ ...state, mouse: {} })).toThrowError(expect.objectContaining({ code: "bad-state" }));
  });
});
