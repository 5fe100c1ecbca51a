import { expect, test } from "vitest";
import { S } from "../../src/index.js";
import { catchAll, enterProtected, gpr, type Machine, makeCpu } from "./machine.js";

const VM = 1 << 17;
const VIF = 1 << 19;
const VIP = 1 << 20;
const IF = 0x200;

/** Virtual-8086 mode with CR4.VME at IOPL 0; runs code at 0800:0000 until an exception of the protected-mode handlers. */
function runVirtual(code: number[], flags: number, redirect = 0): { machine: Machine; vector: number } {
  const machine = makeCpu();
  enterProtected(machine);
  catchAll(machine);
  const { cpu, ram, view } = machine;
  const { state } = cpu;
  // Redirection bitmap (32 bytes) before the I/O bitmap; a set bit sends the interrupt to protected mode.
  view.setUint16(0x3066, 0x88, true);
  ram.fill(redirect, 0x3068, 0x3088);
  ram.fill(0xff, 0x3088, 0x3090);
  state.setSegment(7, 0x30, 0x3000n, 0x8f, 0x8b00);
  state.set64(S.cr4, 1n);
  state.rflags = VM | flags | 2;
  for (const segment of [0, 1, 2, 3, 4, 5]) {
    const base = segment === 1 ? 0x8000 : 0xa000;
    state.setSegment(segment, base >> 4, BigInt(base), 0xffff, 0xf300);
  }
  state.set64(S.gpr + 32, 0x100n);
  ram.set([...code, 0xf4], 0x8000);
  // INT 21h of the 8086 program: 0B00:0010.
  view.setUint32(0x21 * 4, 0x0b000010, true);
  ram[0xb010] = 0xf4;
  state.set64(S.rip, 0n);
  cpu.stateChanged();
  cpu.run(1000);
  return { machine, vector: (Number(state.get64(S.rip)) - 1 - 0x9000) / 16 };
}
/** EIP, CS and EFLAGS of the frame with error code 0 that HLT (#GP) left at the top of the level 0 stack. */
function interrupted(machine: Machine): { ip: number; cs: number; flags: number } {
  const at = (offset: number) => machine.view.getUint32(0x7000 - 36 + offset, true);
  return { ip: at(0), cs: at(4), flags: at(8) & ~0x10000 };
}

test("CLI and STI change VIF", () => {
  expect(interrupted(runVirtual([0xfb], 0).machine)).toMatchObject({ ip: 1, flags: VM | VIF | 2 });
  expect(interrupted(runVirtual([0xfa], VIF).machine)).toMatchObject({ ip: 1, flags: VM | 2 });
  // STI with an interrupt pending raises #GP.
  expect(interrupted(runVirtual([0xfb], VIP).machine)).toMatchObject({ ip: 0, flags: VM | VIP | 2 });
});

test("PUSHF shows VIF as IF, POPF sets it", () => {
  const { machine } = runVirtual([0x9c], VIF);
  expect(machine.view.getUint16(0xa0fe, true)).toBe(0x3000 | IF | 2);
  expect(interrupted(runVirtual([0x68, 0x02, 0x02, 0x9d], 0).machine)).toMatchObject({ ip: 4, flags: VM | VIF | 2 });
  expect(interrupted(runVirtual([0x68, 0x02, 0x02, 0x9d], VIP).machine)).toMatchObject({ ip: 3 });
  expect(interrupted(runVirtual([0x66, 0x9c], 0).machine)).toMatchObject({ ip: 0 });
});

test("INT n goes to the program's own handler by the redirection bitmap", () => {
  const own = runVirtual([0xcd, 0x21], VIF);
  expect(interrupted(own.machine)).toMatchObject({ ip: 0x10, cs: 0x0b00, flags: VM | 2 });
  // IP, CS and FLAGS on the program's stack, with IF and IOPL as it believes them.
  expect([0xa0fa, 0xa0fc, 0xa0fe].map((at) => own.machine.view.getUint16(at, true))).toEqual([
    2,
    0x800,
    0x3000 | IF | 2,
  ]);
  const other = runVirtual([0xcd, 0x21], 0, 0xff);
  expect(other.vector).toBe(13);
  expect(interrupted(other.machine)).toMatchObject({ ip: 0, cs: 0x800 });
});

test("IRET returns with the virtual interrupt flag", () => {
  // PUSH flags with IF; PUSH CS; PUSH 0009; IRET
  const { machine } = runVirtual([0x68, 0x02, 0x02, 0x0e, 0x68, 0x09, 0x00, 0xcf, 0x90, 0x90], 0);
  expect(interrupted(machine)).toMatchObject({ ip: 10, cs: 0x800, flags: VM | VIF | 2 });
  expect(gpr(machine, 4)).toBe(BigInt(0x7000 - 40));
});
