import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { APIC_MSR, ChipsetError, type KeyCode, ManualClock } from "../src/index.js";
import { Board } from "./board.js";

/** Longer runs by `CHIPSET_FUZZ_RUNS`. */
const RUNS = Number(process.env.CHIPSET_FUZZ_RUNS ?? 150);

type Action =
  | { do: "out"; port: number; size: 1 | 2 | 4; value: number }
  | { do: "in"; port: number; size: 1 | 2 | 4 }
  | { do: "write"; address: number; size: 1 | 2 | 4; value: number }
  | { do: "read"; address: number; size: 1 | 2 | 4 }
  | { do: "wrmsr"; cpu: number; msr: number; low: number; high: number }
  | { do: "rdmsr"; cpu: number; msr: number }
  | { do: "ack"; cpu: number }
  | { do: "cr8"; cpu: number; value: number }
  | { do: "advance"; ns: number }
  | { do: "key"; key: KeyCode; down: boolean }
  | { do: "mouse"; dx: number; dy: number }
  | { do: "msi"; address: number; data: number }
  | { do: "line"; pin: number; level: boolean }
  | { do: "button" }
  | { do: "break" };

const port = fc.oneof(
  fc.constantFrom(
    0x20,
    0x21,
    0xa0,
    0xa1,
    0x40,
    0x41,
    0x42,
    0x43,
    0x60,
    0x61,
    0x64,
    0x70,
    0x71,
    0x92,
    0x4d0,
    0x4d1,
    0xcf9,
  ),
  fc.integer({ min: 0x3f8, max: 0x3ff }),
  fc.integer({ min: 0x600, max: 0x60c }),
  fc.integer({ min: 0x61f, max: 0x624 }),
  fc.integer({ min: 0, max: 0xffff }),
);
const size = fc.constantFrom(1 as const, 2 as const, 4 as const);
const value = fc.oneof(fc.integer({ min: 0, max: 0xff }), fc.integer({ min: 0, max: 0xffffffff }));
const address = fc.oneof(
  fc.constantFrom(0xfec00000, 0xfec00010, 0xfec00040),
  fc.integer({ min: 0, max: 63 }).map((index) => 0xfee00000 + index * 16),
  fc.integer({ min: 0xfec00000, max: 0xfec00100 }),
  fc.integer({ min: 0xfee00000, max: 0xfee01010 }),
);
const cpu = fc.integer({ min: 0, max: 1 });
const msr = fc.oneof(
  fc.constantFrom(APIC_MSR.base, APIC_MSR.tscDeadline),
  fc.integer({ min: APIC_MSR.x2apicFirst, max: APIC_MSR.x2apicLast }),
);
const baseValue = fc.constantFrom(0xfee00900, 0xfee00d00, 0xfee00100);

