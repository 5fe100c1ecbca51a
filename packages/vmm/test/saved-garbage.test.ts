import { createMachine } from "@softmetal/vmm";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MachineError } from "../src/api.js";
import { TranslatorMachine } from "../src/machine/translator.js";
import { loadMachineState, saveMachine } from "../src/saved-state/index.js";

/** Longer runs by `SOFTMETAL_FUZZ_RUNS`. */
const RUNS = Number(process.env.SOFTMETAL_FUZZ_RUNS ?? 100);
/** Milliseconds. */
const LIMIT = 60_000 + RUNS * 1000;

/** Prints "x" for ever, with interrupts on. */
const program = [0xfb, 0xb0, 0x78, 0xe6, 0xe9, 0xeb, 0xfa];
const config = {
  memory: 16 << 20,
  accel: "translator",
  boot: { kind: "flat", image: Uint8Array.from(program), loadAddress: 0x7c00, mode: "real" },
  devices: { debugConsole: true },
} as const;
const events = { debugConsole() {}, serialConsumed() {}, reset() {} };
const makeHere = () => new TranslatorMachine(config, events);

const HEADER = 16;
/** Takes a saved machine apart and puts it together with another description. */
function redescribe(saved: Uint8Array, change: (text: string) => string): Uint8Array {
  const view = new DataView(saved.buffer, saved.byteOffset);
  const end = HEADER + view.getUint32(8, true);
  const text = new TextEncoder().encode(change(new TextDecoder().decode(saved.subarray(HEADER, end))));
  const result = new Uint8Array(HEADER + text.length + saved.length - end);
  result.set(saved.subarray(0, HEADER));
  new DataView(result.buffer).setUint32(8, text.length, true);
  result.set(text, HEADER);
  result.set(saved.subarray(end), HEADER + text.length);
  return result;
}

/** Loads it; when that works, the machine runs for a while, whatever the guest makes of its state. */
function tryHere(machine: TranslatorMachine, bytes: Uint8Array): void {
  try {
    loadMachineState(machine, config, bytes);
  } catch (error) {
    expect(error).toBeInstanceOf(MachineError);
    expect(error).toMatchObject({ code: "bad-saved-state" });
    expect((error as Error).message).toMatch(/^The .*\.$/s);
    return;
  }
  for (let slice = 0; slice < 3; slice++) machine.runSlice();
  // And can be saved and loaded itself.
  loadMachineState(machine, config, saveMachine(machine, config));
}

describe("a saved machine that is none", () => {
  const original = makeHere();
  for (let slice = 0; slice < 3; slice++) original.runSlice();
  const saved = saveMachine(original, config);

  it("is refused: bytes changed, cut off or added", { timeout: LIMIT }, () => {
    const machine = makeHere();
    const before = saveMachine(machine, config);
    const length = new DataView(saved.buffer).getUint32(8, true) + HEADER;
    fc.assert(
      fc.property(
        fc.oneof(fc.integer({ min: 0, max: length + 40 }), fc.integer({ min: 0, max: saved.length - 1 })),
        fc.integer({ min: 0, max: 255 }),
        fc.constantFrom("change", "cut", "add"),
        (at, byte, what) => {
          const bytes =
            what === "cut" ? saved.slice(0, at) : Uint8Array.from([...saved, ...(what === "add" ? [byte] : [])]);
          if (what === "change") bytes[at] = byte;
          tryHere(machine, bytes);
        },
      ),
      { numRuns: RUNS },
    );
    loadMachineState(machine, config, before);
  });

  it("is refused: any numbers and values in its description", { timeout: LIMIT }, () => {
    const machine = makeHere();
    const odd = [
      "null",
      '"x"',
      "[]",
      "{}",
      "-1",
      "1e300",
      "-1e300",
      "2.5",
      "4294967295",
      '"0xffffffffffffffff"',
      '"0x"',
    ];
    fc.assert(
      fc.property(
        fc.array(fc.record({ at: fc.nat({ max: 500 }), value: fc.constantFrom(...odd) }), {
          minLength: 1,
          maxLength: 4,
        }),
        (changes) => {
          const bytes = redescribe(saved, (text) => {
            let count = 0;
            return text.replace(/(?<=[:[,])("0x[0-9a-f]+"|-?[0-9.]+|true|false)(?=[,\]}])/g, (value) => {
              const index = count++;
              return changes.find(({ at }) => at === index)?.value ?? value;
            });
          });
          tryHere(machine, bytes);
        },
      ),
      { numRuns: RUNS * 4 },
    );
  });

  it("leaves the machine as it was", () => {
    const machine = makeHere();
    machine.pause();
    const before = saveMachine(machine, config);
    // The last device's state is wrong, when all others have been taken over.
    const bytes = redescribe(saved, (text) =>
      text.replace('"com1":{', '"com1":{"ier":"?","was":{').replace(/}}}$/, "}}}}"),
    );
    expect(() => loadMachineState(machine, config, bytes)).toThrow(/uart\.state\.ier/);
    expect(saveMachine(machine, config)).toEqual(before);
  });

  it("is refused by a machine that is not the same", async () => {
    const other = async (more: object, message: RegExp) => {
      const made = createMachine({ ...config, ...more, state: saved });
      await expect(made).rejects.toMatchObject({ name: "MachineError", code: "bad-saved-state", message });
    };
    const like = (pattern: RegExp) => expect.stringMatching(pattern) as unknown as RegExp;
    await other({ memory: 32 << 20 }, like(/has 16777216 bytes of RAM, this one 33554432/));
    await other({ cpu: "pentium3" }, like(/processor has .*sse2.*this one's has not/));
    await other({ devices: { serialPorts: 2 } }, like(/serial ports/));
    await other({ state: saved, memory: 16 << 20, cpu: "max", devices: { serialPorts: 0 } }, like(/serial ports/));
    await expect(createMachine({ ...config, state: "?" as never })).rejects.toMatchObject({ code: "bad-config" });
    const machine = await createMachine(config);
    try {
      await expect(machine.loadState(new Uint8Array(3))).rejects.toMatchObject({ code: "bad-saved-state" });
      await machine.loadState(saved);
      await machine.start();
      await machine.loadState(await machine.saveState());
      expect(machine.state).toBe("running");
    } finally {
      await machine.destroy();
    }
    await expect(machine.saveState()).rejects.toMatchObject({ code: "bad-state" });
  });
});
