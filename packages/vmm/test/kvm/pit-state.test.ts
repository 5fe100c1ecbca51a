import { ManualClock, PIT_HZ, Pit, type PitState } from "@softmetal/chipset";
import { PitState as KvmPit } from "@softmetal/kvm-binding";
import fc from "fast-check";
import { expect, it } from "vitest";
import { readPit, writePit } from "../../src/kvm/pit-state.js";

const clock = new ManualClock(5e9);
const now = clock.now();
const HOST = 77_000_000_000n;
const chip = () => new Pit({ timers: clock, irq: { set() {} } });

function there(state: PitState) {
  const kvm = KvmPit.create();
  writePit(state, kvm, now);
  return kvm;
}

it("has the kernel's numbers", () => {
  const pit = chip();
  const write = (port: number, ...values: number[]) => {
    for (const value of values) pit.writePort(port, 1, value);
  };
  write(0x43, 0x34, 0xb0); // counter 0: mode 2; counter 2: mode 0
  write(0x40, 0x9c, 0x2e);
  write(0x61, 0x03);
  write(0x42, 0x50, 0xc3);
  write(0x43, 0x80); // latches counter 2
  pit.readPort(0x42);
  const kvm = there(pit.save());
  const { channels } = kvm;
  const [first, unused, third] = channels;
  expect(first).toMatchObject({ mode: 2, count: 0x2e9c, rw_mode: 3, gate: 1, count_latched: 0, write_state: 3 });
  expect(unused).toMatchObject({ mode: 0xff, count: 0x10000 });
  // The high byte of the latched count is still to be read.
  expect(third).toMatchObject({ mode: 0, gate: 1, count_latched: 2, latched_count: 50000 });
  expect(third.count).toBeGreaterThan(49_990);
  expect(kvm.flags & 2).toBe(2);
  // A millisecond later by the host's clock.
  third.count_load_time = HOST - 1_000_000n;
  const back = readPit(kvm, now, HOST);
  const loaded = ((now - 1_000_000) * PIT_HZ) / 1e9;
  expect(Math.abs(back.counters[2].start - loaded)).toBeLessThan(2);
  expect(back.portB).toBe(3);
});

it("comes back as it went", () => {
  const access = fc.record({
    port: fc.constantFrom(0x40, 0x41, 0x42, 0x43, 0x61),
    value: fc.integer({ min: 0, max: 255 }),
    read: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(access, { maxLength: 40 }), (accesses) => {
      const pit = chip();
      for (const { port, value, read } of accesses) {
        if (read) pit.readPort(port);
        else pit.writePort(port, 1, value);
      }
      const state = pit.save();
      const kvm = there(state);
      for (const channel of kvm.channels) channel.count_load_time = HOST;
      const back = readPit(kvm, now, HOST);
      expect(back.portB & 3).toBe(state.portB & 3);
      back.counters.forEach((counter, index) => {
        const before = state.counters[index];
        const kept = ["mode", "access", "bcd", "gate", "writeMsb", "countLatched", "statusLatched"] as const;
        for (const name of kept) expect([name, counter[name]]).toEqual([name, before[name]]);
        if (before.countLatched) expect(counter.latchedCount).toBe(before.latchedCount);
        if (before.statusLatched) expect(counter.latchedStatus).toBe(before.latchedStatus);
        if (before.writeMsb) expect(counter.writeLow).toBe(before.writeLow);
        expect(counter.readMsb).toBe(before.readMsb);
      });
      // chipset takes it.
      chip().load(back);
    }),
  );
});
