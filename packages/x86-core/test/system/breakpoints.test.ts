import { expect, test } from "vitest";
import { S } from "../../src/index.js";
import { hasDataBreakpoints, instructionBreakpoint } from "../../src/system/breakpoints.js";
import { CODE, catchAll, caught, enterProtected, type Machine, makeCpu, run, setGpr } from "./machine.js";

const READ_WRITE = 3;
const WRITE = 1;
const IO = 2;

function watch(machine: Machine, address: number, kind: number, length: number): void {
  const { state } = machine.cpu;
  state.set64(S.dr, BigInt(address));
  const field = { 1: 0, 2: 1, 8: 2, 4: 3 }[length]!;
  state.set64(S.dr + 7 * 8, BigInt(0x401 | (kind << 16) | (field << 18)));
}
const dr6 = (machine: Machine): number => machine.cpu.state.get32(S.dr + 6 * 8) & 0xe00f;

/** Accesses of 1, 2 and 4 bytes at [EBX]. */
const LOAD = { 1: [0x8a, 0x03], 2: [0x66, 0x8b, 0x03], 4: [0x8b, 0x03] };
const STORE = { 1: [0x88, 0x03], 2: [0x66, 0x89, 0x03], 4: [0x89, 0x03] };

test.each([1, 2, 4] as const)("a watched place of %d bytes meets exactly the accesses that overlap it", (length) => {
  const machine = makeCpu();
  for (const bytes of [1, 2, 4] as const) {
    for (const [code, write] of [
      [LOAD[bytes], false],
      [STORE[bytes], true],
    ] as const) {
      for (const kind of [WRITE, READ_WRITE]) {
        for (let at = 0xa00c; at < 0xa018; at++) {
          enterProtected(machine);
          catchAll(machine);
          watch(machine, 0xa010, kind, length);
          machine.cpu.state.set32(S.dr + 6 * 8, 0xffff0ff0);
          setGpr(machine, 3, BigInt(at));
          run(machine, [...code]);
          const hit = at < 0xa010 + length && at + bytes > 0xa010 && (write || kind === READ_WRITE);
          expect([caught(machine), dr6(machine)], `${bytes} bytes at ${at.toString(16)}`).toEqual(
            hit ? [1, 1] : [-1, 0],
          );
          // It is a trap: the pushed EIP is that of the next instruction.
          if (hit) expect(machine.view.getUint32(0x6000 - 12, true)).toBe(CODE + code.length);
        }
      }
    }
  }
});

test("a range of 8 bytes is aligned", () => {
  const machine = makeCpu();
  enterProtected(machine);
  catchAll(machine);
  watch(machine, 0xa013, READ_WRITE, 8);
  setGpr(machine, 3, 0xa010n);
  run(machine, LOAD[1]);
  expect(caught(machine)).toBe(1);
});

test("ports are watched with CR4.DE only", () => {
  for (const de of [0, 8]) {
    const machine = makeCpu();
    enterProtected(machine);
    catchAll(machine);
    machine.cpu.state.set64(S.cr4, BigInt(de));
    watch(machine, 0x80, IO, 2);
    run(machine, [0xe4, 0x81]);
    expect(caught(machine)).toBe(de ? 1 : -1);
    run(machine, [0xe4, 0x82]);
    expect(caught(machine)).toBe(-1);
  }
});

test("queries: kinds, RF", () => {
  const machine = makeCpu();
  const { state } = machine.cpu;
  watch(machine, CODE, 0, 1);
  expect(hasDataBreakpoints(state)).toBe(false);
  expect(instructionBreakpoint(state, BigInt(CODE))).toBe(1);
  expect(instructionBreakpoint(state, BigInt(CODE + 1))).toBe(0);
  state.set32(S.systemFlags, 1 << 16);
  expect(instructionBreakpoint(state, BigInt(CODE))).toBe(0);
  watch(machine, CODE, WRITE, 4);
  expect(hasDataBreakpoints(state)).toBe(true);
});
