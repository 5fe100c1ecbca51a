import { describe, expect, it } from "vitest";
import { fanOut, MmioBus, type PortDevice, Ports, SharedLine } from "../src/index.js";
import { Probe } from "./helpers.js";

class Recorder implements PortDevice {
  readonly log: string[] = [];
  readPort(port: number, size: number): number {
    this.log.push(`r${size} ${port.toString(16)}`);
    return 0x80 + (port & 15);
  }
  writePort(port: number, size: number, value: number): void {
    this.log.push(`w${size} ${port.toString(16)} ${value.toString(16)}`);
  }
}

describe("Ports", () => {
  it("reads all ones and swallows writes where nobody is", () => {
    const ports = new Ports();
    ports.writePort(0x80, 4, 1);
    expect([1, 2, 4].map((size) => ports.readPort(0x80, size))).toEqual([0xff, 0xffff, 0xffffffff]);
  });

  it("splits wide accesses for a byte-wide device, low port first", () => {
    const ports = new Ports();
    const device = new Recorder();
    ports.add(0x100, 4, device);
    expect(ports.readPort(0x100, 4)).toBe(0x83828180);
    ports.writePort(0x102, 2, 0xabcd);
    expect(device.log).toEqual(["r1 100", "r1 101", "r1 102", "r1 103", "w1 102 cd", "w1 103 ab"]);
  });

  it("hands wide accesses whole to a wide device and splits those that leave it", () => {
    const ports = new Ports();
    const device = new Recorder();
    ports.add(0x100, 4, device, { width: 4 });
    ports.readPort(0x100, 4);
    ports.writePort(0x101, 2, 0x12345);
    expect(ports.readPort(0x102, 4)).toBe(0xffff0082);
    expect(device.log).toEqual(["r4 100", "w2 101 2345", "r2 102"]);
    expect(ports.readPort(0x103, 2)).toBe(0xff83);
  });

  it("wraps at the end of the port space", () => {
    const ports = new Ports();
    const device = new Recorder();
    ports.add(0, 1, device);
    expect(ports.readPort(0xffff, 2)).toBe(0x80ff);
  });

  it("refuses overlaps and nonsense", () => {
    const ports = new Ports();
    ports.add(0x60, 1, new Recorder());
    expect(() => ports.add(0x5f, 2, new Recorder(), { name: "other" })).toThrowError(
      expect.objectContaining({ code: "overlap", where: "ports 0x5f" }),
    );
    expect(() => ports.add(0xffff, 2, new Recorder())).toThrowError(expect.objectContaining({ code: "bad-range" }));
    ports.remove(0x60, 1);
    ports.add(0x60, 1, new Recorder());
  });
});

describe("MmioBus", () => {
  class Memory {
    readonly bytes = new Uint8Array(16);
    readMmio(offset: number, size: number): number {
      let value = 0;
      for (let i = 0; i < size; i++) value += this.bytes[offset + i] * 2 ** (8 * i);
      return value;
    }
    writeMmio(offset: number, size: number, value: number): void {
      for (let i = 0; i < size; i++) this.bytes[offset + i] = value >>> (8 * i);
    }
  }

  it("finds devices by address, also above 4 GiB, and splits what leaves them", () => {
    const bus = new MmioBus();
    const low = new Memory();
    const high = new Memory();
    bus.add(0xfec00000, 16, low);
    bus.add(0x100_0000_0000, 16, high);
    bus.write64(0xfec00004, 0x1122334455667788n);
    expect(bus.read64(0xfec00004)).toBe(0x1122334455667788n);
    bus.write(0x100_0000_000e, 4, 0xddccbbaa);
    expect([...high.bytes.slice(12)]).toEqual([0, 0, 0xaa, 0xbb]);
    expect(bus.read(0x100_0000_000e, 4)).toBe(0xffffbbaa);
    expect(bus.read(0xfeb00000, 2)).toBe(0xffff);
    expect(bus.read64(0)).toBe(0xffffffffffffffffn);
    expect(bus.has(0xfec0000f)).toBe(true);
    expect(bus.has(0xfec00010)).toBe(false);
  });

  it("refuses overlaps; a removed region is free again", () => {
    const bus = new MmioBus();
    bus.add(0x1000, 0x1000, new Memory());
    expect(() => bus.add(0x1fff, 2, new Memory())).toThrowError(expect.objectContaining({ code: "overlap" }));
    expect(() => bus.add(-1, 2, new Memory())).toThrowError(expect.objectContaining({ code: "bad-range" }));
    bus.read(0x1000, 1);
    expect(bus.remove(0x1000)).toBe(true);
    expect(bus.read(0x1000, 1)).toBe(0xff);
    expect(bus.remove(0x1000)).toBe(false);
  });
});

describe("lines", () => {
  it("or sources together and fan out", () => {
    const a = new Probe();
    const b = new Probe();
    const shared = new SharedLine(fanOut(a, b));
    const [x, y] = [shared.source(), shared.source()];
    x.set(true);
    x.set(true);
    y.set(true);
    x.set(false);
    expect([a.level, b.level, a.edges]).toEqual([true, true, 1]);
    y.set(false);
    expect(b.level).toBe(false);
  });
});
