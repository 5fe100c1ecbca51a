import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import type { Cpu } from "../../src/cpu/cpu.js";
import type { Tier } from "../../src/cpu/executor.js";
import { CS, gprOffset, RAM_BASE, S, SS } from "../../src/state/layout.js";
import { Random } from "../silicon/random.js";
import { bareCpu } from "../support/bare-cpu.js";
import { FuzzMachine } from "./machine.js";
import { prepare } from "./programs.js";
import { runSlice } from "./run.js";

const RAM = 0x100000;
const CODE = 0x10000;
/** Page tables that lead every linear address to the first 2 MiB, by pages of 2 MiB. */
const [PML4, PDPT, PD] = [0x1000, 0x2000, 0x3000];

/** A CPU in 64-bit mode with code at CODE; everything outside of RAM reads as NOP. */
function longMode(code: string, tier?: Tier): Cpu {
  const { cpu, memory } = bareCpu(RAM, { bus: { readPhysical: () => 0x90 }, tier });
  const view = new DataView(memory.buffer, RAM_BASE, RAM);
  for (let index = 0; index < 512; index++) {
    view.setBigUint64(PML4 + index * 8, BigInt(PDPT | 7), true);
    view.setBigUint64(PDPT + index * 8, BigInt(PD | 7), true);
    view.setBigUint64(PD + index * 8, 0x87n, true);
  }
  new Uint8Array(memory.buffer).set(Buffer.from(code.replaceAll(" ", ""), "hex"), RAM_BASE + CODE);
  const { state } = cpu;
  state.set64(S.cr0, 0x80010011n);
  state.set64(S.cr4, 0x6a0n);
  state.set64(S.efer, 0xd00n);
  state.set64(S.cr3, BigInt(PML4));
  state.setSegment(CS, 8, 0n, 0xffffffff, 0xa09b00);
  state.setSegment(SS, 16, 0n, 0xffffffff, 0xc09300);
  state.set64(gprOffset(4), 0x80000n);
  state.set64(S.rip, BigInt(CODE));
  cpu.stateChanged();
  return cpu;
}

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;
function heap(): number {
  collect();
  return process.memoryUsage().heapUsed;
}

const GUESTS: readonly { name: string; code: string; setUp?: (cpu: Cpu) => void }[] = [
  // mov byte [rip+1], 0x90; nop; nop; jmp back
  { name: "code that overwrites itself", code: "c6050100000090 90 90 ebf3" },
  {
    name: "an access to ever more large pages",
    // mov rax, [rbx]; add rbx, rdi; and rbx, rsi; jmp back
    code: "488b03 4801fb 4821f3 ebf5",
    setUp: ({ state }) => {
      state.set64(gprOffset(7), 0x200000n);
      state.set64(gprOffset(6), 0x7fffffffffffn);
    },
  },
  {
    name: "a call of code outside of RAM",
    // PD entry 1 leads behind RAM. call rdi; jmp back. There are 16 NOPs, and a RET at the start of the next page.
    code: "ffd7 ebfc",
    setUp: (cpu) => {
      new DataView(cpu.state.buffer).setBigUint64(RAM_BASE + PD + 8, 0x400087n, true);
      cpu.state.u8[RAM_BASE] = 0xc3;
      cpu.state.set64(gprOffset(7), 0x3ffff0n);
      cpu.stateChanged();
    },
  },
];

for (const { name, code, setUp } of GUESTS) {
  test(`memory of the host does not grow by ${name}`, () => {
    const cpu = longMode(code);
    setUp?.(cpu);
    cpu.run(20_000);
    const before = heap();
    for (let slice = 0; slice < 5; slice++) expect(cpu.run(100_000)).toBe("budget");
    expect(heap() - before).toBeLessThan(1 << 20);
  });
}

test("a budget of any size is kept", () => {
  const cpu = longMode("fec0 75fc f4");
  expect(cpu.run(1e12)).toBe("halted");
  expect(cpu.instructions).toBe(2 * 256 + 1);
  expect(cpu.run(0)).toBe("budget");
  expect(cpu.run(-1)).toBe("budget");
  expect(cpu.instructions).toBe(2 * 256 + 1);
});

for (const tier of ["interpreter", "blocks"] as const) {
  test(`instructions are the same number in slices of any size, in the tier ${tier}`, () => {
    for (const budget of [1e6, 50, 3, 2, 1]) {
      // mov ecx, 100; mov edi, 20000h; mov al, 7; rep stosb; inc ebx; hlt
      const cpu = longMode("b964000000 bf00000200 b007 f3aa ffc3 f4", tier);
      let slices = 0;
      while (cpu.run(budget) !== "halted" && slices < 200) slices++;
      expect([budget, cpu.instructions]).toEqual([budget, 3 + 100 + 2]);
    }
  });
}

test("a state of random bytes does no harm", () => {
  const machine = new FuzzMachine("interpreter", "max,-rdrand,-rdseed");
  const { state } = machine.cpu;
  for (let seed = 1; seed <= 100; seed++) {
    prepare(machine, seed);
    const random = new Random(seed);
    const image = state.save();
    const wild = random.oneIn(2);
    for (let at = 0; at < image.length; at++) if (wild || random.oneIn(16)) image[at] = random.u32();
    state.load(image);
    machine.cpu.stateChanged();
    for (let slice = 0; slice < 3; slice++) runSlice(machine, 200);
    machine.checkIntegrity();
  }
});
