import { beforeEach, describe, expect, it } from "vitest";
import { PicPair, Ports } from "../src/index.js";
import { Probe } from "./helpers.js";

let ports: Ports;
let intr: Probe;
let pic: PicPair;
const out = (port: number, ...values: number[]) => {
  for (const value of values) ports.writePort(port, 1, value);
};
const inb = (port: number) => ports.readPort(port, 1);
const pulse = (irq: number) => {
  pic.line(irq).set(false);
  pic.line(irq).set(true);
};

/** As the PC's firmware and Linux do it: vectors 0x20 and 0x28, cascade on IR2, 8086 mode. */
function initialise(icw4 = 1) {
  out(0x20, 0x11);
  out(0x21, 0x20, 0x04, icw4);
  out(0xa0, 0x11);
  out(0xa1, 0x28, 0x02, icw4);
}

beforeEach(() => {
  ports = new Ports();
  intr = new Probe();
  pic = new PicPair(intr);
  pic.attach(ports);
  initialise();
});

describe("8259A pair", () => {
  it("delivers an edge once, with its vector, and holds lower priorities until EOI", () => {
    pulse(3);
    pulse(1);
    pulse(4);
    expect(intr.level).toBe(true);
    expect(pic.acknowledge()).toBe(0x21);
    expect(intr.level).toBe(false);
    out(0x20, 0x20);
    expect(pic.acknowledge()).toBe(0x23);
    pulse(0);
    expect(pic.acknowledge()).toBe(0x20);
    out(0x20, 0x20, 0x20);
    expect(pic.acknowledge()).toBe(0x24);
    out(0x20, 0x20);
    expect(intr.level).toBe(false);
  });

  it("cascades, and both chips want their EOI", () => {
    pulse(12);
    expect(pic.acknowledge()).toBe(0x2c);
    out(0xa0, 0x0b);
    out(0x20, 0x0b);
    expect([inb(0x20), inb(0xa0)]).toEqual([0x04, 0x10]);
    pulse(8);
    expect(intr.level).toBe(false);
    out(0xa0, 0x20);
    out(0x20, 0x20);
    expect(pic.acknowledge()).toBe(0x28);
  });

  it("lets the slave interrupt itself in special fully nested mode", () => {
    initialise(0x11);
    pulse(12);
    pic.acknowledge();
    pulse(8);
    expect(intr.level).toBe(true);
    expect(pic.acknowledge()).toBe(0x28);
  });

  it("masks, and shows the request when unmasked", () => {
    out(0x21, 0x08);
    pulse(3);
    expect(intr.level).toBe(false);
    expect(inb(0x21)).toBe(0x08);
    out(0x20, 0x0a);
    expect(inb(0x20)).toBe(0x08);
    out(0x21, 0);
    expect(intr.level).toBe(true);
  });

  it("answers 7 for a request that has gone, without putting it into service", () => {
    pulse(3);
    pic.line(3).set(false);
    expect(intr.level).toBe(false);
    expect(pic.acknowledge()).toBe(0x27);
    out(0x20, 0x0b);
    expect(inb(0x20)).toBe(0);
  });

  it("answers 7 as well when a request of the slave has gone", () => {
    pulse(12);
    pic.line(12).set(false);
    expect(pic.acknowledge()).toBe(0x27);
    out(0xa0, 0x0b);
    expect(inb(0xa0)).toBe(0);
  });

  it("repeats level-triggered requests until the wire falls", () => {
    out(0x4d0, 0xff);
    out(0x4d1, 0xff);
    expect([inb(0x4d0), inb(0x4d1)]).toEqual([0xf8, 0xde]);
    pulse(5);
    expect(pic.acknowledge()).toBe(0x25);
    out(0x20, 0x20);
    expect(pic.acknowledge()).toBe(0x25);
    pic.line(5).set(false);
    out(0x20, 0x20);
    expect(intr.level).toBe(false);
  });

  it("does not see a line again that stays up in edge mode", () => {
    pulse(5);
    pic.acknowledge();
    out(0x20, 0x20);
    pic.line(5).set(true);
    expect(intr.level).toBe(false);
  });

  it("rotates priorities on EOI and by command", () => {
    pulse(3);
    pic.acknowledge();
    out(0x20, 0xa0); // rotate on non-specific EOI: 3 is now the lowest
    pulse(3);
    pulse(4);
    expect(pic.acknowledge()).toBe(0x24);
    out(0x20, 0x64);
    out(0x20, 0xc0 | 2); // set priority: 3 is the highest
    expect(pic.acknowledge()).toBe(0x23);
    out(0x20, 0xe3); // rotate on specific EOI
    pulse(2 + 1);
    pulse(7);
    expect(pic.acknowledge()).toBe(0x27);
  });

  it("needs no EOI in automatic EOI mode, and can rotate there", () => {
    initialise(0x03);
    out(0x20, 0x80);
    pulse(3);
    expect(pic.acknowledge()).toBe(0x23);
    pulse(3);
    pulse(5);
    expect(pic.acknowledge()).toBe(0x25);
    expect(pic.acknowledge()).toBe(0x23);
    out(0x20, 0x0b);
    expect(inb(0x20)).toBe(0);
  });

  it("keeps asking for the slave in automatic EOI mode", () => {
    initialise(0x03);
    pulse(9);
    pulse(10);
    expect([pic.acknowledge(), pic.acknowledge()]).toEqual([0x29, 0x2a]);
    expect(intr.level).toBe(false);
  });

  it("lets lower levels through in special mask mode", () => {
    pulse(1);
    pic.acknowledge();
    pulse(6);
    expect(intr.level).toBe(false);
    out(0x20, 0x68);
    out(0x21, 0x02);
    expect(intr.level).toBe(true);
    expect(pic.acknowledge()).toBe(0x26);
    out(0x20, 0x20);
    out(0x20, 0x0b);
    expect(inb(0x20)).toBe(0x02);
    out(0x20, 0x48);
    expect(intr.level).toBe(false);
  });

  it("acknowledges by polling", () => {
    pulse(4);
    out(0x20, 0x0c);
    expect(inb(0x20)).toBe(0x84);
    expect(intr.level).toBe(false);
    out(0x20, 0x0c);
    expect(inb(0x20)).toBe(0);
    out(0x20, 0x0b);
    expect(inb(0x20)).toBe(0x10);
  });

  it("forgets everything at ICW1 and is silent until initialised", () => {
    pulse(3);
    out(0x20, 0x11);
    expect(intr.level).toBe(false);
    out(0x21, 0x40, 0x04);
    pulse(6);
    expect(intr.level).toBe(false);
    out(0x21, 0x01);
    expect(pic.acknowledge()).toBe(0x46);
  });

  it("says nothing before it is initialised", () => {
    const line = new Probe();
    const fresh = new PicPair(line);
    fresh.line(3).set(true);
    expect(line.level).toBe(false);
  });

  it("has no IRQ 2", () => {
    expect(() => pic.line(2)).toThrowError(expect.objectContaining({ code: "bad-range" }));
  });

  it("continues from a saved state", () => {
    pulse(3);
    pic.acknowledge();
    pulse(1);
    const state = JSON.parse(JSON.stringify(pic.save()));
    const line = new Probe();
    const other = new PicPair(line);
    other.load(state);
    expect(line.level).toBe(true);
    expect(other.acknowledge()).toBe(0x21);
    expect(other.save()).not.toEqual(state);
    pic.acknowledge();
    expect(other.save()).toEqual(pic.save());
    expect(() => other.load({ ...state, slave: { irr: "x" } })).toThrowError(
      expect.objectContaining({ code: "bad-state" }),
    );
  });
});
