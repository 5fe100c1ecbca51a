import { beforeEach, describe, expect, it } from "vitest";
import { A20Gate, AcpiPm, DebugConsole, DebugExit, ManualClock, Port92, Ports, ResetControl } from "../src/index.js";
import { Probe } from "./helpers.js";

let clock: ManualClock;
let ports: Ports;
let sci: Probe;
let offs: number;
let pm: AcpiPm;
const inw = (port: number) => ports.readPort(port, 2);
const outw = (port: number, value: number) => ports.writePort(port, 2, value);

beforeEach(() => {
  clock = new ManualClock();
  ports = new Ports();
  sci = new Probe();
  offs = 0;
  pm = new AcpiPm({ timers: clock, sci, powerOff: () => offs++ });
  pm.attach(ports);
});

describe("ACPI registers", () => {
  it("counts the PM timer at 3.579545 MHz in 32 and 24 bits", () => {
    clock.advance(10e9);
    expect(ports.readPort(0x608, 4)).toBe(35_795_450);
    expect(inw(0x60a)).toBe(35_795_450 >> 16);
    clock.advance(1200e9);
    expect(ports.readPort(0x608, 4)).toBe((3_579_545 * 1210) % 2 ** 32);
    const other = new Ports();
    new AcpiPm({ timers: clock, sci, powerOff() {}, timerBits: 24 }).attach(other);
    expect(other.readPort(0x608, 4)).toBe((3_579_545 * 1210) % 2 ** 24);
  });

  it("signals the power button by the SCI until the status is cleared", () => {
    expect(inw(0x604) & 1).toBe(1);
    pm.pressPowerButton();
    expect(sci.level).toBe(false);
    outw(0x602, 0x0100);
    expect(sci.level).toBe(true);
    expect(inw(0x600)).toBe(0x0100);
    outw(0x600, 0x0100);
    expect([sci.level, inw(0x600), inw(0x602)]).toEqual([false, 0, 0x0100]);
    pm.pressPowerButton();
    expect(sci.edges).toBe(2);
    pm.pressSleepButton();
    ports.writePort(0x600, 4, 0xffff_ffff);
    expect(ports.readPort(0x600, 4)).toBe(0x0721_0000);
  });

  it("takes byte accesses", () => {
    ports.writePort(0x603, 1, 0x01);
    expect(inw(0x602)).toBe(0x0100);
    pm.pressPowerButton();
    ports.writePort(0x600, 1, 0xff);
    expect(ports.readPort(0x601, 1)).toBe(0x01);
    ports.writePort(0x601, 1, 0x01);
    expect(inw(0x600)).toBe(0);
  });

  it("turns off at S5 only", () => {
    outw(0x604, (3 << 10) | 0x2000);
    outw(0x604, 5 << 10);
    expect(offs).toBe(0);
    expect(inw(0x604)).toBe((5 << 10) | 1);
    outw(0x604, (5 << 10) | 0x2000);
    expect(offs).toBe(1);
  });

  it("signals timer overflows, wanted or not", () => {
    const half = (2 ** 31 / 3_579_545) * 1e9;
    clock.advance(half + 1000);
    expect(inw(0x600) & 1).toBe(1);
    expect(sci.level).toBe(false);
    outw(0x600, 1);
    expect(inw(0x600) & 1).toBe(0);
    outw(0x602, 1);
    clock.advance(half - 10_000);
    expect(sci.level).toBe(false);
    clock.advance(20_000);
    expect(sci.level).toBe(true);
  });

  it("has level-sensitive general-purpose events", () => {
    const line = pm.gpe(3);
    outw(0x622, 0x0008);
    line.set(true);
    expect([sci.level, inw(0x620)]).toEqual([true, 8]);
    outw(0x620, 8);
    expect(sci.level).toBe(true);
    line.set(false);
    expect(sci.level).toBe(true);
    outw(0x620, 8);
    expect(sci.level).toBe(false);
  });

  it("continues from a saved state and resets", () => {
    outw(0x602, 0x0100);
    pm.pressPowerButton();
    const state = JSON.parse(JSON.stringify(pm.save()));
    pm.reset();
    expect([sci.level, inw(0x602)]).toEqual([false, 0]);
    pm.load(state);
    expect(sci.level).toBe(true);
    expect(pm.save()).toEqual(state);
  });
});

describe("reset and A20 ports", () => {
  it("port 0x92 resets on a rising bit and gates A20", () => {
    let resets = 0;
    const levels: boolean[] = [];
    const a20 = new A20Gate((level) => levels.push(level));
    const port = new Port92(a20, () => resets++);
    port.attach(ports);
    expect(ports.readPort(0x92, 1)).toBe(2);
    ports.writePort(0x92, 1, 0);
    ports.writePort(0x92, 1, 2);
    expect(levels).toEqual([false, true]);
    ports.writePort(0x92, 1, 3);
    ports.writePort(0x92, 1, 3);
    expect(resets).toBe(1);
    const state = port.save();
    port.reset();
    expect(ports.readPort(0x92, 1)).toBe(2);
    port.load(state);
    expect(ports.readPort(0x92, 1)).toBe(3);
    a20.set(false);
    a20.reset();
    expect(a20.save()).toEqual({ enabled: true });
    a20.load({ enabled: false });
    expect(a20.enabled).toBe(false);
  });

  it("0xCF9 tells soft from hard resets", () => {
    const resets: boolean[] = [];
    const control = new ResetControl((hard) => resets.push(hard));
    control.attach(ports);
    ports.writePort(0xcf9, 1, 0x02);
    expect(resets).toEqual([]);
    ports.writePort(0xcf9, 1, 0x06);
    ports.writePort(0xcf9, 1, 0x06);
    expect(ports.readPort(0xcf9, 1)).toBe(6);
    ports.writePort(0xcf9, 1, 0);
    ports.writePort(0xcf9, 1, 0x04);
    expect(resets).toEqual([true, false]);
    control.load({ value: 2 });
    expect(control.save()).toEqual({ value: 2 });
    control.reset();
    expect(control.save()).toEqual({ value: 0 });
  });
});

describe("debug ports", () => {
  it("write characters and end the machine", () => {
    let text = "";
    let status = -1;
    new DebugConsole((byte) => {
      text += String.fromCharCode(byte);
    }).attach(ports);
    new DebugExit((value) => {
      status = value;
    }).attach(ports);
    expect(ports.readPort(0xe9, 1)).toBe(0xe9);
    for (const character of "hi") ports.writePort(0xe9, 1, character.charCodeAt(0));
    ports.writePort(0xf4, 4, 0x10);
    expect([text, status]).toEqual(["hi", 33]);
    ports.writePort(0xf4, 1, 0);
    expect(status).toBe(1);
    expect(ports.readPort(0xf4, 2)).toBe(0);
  });
});
