import { expect, test } from "vitest";
import { S } from "../../src/index.js";
import { CODE, catchAll, caught, enterProtected, gpr, type Machine, makeCpu, run, setGpr } from "./machine.js";

const IF = 0x200;
const TF = 0x100;

function protectedMachine(flags = 2): Machine {
  const machine = makeCpu();
  enterProtected(machine);
  catchAll(machine);
  machine.cpu.state.rflags = flags;
  return machine;
}
/** EIP and EFLAGS that a handler at the same level finds, for an event without error code. */
function frame(machine: Machine): { at: number; flags: number } {
  const sp = Number(gpr(machine, 4));
  return { at: machine.view.getUint32(sp, true) - CODE, flags: machine.view.getUint32(sp + 8, true) };
}

test("an interrupt that waits comes after the instruction behind STI", () => {
  const machine = protectedMachine();
  machine.apic.waiting.push(0x40);
  run(machine, [0x90, 0xfb, 0x90, 0x90]);
  expect(caught(machine)).toBe(0x40);
  expect(frame(machine)).toEqual({ at: 3, flags: IF | 2 });
});

test("STI and CLI in a row leave no gap", () => {
  const machine = protectedMachine();
  machine.apic.waiting.push(0x40);
  run(machine, [0xfb, 0xfa, 0x90]);
  expect(caught(machine)).toBe(-1);
  expect(machine.apic.waiting).toEqual([0x40]);
});

test("POPF lets it in at once, MOV SS holds it off", () => {
  let machine = protectedMachine();
  machine.apic.waiting.push(0x40);
  run(machine, [0x68, 0x02, 0x02, 0, 0, 0x9d, 0x90]);
  expect([caught(machine), frame(machine).at]).toEqual([0x40, 6]);
  machine = protectedMachine();
  machine.apic.waiting.push(0x40);
  // MOV EDX, SS; STI; MOV SS, EDX; NOP; NOP
  run(machine, [0x8c, 0xd2, 0xfb, 0x8e, 0xd2, 0x90, 0x90]);
  expect([caught(machine), frame(machine).at]).toEqual([0x40, 6]);
});

test("an interrupt that comes right behind STI waits for the instruction after it", () => {
  const machine = protectedMachine();
  const { cpu } = machine;
  // A page ends between STI and HLT, and with it the budget: the interrupt must find the processor halted.
  machine.ram.set([0x90, 0xfb, 0xf4, 0x90], 0xeffe);
  cpu.state.set64(S.rip, 0xeffen);
  cpu.stateChanged();
  expect(cpu.run(1)).toBe("budget");
  expect(cpu.state.get64(S.rip)).toBe(0xf000n);
  machine.apic.waiting.push(0x40);
  cpu.attention();
  cpu.run(10);
  expect(caught(machine)).toBe(0x40);
  expect(machine.view.getUint32(Number(gpr(machine, 4)), true)).toBe(0xf001);
});

test("HLT wakes for an interrupt and goes on behind it", () => {
  const machine = protectedMachine(IF | 2);
  expect(run(machine, [0xf4, 0x90])).toBe("halted");
  expect(machine.cpu.state.get64(S.rip)).toBe(BigInt(CODE + 1));
  machine.apic.waiting.push(0x41);
  machine.cpu.attention();
  machine.cpu.run(10);
  expect([caught(machine), frame(machine).at]).toEqual([0x41, 1]);
});

test("NMI goes before interrupts, and further ones wait for IRET", () => {
  const machine = protectedMachine(IF | 2);
  machine.apic.waiting.push(0x42);
  machine.cpu.nmi();
  run(machine, [0x90]);
  expect(caught(machine)).toBe(2);
  machine.cpu.nmi();
  machine.cpu.state.set32(S.activity, 0);
  machine.cpu.run(10);
  expect(machine.cpu.state.get32(S.nmiPending)).toBe(1);
  // IRET from the handler: the second NMI follows.
  machine.ram[0x9020] = 0xcf;
  machine.cpu.memoryWritten(0x9020, 1);
  machine.ram[0x9021] = 0xf4;
  machine.cpu.state.set64(S.rip, 0x9020n);
  machine.cpu.state.set32(S.activity, 0);
  machine.cpu.stateChanged();
  machine.ram[0x9420] = 0xf4;
  machine.cpu.run(1);
  machine.cpu.run(1);
  expect(machine.cpu.state.get32(S.nmiPending)).toBe(0);
});

