import { createMachine, type Machine } from "@softmetal/vmm";
import { describe, expect, it } from "vitest";
import { available, debian, LIMIT } from "./debian.js";
import { Console } from "./kvm/support.js";

describe.skipIf(!available)("Debian at its shell", () => {
  it(
    "answers in another machine, which it was saved for",
    async () => {
      const config = { memory: 128 << 20, accel: "translator", boot: await debian("amd64", "quiet") } as const;
      const machines: Machine[] = [];
      const make = async (state?: Uint8Array) => {
        const machine = await createMachine({ ...config, ...(state && { state }) });
        machines.push(machine);
        return { machine, port: new Console(machine) };
      };
      try {
        const first = await make();
        await first.machine.start();
        await first.port.until("/ # ");
        await first.port.send("secret=4711; uptime=$(cut -d. -f1 /proc/uptime); sleep 1; echo read''y\n");
        await first.port.until("ready");
        await first.port.until("/ # ");
        const state = await first.machine.saveState();
        // A small part of the RAM: what the guest has used.
        expect(state.length).toBeLessThan(120 << 20);
        await first.machine.destroy();
        const second = await make(state);
        await second.machine.start();
        await second.port.send('echo "secret $secret, $(($(cut -d. -f1 /proc/uptime) - uptime)) s"\n');
        await second.port.until("secret 4711, ");
        // Its clock went on from where it was.
        await second.port.until(" s\r\n");
        await second.port.until("/ # ");
        // Timers and processes work as before.
        await second.port.send("sleep 1; ps | grep -c '[k]worker' > /dev/null && echo fin''e\n");
        await second.port.until("fine");
        // A running machine goes back to the saved state, too.
        await second.port.until("/ # ");
        await second.port.send("secret=forgotten\n");
        await second.port.until("/ # ");
        await second.machine.loadState(state);
        await second.port.send('echo "sec""ret $secret"\n');
        await second.port.until("secret 4711");
      } finally {
        for (const machine of machines) await machine.destroy();
      }
    },
    LIMIT,
  );
});
