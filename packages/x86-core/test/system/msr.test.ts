import { expect, test } from "vitest";
import { S } from "../../src/index.js";
import { readMsr, writeMsr } from "../../src/system/msr.js";
import { catchAll, caught, enterProtected, gpr, makeCpu, run, setGpr } from "./machine.js";

const NON_CANONICAL = 0x0000_8000_0000_0000n;

test.each([
  ["SYSENTER_EIP", 0x176, [0n, 0x7fff_ffff_ffffn, 0xffff_8000_0000_0000n], [NON_CANONICAL]],
  ["SYSENTER_CS", 0x174, [0n, 8n], [1n << 32n]],
  ["PAT", 0x277, [0x0007_0406_0007_0406n, 0x0105_0000_0000_0000n], [2n, 3n << 56n, 8n]],
  ["MTRR_DEF_TYPE", 0x2ff, [0n, 0xc06n], [2n, 0x1000n, 0x100n]],
  ["MTRR_PHYSBASE0", 0x200, [6n, 0xff_ffff_f000n], [1n << 40n, 0x700n, 2n]],
  ["MTRR_PHYSMASK7", 0x20f, [0x800n, 0xff_ffff_f800n], [1n, 1n << 40n]],
  ["MTRR_FIX64K", 0x250, [0x0606_0606_0606_0606n], [2n]],
  ["LSTAR", 0xc0000082, [1n], [NON_CANONICAL]],
  ["FMASK", 0xc0000084, [0x47700n], [1n << 32n]],
  ["FS_BASE", 0xc0000100, [0xffff_ffff_ffff_ffffn], [NON_CANONICAL]],
  ["KERNEL_GS_BASE", 0xc0000102, [5n], [NON_CANONICAL]],
  ["TSC_AUX", 0xc0000103, [0xffff_ffffn], [1n << 32n]],
  ["EFER", 0xc0000080, [0n, 0x901n], [2n, 1n << 12n, 1n << 63n]],
])("%s keeps good values and refuses others", (_name, number, good, bad) => {
  const { cpu } = makeCpu();
  for (const value of good) {
    expect(writeMsr(cpu, number, value)).toBe(true);
    expect(readMsr(cpu, number)).toBe(value);
  }
  const last = readMsr(cpu, number);
  for (const value of bad) expect(writeMsr(cpu, number, value)).toBe(false);
  expect(readMsr(cpu, number)).toBe(last);
});

test("registers of missing features, unknown ones and those of the APIC", () => {
  const { cpu } = makeCpu("pentium3");
  expect(readMsr(cpu, 0xc0000100)).toBeUndefined();
  expect(readMsr(cpu, 0xc0000103)).toBeUndefined();
  expect(readMsr(cpu, 0x12345)).toBeUndefined();
  expect(writeMsr(cpu, 0x12345, 0n)).toBe(false);
  expect(readMsr(cpu, 0x1b)).toBe(0xfee00900n);
  expect(writeMsr(cpu, 0x6e0, 5n)).toBe(false);
  expect(writeMsr(makeCpu().cpu, 0x6e0, 5n)).toBe(true);
  // EFER without LME under 32-bit models: nothing in it can be set.
  expect(writeMsr(cpu, 0xc0000080, 0x100n)).toBe(false);
});

test("the TSC starts where WRMSR puts it", () => {
  const { cpu } = makeCpu();
  expect(readMsr(cpu, 0x10)).toBe(1_000_000n);
  expect(writeMsr(cpu, 0x10, 7n)).toBe(true);
  expect(readMsr(cpu, 0x10)).toBe(7n);
});

test("RDMSR splits, WRMSR joins, CPL 3 faults", () => {
  const machine = makeCpu();
  enterProtected(machine);
  catchAll(machine);
  setGpr(machine, 1, 0xc0000082n);
  setGpr(machine, 0, 0xffff_ffff_8100_0000n);
  setGpr(machine, 2, 0xffff_ffffn);
  run(machine, [0x0f, 0x30, 0x31, 0xc0, 0x31, 0xd2, 0x0f, 0x32]);
  expect(machine.cpu.state.get64(S.lstar)).toBe(0xffff_ffff_8100_0000n);
  expect([gpr(machine, 0), gpr(machine, 2)]).toEqual([0x8100_0000n, 0xffff_ffffn]);
  enterProtected(machine, 3);
  run(machine, [0x0f, 0x32]);
  expect(caught(machine)).toBe(13);
});