test("a single-step trap goes before NMI, which then interrupts its handler", () => {
  const machine = protectedMachine();
  // OUT has the NMI raised while TF is set.
  machine.cpu.bus.writePort = () => machine.cpu.nmi();
  machine.cpu.state.rflags = TF | 2;
  run(machine, [0xe6, 0x10, 0x90]);
  expect(machine.cpu.state.get32(S.dr + 6 * 8) & 0x4000).toBe(0x4000);
  // The handler of NMI found the first instruction of that of #DB.
  expect(caught(machine)).toBe(2);
  expect(machine.view.getUint32(Number(gpr(machine, 4)), true)).toBe(0x9010);
});

test("SYSCALL with TF masked does not trap in the kernel", async () => {
  const { enterLong } = await import("./machine.js");
  const machine = makeCpu();
  enterLong(machine);
  const { state } = machine.cpu;
  state.set64(S.lstar, 0xb000n);
  state.set64(S.star, 8n << 32n);
  state.set64(S.sfmask, 0x100n);
  machine.ram[0xb000] = 0xf4;
  state.rflags = TF | 2;
  expect(run(machine, [0x0f, 0x05])).toBe("halted");
  expect(state.get64(S.rip)).toBe(0xb001n);
  expect(state.get32(S.debugPending)).toBe(0);
});

test("an exception without a handler becomes a double fault, then shutdown", () => {
  const machine = protectedMachine();
  machine.view.setBigUint64(0x2000 + 6 * 8, 0n, true);
  run(machine, [0x0f, 0x0b]);
  // #UD is benign: what its delivery raises is reported as it is, with EXT.
  expect(caught(machine)).toBe(13);
  expect(machine.view.getUint32(Number(gpr(machine, 4)), true)).toBe(6 * 8 + 3);
  machine.view.setBigUint64(0x2000 + 13 * 8, 0n, true);
  run(machine, [0x8e, 0xdb]);
  setGpr(machine, 3, 0xfff8n);
  enterProtected(machine);
  run(machine, [0x8e, 0xdb]);
  expect(caught(machine)).toBe(8);
  machine.view.setBigUint64(0x2000 + 8 * 8, 0n, true);
  enterProtected(machine);
  expect(run(machine, [0x8e, 0xdb])).toBe("shutdown");
  expect(machine.cpu.run(100)).toBe("shutdown");
});

test("a limit of the interrupt table that is too small shuts down", () => {
  const machine = protectedMachine();
  machine.cpu.state.set32(S.idtLimit, 0);
  expect(run(machine, [0xcc])).toBe("shutdown");
});

test("ports at CPL 3: IOPL or the bitmap in the TSS", () => {
  const machine = makeCpu();
  enterProtected(machine, 3);
  catchAll(machine);
  const { state } = machine.cpu;
  run(machine, [0xe4, 0x80]);
  expect(caught(machine)).toBe(13);
  // A bitmap at 68 that allows ports 80-87.
  const allow = (limit: number) => {
    enterProtected(machine, 3);
    state.setSegment(7, 0x30, 0x3000n, limit, 0x8b00);
    machine.view.setUint16(0x3066, 0x68, true);
    machine.ram.fill(0xff, 0x3068, 0x3080);
    machine.ram[0x3068 + 0x10] = 0;
  };
  allow(0x79);
  run(machine, [0xe4, 0x80, 0xcc]);
  expect(caught(machine)).toBe(3);
  allow(0x79);
  run(machine, [0xe5, 0x85]);
  expect(caught(machine)).toBe(13);
  allow(0x78);
  run(machine, [0xe4, 0x80]);
  expect(caught(machine)).toBe(13);
  enterProtected(machine, 3);
  state.rflags = 0x3002;
  run(machine, [0xe6, 0x90, 0xcc]);
  expect(caught(machine)).toBe(3);
  expect(machine.ports).toEqual([[0x90, 1, expect.any(Number)]]);
});

test("far pointers and tables in memory must lie within their segment entirely", () => {
  const machine = protectedMachine();
  const { state } = machine.cpu;
  // JMP FAR [EBX], LES EAX, [EBX], LGDT [EBX], BOUND EAX, [EBX]: 6, 6, 6 and 8 bytes.
  for (const [code, bytes] of [
    [[0xff, 0x2b], 6],
    [[0xc4, 0x03], 6],
    [[0x0f, 0x01, 0x13], 6],
    [[0x62, 0x03], 8],
  ] as const) {
    enterProtected(machine);
    catchAll(machine);
    state.setSegment(3, 0x10, 0n, 0xafff, 0xc09300);
    setGpr(machine, 3, BigInt(0xb000 - bytes + 1));
    run(machine, [...code]);
    expect(caught(machine)).toBe(13);
  }
});
