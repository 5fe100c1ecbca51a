import { createMachine } from "@softmetal/vmm";
import fc from "fast-check";
import { expect, it } from "vitest";
import { configure, describeKvm } from "./support.js";

const HEADER = 16;
const ODD = ["null", '"x"', "{}", "-1", "1e300", "2.5", "4294967295", '"0xffffffffffffffff"', '"0x0"'];

describeKvm("a saved machine with any values", () => {
  for (const irqchip of ["kernel", "split"] as const) {
    it(`is refused or runs, irqchip ${irqchip}`, { timeout: 120_000 }, async () => {
      const machine = await createMachine(configure("spin", "real", { accel: "kvm", kvm: { irqchip } }));
      try {
        const saved = await machine.saveState();
        const end = HEADER + new DataView(saved.buffer).getUint32(8, true);
        const text = new TextDecoder().decode(saved.subarray(HEADER, end));
        const change = fc.record({ at: fc.nat({ max: 600 }), value: fc.constantFrom(...ODD) });
        await fc.assert(
          fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), async (changes) => {
            let count = 0;
            const changed = text.replace(/(?<=[:[,])("0x[0-9a-f]+"|-?[0-9.]+|true|false)(?=[,\]}])/g, (value) => {
              const index = count++;
              return changes.find(({ at }) => at === index)?.value ?? value;
            });
            const description = new TextEncoder().encode(changed);
            const bytes = Uint8Array.from([...saved.subarray(0, HEADER), ...description, ...saved.subarray(end)]);
            new DataView(bytes.buffer).setUint32(8, description.length, true);
            try {
              await machine.loadState(bytes);
            } catch (error) {
              expect(error).toMatchObject({ name: "MachineError", code: "bad-saved-state" });
            }
            // Either way it is still a machine.
            expect(machine.state).toBe("created");
          }),
          { numRuns: 60 },
        );
        await machine.loadState(saved);
        await machine.start();
        await machine.pause();
      } finally {
        await machine.destroy();
      }
    });
  }
});
