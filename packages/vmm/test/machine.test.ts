import { createMachine } from "@softmetal/vmm";
import { afterEach, describe, expect, it } from "vitest";
import type { Machine, MachineConfig } from "../src/api.js";
import { idle, sleep } from "./idle.js";

const MIB = 2 ** 20;
const machines: Machine[] = [];
afterEach(async () => {
  for (const machine of machines.splice(0)) await machine.destroy();
});

async function make(program: number[], config: Partial<MachineConfig> = {}): Promise<Machine> {
  const machine = await createMachine({
    memory: 16 * MIB,
    accel: "translator",
    boot: { kind: "flat", image: Uint8Array.from(program), loadAddress: 0x7c00, mode: "real" },
    ...config,
  });
  machines.push(machine);
  return machine;
}

async function read(machine: Machine, until: (text: string) => boolean): Promise<string> {
  let text = "";
  const reader = machine.serial[0].readable.getReader();
  while (!until(text)) {
    const { value, done } = await reader.read();
    if (done) break;
    text += new TextDecoder().decode(value);
  }
  reader.releaseLock();
  return text;
}

/** mov dx,0x3F8; mov al,c; out dx,al */
const print = (character: string) => [0xba, 0xf8, 0x03, 0xb0, character.charCodeAt(0), 0xee];
const halt = [0xf4, 0xeb, 0xfd];
/** mov al,6; mov dx,0xCF9; out dx,al */
const hardReset = [0xb0, 0x06, 0xba, 0xf9, 0x0c, 0xee];
/** lidt [zero-limit table]; int3: nothing can be delivered. In real mode the table at 0x7C00+n has limit 0. */
const tripleFault = (at: number) => [
  0x0f,
  0x01,
  0x1e,
  ...[(0x7c00 + at + 6) & 0xff, (0x7c00 + at + 6) >> 8],
  0xcc,
  0,
  0,
  0,
  0,
  0,
  0,
];

describe("a machine", () => {
  it("ends by isa-debug-exit with the code", async () => {
    // mov al,0x21; out 0xF4,al
    const machine = await make([0xb0, 0x21, 0xe6, 0xf4, ...halt], { devices: { isaDebugExit: {} } });
    await machine.start();
    expect(await machine.ended).toEqual({ reason: "debug-exit", code: 0x43 });
    expect(machine.state).toBe("ended");
  });

  it("restarts on a reset, and ends instead with noReboot", async () => {
    const program = [...print("r"), ...hardReset, ...halt];
    const machine = await make(program);
    let resets = 0;
    machine.on("reset", (cause) => {
      expect(cause).toBe("guest");
      resets++;
    });
    await machine.start();
    expect(await read(machine, (text) => text.length >= 3)).toMatch(/^rrr/);
    expect(resets).toBeGreaterThanOrEqual(2);
    const once = await make(program, { noReboot: true });
    await once.start();
    expect(await once.ended).toEqual({ reason: "reset" });
  });

  it("reports a triple fault when asked to stop", async () => {
    const machine = await make(tripleFault(0), { onTripleFault: "stop" });
    await machine.start();
    expect(await machine.ended).toEqual({ reason: "triple-fault" });
  });

  it("echoes serial input", async () => {
    // next: in al,0x3FD; test al,1; jz next; in al,0x3F8; xor al,0x20; out 0x3F8,al; jmp next
    const echo = [0xba, 0xfd, 0x03, 0xec, 0xa8, 0x01, 0x74, 0xf8, 0xba, 0xf8, 0x03, 0xec, 0x34, 0x20, 0xee, 0xeb, 0xef];
    const machine = await make(echo);
    await machine.start();
    const writer = machine.serial[0].writable.getWriter();
    void writer.write(new TextEncoder().encode("Softmetal"));
    expect(await read(machine, (text) => text.length >= 9)).toBe("sOFTMETAL");
  });

  it("pauses, resumes, and refuses what its state does not allow", async () => {
    const machine = await make([...print("x"), 0xeb, 0xfe]);
    await expect(machine.pause()).rejects.toMatchObject({ code: "bad-state" });
    await machine.start();
    await read(machine, (text) => text === "x");
    await machine.pause();
    const before = await machine.statistics();
    await sleep(50);
    expect((await machine.statistics()).instructions).toBe(before.instructions);
    await machine.resume();
    const instructions = async () => (await machine.statistics()).instructions;
    await expect.poll(instructions, { timeout: 10_000 }).toBeGreaterThan(before.instructions);
    await machine.powerOff();
    expect(await machine.ended).toEqual({ reason: "poweroff" });
    await expect(machine.start()).rejects.toMatchObject({ code: "bad-state" });
  });

  it("costs almost nothing while halted", async () => {
    const machine = await make([...print("h"), ...halt]);
    await machine.start();
    await read(machine, (text) => text === "h");
    expect(await idle(machine, 500, 5)).toBe(true);
  });

  it("has from 16 MiB to 3.5 GiB of RAM", async () => {
    for (const memory of [16 * MIB, 3584 * MIB]) {
      const machine = await make([0xb0, 0, 0xe6, 0xf4, ...halt], { memory, devices: { isaDebugExit: {} } });
      await machine.start();
      expect(await machine.ended).toEqual({ reason: "debug-exit", code: 1 });
      await machine.destroy();
    }
  });

  it.each<[Partial<MachineConfig>, string, RegExp]>([
    [{ memory: 8 * MIB }, "bad-config", /16 MiB to 3584 MiB/],
    [{ cpu: "pentium9" }, "bad-cpu", /pentium9/],
    [{ devices: { serialPorts: 9 } }, "bad-config", /0 to 4 serial ports/],
    [{ boot: { kind: "linux", kernel: new Uint8Array(10) } }, "bad-boot-image", /truncated/],
  ])("refuses %j", async (config, code, message) => {
    await expect(make([0xf4], config)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });

  it("can be destroyed at any time", async () => {
    const machine = await make([0xeb, 0xfe]);
    await machine.start();
    await machine.destroy();
    expect(await machine.ended).toEqual({ reason: "destroyed" });
    await machine.destroy();
  });
});
