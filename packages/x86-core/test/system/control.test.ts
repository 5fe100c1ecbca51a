import { expect, test } from "vitest";
import { S } from "../../src/index.js";
import { catchAll, caught, enterLong, enterProtected, type Machine, makeCpu, run, setGpr } from "./machine.js";

/** MOV CRn, EAX (RAX). */
const movTo = (n: number): number[] => [0x0f, 0x22, 0xc0 | (n << 3)];
function write(machine: Machine, n: number, value: bigint): boolean {
  setGpr(machine, 0, value);
  run(machine, movTo(n));
  return caught(machine) === -1;
}

/** 64-bit gates: vector v to 9000 + 16 v. */
function catchLong(machine: Machine): void {
  for (let vector = 0; vector < 128; vector++) {
    const target = 0x9000 + vector * 16;
    machine.ram[target] = 0xf4;
    machine.view.setUint32(0x2000 + vector * 16, 0x00080000 | target, true);
    machine.view.setBigUint64(0x2004 + vector * 16, 0x8e00n, true);
    machine.view.setUint32(0x200c + vector * 16, 0, true);
  }
  machine.view.setBigUint64(0x1008, 0x00af9b000000ffffn, true);
}

test.each([
  ["PG without PE", 0, 0x8000_0010n],
  ["NW without CD", 0, 0x2000_0011n],
  ["a reserved bit of CR4", 4, 1n << 30n],
  ["VMXE", 4, 1n << 13n],
  ["UMIP", 4, 1n << 11n],
  ["PCIDE outside IA-32e mode", 4, 1n << 17n],
])("%s raises #GP(0)", (_name, register, value) => {
  const machine = makeCpu();
  enterProtected(machine);
  catchAll(machine);
  expect(write(machine, register, value)).toBe(false);
  expect(caught(machine)).toBe(13);
  const { state } = machine.cpu;
  expect(state.get64(S.cr4)).toBe(0n);
  expect(state.get32(S.cr0)).toBe(0x11);
  // The error code lies below the return address.
  expect(machine.view.getUint32(Number(state.get64(S.gpr + 32)), true)).toBe(0);
});

test.each([
  ["PAE cleared", 4, 0x600n],
  ["PG cleared in 64-bit mode", 0, 0x11n],
  ["high bits of CR0", 0, 0x1_8001_0011n],
  ["reserved bits of CR3", 3, (1n << 45n) | 0x10000n],
  ["bit 63 of CR3 without PCIDE", 3, (1n << 63n) | 0x10000n],
  ["high bits of CR4", 4, (1n << 32n) | 0x620n],
])("in IA-32e mode: %s raises #GP(0)", (_name, register, value) => {
  const machine = makeCpu();
  enterLong(machine);
  catchLong(machine);
  expect(write(machine, register, value)).toBe(false);
  expect(caught(machine)).toBe(13);
  expect(machine.cpu.state.codeIs64).toBe(true);
});

test("process-context identifiers need CR3's low bits clear, and forbid leaving IA-32e mode", () => {
  const machine = makeCpu();
  enterLong(machine);
  catchLong(machine);
  expect(write(machine, 3, 0x10001n)).toBe(true);
  expect(write(machine, 4, 0x20620n)).toBe(false);
  expect(write(machine, 3, 0x10000n)).toBe(true);
  expect(write(machine, 4, 0x20620n)).toBe(true);
  // With PCIDE, bit 63 keeps translations and is not stored.
  expect(write(machine, 3, (1n << 63n) | 0x10005n)).toBe(true);
  expect(machine.cpu.state.get64(S.cr3)).toBe(0x10005n);
});

test("EFER.LMA follows paging, and LME cannot change under it", () => {
  const machine = makeCpu();
  enterLong(machine);
  catchLong(machine);
  setGpr(machine, 1, 0xc0000080n);
  setGpr(machine, 0, 0xc01n);
  setGpr(machine, 2, 0n);
  run(machine, [0x0f, 0x30]);
  expect(caught(machine)).toBe(13);
  expect(machine.cpu.state.get64(S.efer)).toBe(0xd01n);
});

test("LMSW sets PE but does not clear it; CLTS clears TS", () => {
  const machine = makeCpu();
  enterProtected(machine);
  catchAll(machine);
  setGpr(machine, 0, 0xen);
  run(machine, [0x0f, 0x01, 0xf0]);
  expect(machine.cpu.state.get32(S.cr0)).toBe(0x1f);
  run(machine, [0x0f, 0x06]);
  expect(machine.cpu.state.get32(S.cr0)).toBe(0x17);
});

test("XSETBV takes x87, with or without SSE", () => {
  const machine = makeCpu();
  enterProtected(machine);
  catchAll(machine);
  setGpr(machine, 1, 0n);
  setGpr(machine, 2, 0n);
  setGpr(machine, 0, 3n);
  run(machine, [0x0f, 0x01, 0xd1]);
  expect(caught(machine)).toBe(6);
  expect(write(machine, 4, 1n << 18n)).toBe(true);
  for (const [value, good] of [
    [3n, true],
    [1n, true],
    [2n, false],
    [7n, false],
  ] as const) {
    setGpr(machine, 0, value);
    run(machine, [0x0f, 0x01, 0xd1]);
    expect(caught(machine)).toBe(good ? -1 : 13);
  }
  expect(machine.cpu.state.get64(S.xcr0)).toBe(1n);
});
