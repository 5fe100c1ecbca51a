import { readdirSync } from "node:fs";
import { createMachine, type MachineConfig } from "@softmetal/vmm";
import { expect, it } from "vitest";
import { idle, sleep } from "../idle.js";
import { Console, configure, describeKvm, interpreted, kvm, runToEnd } from "./support.js";

const echo = (more: Partial<MachineConfig> = {}) => configure("echo", "real", { accel: "kvm", ...more });

describeKvm("a machine in KVM", () => {
  it("takes input while its processor sleeps, and sleeps when there is nothing to do", async () => {
    const machine = await createMachine(echo());
    expect(machine.accel).toBe("kvm");
    const port = new Console(machine);
    await machine.start();
    await port.until("!");
    for (const letter of "hello") {
      await port.send(letter);
      await port.until(letter.toUpperCase());
    }
    expect((await machine.statistics()).busyMilliseconds).toBeGreaterThan(0);
    // Less than one per cent of a processor, the question itself included.
    expect(await idle(machine, 2000, 20)).toBe(true);
    await machine.destroy();
  });

  it("pauses, resumes and resets", async () => {
    const machine = await createMachine(echo());
    const port = new Console(machine);
    const resets: string[] = [];
    machine.on("reset", (cause) => resets.push(cause));
    await machine.start();
    await port.until("!");
    await machine.pause();
    const sent = port.send("a");
    await sleep(100);
    await machine.resume();
    await sent;
    await port.until("A");
    await machine.reset();
    await port.until("!");
    await port.send("\x1b");
    await port.until("!");
    await port.send("\n");
    await port.until("3");
    expect(resets).toEqual(["host", "guest"]);
    expect((await machine.statistics()).resets).toBe(2);
    await machine.powerOff();
    expect(await machine.ended).toEqual({ reason: "poweroff" });
  });

  it("can be paused, reset and destroyed in the middle of a loop that never leaves the guest", async () => {
    const machine = await createMachine(configure("spin", "real", { accel: "kvm" }));
    await machine.start();
    await sleep(50);
    await machine.pause();
    await machine.resume();
    await machine.reset();
    await machine.destroy();
    expect(await machine.ended).toEqual({ reason: "destroyed" });
  });

  it("ends by a triple fault or resets, as configured", async () => {
    // UD2 with an empty interrupt table.
    const boot = { kind: "flat", image: Uint8Array.of(0x0f, 0x0b), loadAddress: 0x7c00, mode: "protected" } as const;
    expect((await runToEnd({ ...echo(), boot })).end).toEqual({ reason: "triple-fault" });
    const machine = await createMachine({ ...echo(), boot, onTripleFault: "reset" });
    const reset = new Promise((resolve) => machine.on("reset", resolve));
    await machine.start();
    expect(await reset).toBe("triple-fault");
    await machine.destroy();
  });

  it("starts several processors", async () => {
    for (const cpus of [2, 4]) {
      const { end, output } = await runToEnd(configure("smp", "protected", { accel: "kvm", cpus }));
      expect(end).toEqual({ reason: "debug-exit", code: 1 });
      const count = `0000000${cpus - 1}`;
      expect(output).toBe(`${":8\n".repeat(cpus - 1)}${count} ${count} \n`);
    }
  });

  it("keeps atomic what it executes in KVM's place", async () => {
    for (const cpus of [2, 3]) {
      const { end, output } = await runToEnd(configure("contend", "long", { accel: "kvm", cpus }));
      expect(end).toEqual({ reason: "debug-exit", code: 1 });
      const count = (200 * cpus).toString(16).padStart(8, "0");
      expect(output).toBe(`${count} ${count} `);
    }
  });

  it("pauses and resets all of several processors", async () => {
    const machine = await createMachine(configure("smp", "protected", { accel: "kvm", cpus: 3 }));
    let output = "";
    machine.on("debugConsole", (bytes) => {
      output += new TextDecoder().decode(bytes);
    });
    await machine.start();
    await machine.pause();
    await machine.resume();
    await machine.reset();
    expect(await machine.ended).toEqual({ reason: "debug-exit", code: 1 });
    expect(output.endsWith("00000002 00000002 \n")).toBe(true);
  });

  it("runs two machines at once", async () => {
    const results = await Promise.all(
      [1, 2].map(() => runToEnd(configure("protected", "protected", { accel: "kvm" }))),
    );
    expect(results[0]).toEqual(results[1]);
    expect(results[0].end.reason).toBe("debug-exit");
  });

  it("leaves nothing behind", async () => {
    const held = () => [readdirSync("/proc/self/fd").length, readdirSync("/proc/self/task").length];
    const cycle = async (cpus: number) => {
      const machine = await createMachine(echo({ cpus }));
      await machine.start();
      await machine.destroy();
    };
    for (const cpus of [1, 3]) await cycle(cpus);
    await sleep(200);
    const before = held();
    for (const cpus of [1, 2, 3, 1]) await cycle(cpus);
    // A descriptor or thread of the test's own surroundings may come and go; a machine holds a dozen.
    const more = () => Math.max(...held().map((count, index) => count - before[index]));
    await expect.poll(more, { timeout: 10_000 }).toBeLessThanOrEqual(2);
  });

  it("is chosen by itself only when it is fast, and says why", async () => {
    const machine = await createMachine(configure("spin", "real", { accel: "auto" }));
    expect(machine.accel).toBe(interpreted ? "translator" : "kvm");
    // The speed in it differs from one measurement to the next.
    const withoutNumber = (text: string) => text.replace(/[\d.]+/, "");
    expect(withoutNumber(machine.accelReason)).toBe(withoutNumber(kvm.reason));
    await machine.destroy();
    const several = await createMachine(configure("spin", "real", { cpus: 2 }));
    expect([several.accel, several.accelReason]).toEqual(["kvm", "only KVM runs several processors"]);
    await several.destroy();
    const counted = await createMachine(configure("spin", "real", { time: "instructions" }));
    expect([counted.accel, counted.accelReason]).toEqual(["translator", "only the translator counts instructions"]);
    await counted.destroy();
  });

  it("refuses what it cannot do", async () => {
    const refused = (more: Partial<MachineConfig>, code: string) =>
      expect(createMachine(echo(more))).rejects.toMatchObject({ name: "MachineError", code });
    await refused({ cpus: 0 }, "bad-config");
    await refused({ cpus: 1.5 }, "bad-config");
    await refused({ cpus: 256 }, "bad-config");
    await refused({ kvm: { irqchip: "none" as "split" } }, "bad-config");
    await refused({ accel: "translator", cpus: 2 }, "bad-config");
    await refused({ time: "instructions" }, "bad-config");
    await refused({ accel: "auto", time: "instructions", cpus: 2 }, "bad-config");
    await refused({ cpu: "80286" }, "bad-cpu");
    await refused({ boot: { kind: "multiboot", kernel: new Uint8Array(100) } }, "bad-boot-image");
  });
});
