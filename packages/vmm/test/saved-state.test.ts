import type { IoApicState, LocalApicState } from "@softmetal/chipset";
import { createMachine, type Machine, type MachineConfig } from "@softmetal/vmm";
import { afterEach, describe, expect, it } from "vitest";
import { TranslatorMachine } from "../src/machine/translator.js";
import { sleep } from "./idle.js";
import { missingTools } from "./kvm/image.js";
import { configure, kvm } from "./kvm/support.js";

/** Milliseconds. */
const PATIENCE = 20_000;
const machines: Machine[] = [];
afterEach(async () => {
  for (const machine of machines.splice(0)) await machine.destroy();
});

type Engine = Pick<MachineConfig, "accel" | "kvm">;
const ENGINES: Record<string, Engine> = {
  translator: { accel: "translator" },
  ...(kvm.usable ? { kvm: { accel: "kvm" }, split: { accel: "kvm", kvm: { irqchip: "split" } } } : {}),
};

/** A machine that collects what comes out of port 0xE9. */
async function make(config: MachineConfig) {
  const machine = await createMachine(config);
  machines.push(machine);
  const ended = machine.ended.then((end) => end.reason);
  const self = {
    machine,
    /** Why the machine ended; what it said when it does not. */
    end: () => Promise.race([ended, sleep(PATIENCE).then(() => `nothing after ${self.output}`)]),
    output: "",
    waiting: () => {},
    /** Waits until the output is as wanted. */
    until: async (wanted: (output: string) => boolean) => {
      while (!wanted(self.output) && machine.state !== "ended") {
        await new Promise<void>((resolve) => {
          self.waiting = resolve;
        });
      }
    },
  };
  machine.on("debugConsole", (bytes) => {
    self.output += new TextDecoder("latin1").decode(bytes);
    self.waiting();
  });
  machine.on("end", () => self.waiting());
  return self;
}

/** The numbers that an interrupt printed, in order. */
const numbers = (output: string, letter: string) =>
  [...output.matchAll(new RegExp(`${letter}([0-9a-f]{8}) `, "g"))].map(([, digits]) => Number.parseInt(digits, 16));

const LAST = 0x20;

/** Saves a machine in the middle of `timers`, goes on in another and then in the first. */
async function check(from: Engine, to: Engine, cpus: number) {
  const config = configure("timers", "protected", { cpus });
  const first = await make({ ...config, ...from });
  await first.machine.start();
  // All three have begun: on a busy host one processor may be far ahead.
  await first.until((output) => numbers(output, "R").length >= 8 && /P.*L|L.*P/.test(output));
  await first.machine.pause();
  const state = await first.machine.saveState();
  const before = first.output;
  const second = await make({ ...config, ...to, state });
  await second.machine.start();
  expect(await second.end()).toBe("debug-exit");
  for (const letter of "PLR") {
    // Every interrupt once: none is lost, none comes twice.
    const all = numbers(before + second.output, letter);
    expect(all).toEqual(all.map((_, index) => index + 1));
    expect(all.length).toBeGreaterThanOrEqual(LAST);
    expect(numbers(second.output, letter)[0]).toBeGreaterThan(1);
  }
  // The machine that was saved goes on as well.
  await first.machine.resume();
  expect(await first.end()).toBe("debug-exit");
  expect(numbers(first.output, "P").length).toBeGreaterThanOrEqual(LAST);
}

describe.skipIf(missingTools.length > 0)("a saved machine goes on", () => {
  const names = Object.keys(ENGINES);
  const pairs = names.flatMap((from) => names.map((to) => [from, to] as const));
  it.each(pairs)("from %s to %s, its timers too", { timeout: 60_000 }, (from, to) =>
    check(ENGINES[from], ENGINES[to], 1),
  );
  it.each(pairs.filter((pair) => !pair.includes("translator")))(
    "from %s to %s with three processors",
    {
      timeout: 60_000,
    },
    (from, to) => check(ENGINES[from], ENGINES[to], 3),
  );

  it("has the interrupts that devices find they owe while they are saved", () => {
    let output = "";
    const debugConsole = (byte: number) => {
      output += String.fromCharCode(byte);
    };
    const machine = new TranslatorMachine(configure("timers", "protected"), {
      debugConsole,
      serialConsumed() {},
      reset() {},
    });
    machine.resume();
    while (output === "") machine.runSlice();
    // The RTC interrupts 64 times a second; nothing has fired its timer when the machine is saved.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
    machine.pause();
    const { devices, cpus } = machine.save();
    expect((devices.ioApic as IoApicState).low[8] & 0x4000).toBe(0x4000);
    expect((cpus[0].apic as LocalApicState).vectors.irr[0x41 >> 5] & 2).toBe(2);
  });
});