const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("out" as const), port, size, value }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("in" as const), port, size }) },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant("write" as const), address, size: fc.constant(4 as const), value }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("write" as const), address, size, value }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("read" as const), address, size }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("wrmsr" as const), cpu, msr, low: value, high: value }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("wrmsr" as const),
      cpu,
      msr: fc.constant(APIC_MSR.base as number),
      low: baseValue,
      high: fc.constant(0),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("rdmsr" as const), cpu, msr }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("ack" as const), cpu }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("cr8" as const), cpu, value }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("advance" as const), ns: fc.integer({ min: 0, max: 3_000_000 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("key" as const),
      key: fc.constantFrom<KeyCode>("KeyA", "Pause", "ArrowUp", "PrintScreen"),
      down: fc.boolean(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("mouse" as const),
      dx: fc.integer({ min: -1000, max: 1000 }),
      dy: fc.integer({ min: -1000, max: 1000 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("msi" as const), address: value, data: value }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("line" as const),
      pin: fc.integer({ min: 16, max: 23 }),
      level: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.constantFrom({ do: "button" as const }, { do: "break" as const }) },
);

/** Does it and gives what the outside sees of it. */
function perform(board: Board, a: Action): unknown {
  switch (a.do) {
    case "out":
      return board.ports.writePort(a.port, a.size, a.value);
    case "in":
      return board.ports.readPort(a.port, a.size);
    case "write":
      return board.mmio.write(a.address, a.size, a.value);
    case "read":
      return board.mmio.read(a.address, a.size);
    case "wrmsr":
      return board.apics[a.cpu].writeMsr(a.msr, a.low, a.high);
    case "rdmsr": {
      const result = { low: 0, high: 0 };
      return [board.apics[a.cpu].readMsr(a.msr, result), result.low >>> 0, result.high >>> 0];
    }
    case "ack":
      return [board.apics[a.cpu].pending(), board.apics[a.cpu].acknowledge()];
    case "cr8":
      board.apics[a.cpu].setCr8(a.value);
      return board.apics[a.cpu].getCr8();
    case "advance":
      return board.clock.advance(a.ns);
    case "key":
      return board.kbc.keyboard.sendKey(a.key, a.down);
    case "mouse":
      return board.kbc.mouse.move(a.dx, a.dy, a.dx & 7, a.dy & 3);
    case "msi":
      return board.bus.sendMsi(a.address, a.data);
    case "line":
      return board.ioApic.line(a.pin).set(a.level);
    case "button":
      return board.pm.pressPowerButton();
    case "break":
      return board.uart.receiveBreak();
  }
}

describe("hostile accesses", () => {
  it("never throw, return unsigned numbers of their size, and leave a state of constant size", () => {
    const empty = JSON.stringify(new Board().save()).length;
    fc.assert(
      fc.property(fc.array(action, { minLength: 1, maxLength: 300 }), (actions) => {
        const board = new Board();
        for (const a of actions) {
          const result = perform(board, a);
          if (a.do !== "in" && a.do !== "read") continue;
          expect(Number.isInteger(result)).toBe(true);
          expect(result).toBeGreaterThanOrEqual(0);
          expect(result).toBeLessThan(2 ** (8 * a.size));
        }
        const state = JSON.stringify(board.save());
        expect(state.length).toBeLessThan(empty + 3000);
        expect(state).not.toContain("null");
      }),
      { numRuns: RUNS },
    );
  });

  it("cannot make timers fire faster than the limits", () => {
    fc.assert(
      fc.property(fc.array(action, { minLength: 1, maxLength: 200 }), (actions) => {
        const board = new Board();
        for (const a of actions) perform(board, a);
        let fired = 0;
        const end = board.clock.now() + 10e6;
        while (board.clock.nextDeadline <= end) {
          board.clock.advanceTo(board.clock.nextDeadline);
          fired++;
        }
        // PIT and two APIC timers at 20 us each, and the rest.
        expect(fired).toBeLessThanOrEqual(3 * 500 + 20);
      }),
      { numRuns: RUNS },
    );
  });
});

describe("save and load", () => {
  it("give a machine with the same future", () => {
    fc.assert(
      fc.property(
        fc.array(action, { minLength: 1, maxLength: 200 }),
        fc.array(action, { minLength: 1, maxLength: 200 }),
        (past, future) => {
          const one = new Board();
          for (const a of past) perform(one, a);
          const two = new Board(new ManualClock(one.clock.now()));
          two.room = one.room;
          two.load(JSON.parse(JSON.stringify(one.save())));
          one.events.length = 0;
          two.events.length = 0;
          for (const [i, a] of future.entries()) {
            expect([i, a, perform(two, a)]).toEqual([i, a, perform(one, a)]);
          }
          expect(two.events).toEqual(one.events);
          expect(two.save()).toEqual(one.save());
        },
      ),
      { numRuns: RUNS },
    );
  });

  it("refuse states of another shape with a typed error, and hold against any numbers", () => {
    const shape = JSON.stringify(new Board().save());
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 400 }),
        fc.constantFrom("null", '"x"', "[]", "-1", "1e300", "2.5"),
        (at, replacement) => {
          // Replaces one number somewhere in the state.
          let count = 0;
          const changed = shape.replace(/(?<=[:[,])-?[0-9.]+(?=[,\]}])/g, (number) =>
            count++ === at ? replacement : number,
          );
          const board = new Board();
          try {
            board.load(JSON.parse(changed));
          } catch (error) {
            expect(error).toBeInstanceOf(ChipsetError);
            expect(error).toMatchObject({ code: "bad-state" });
            return;
          }
          for (let p = 0x20; p < 0x630; p++) {
            board.ports.readPort(p, 1);
            board.ports.writePort(p, 1, 0x5a);
          }
          board.apics[0].acknowledge();
          board.kbc.keyboard.sendKey("Pause", true);
          board.bus.sendMsi(0xfee00000, 0x0141);
        },
      ),
      { numRuns: RUNS * 2 },
    );
  });
});
