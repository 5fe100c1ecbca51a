import { expect, test } from "vitest";
import { S } from "../../src/index.js";
import { enterLong, type Machine, makeCpu, run, setGpr } from "./machine.js";

const AREA = 0xc000;

function longMachine(): Machine {
  const machine = makeCpu();
  enterLong(machine);
  machine.cpu.state.set64(S.cr4, 0x40620n);
  machine.cpu.state.set64(S.xcr0, 3n);
  setGpr(machine, 3, BigInt(AREA));
  setGpr(machine, 0, 0xffffffffn);
  setGpr(machine, 2, 0xffffffffn);
  return machine;
}
/** FNINIT; FLD1; FLDPI, and XMM9 = all ones. */
const FILL = [0xdb, 0xe3, 0xd9, 0xe8, 0xd9, 0xeb, 0x66, 0x45, 0x0f, 0x76, 0xc9];
const CLEAR = [0xdb, 0xe3, 0x66, 0x45, 0x0f, 0xef, 0xc9];

test("FXSAVE64 lays out x87 and XMM registers; FXRSTOR64 brings them back", () => {
  const machine = longMachine();
  run(machine, [...FILL, 0x48, 0x0f, 0xae, 0x03]);
  const { view } = machine;
  expect(view.getUint16(AREA, true)).toBe(0x37f);
  // TOP is 6, registers 6 and 7 are in use.
  expect(view.getUint16(AREA + 2, true)).toBe(6 << 11);
  expect(view.getUint8(AREA + 4)).toBe(0xc0);
  expect(view.getUint32(AREA + 24, true)).toBe(0x1f80);
  expect(view.getUint32(AREA + 28, true)).toBe(0xffff);
  // ST0 is pi, ST1 is 1.
  expect([view.getBigUint64(AREA + 32, true), view.getUint16(AREA + 40, true)]).toEqual([0xc90fdaa22168c235n, 0x4000]);
  expect([view.getBigUint64(AREA + 48, true), view.getUint16(AREA + 56, true)]).toEqual([1n << 63n, 0x3fff]);
  expect(view.getBigUint64(AREA + 160 + 9 * 16, true)).toBe(0xffff_ffff_ffff_ffffn);
  run(machine, [...CLEAR, 0x48, 0x0f, 0xae, 0x0b]);
  const { state } = machine.cpu;
  expect([state.get32(S.ftop), state.get32(S.ftags)]).toEqual([6, 0xc0]);
  expect(state.get64(S.xmm + 9 * 16 + 8)).toBe(0xffff_ffff_ffff_ffffn);
});

test("FXRSTOR refuses reserved bits of MXCSR, and unaligned areas", () => {
  const machine = longMachine();
  run(machine, [0x48, 0x0f, 0xae, 0x03]);
  machine.view.setUint32(AREA + 24, 0x10000, true);
  machine.cpu.state.set32(S.idtLimit, 0);
  expect(run(machine, [0x48, 0x0f, 0xae, 0x0b])).toBe("shutdown");
  const other = longMachine();
  other.cpu.state.set32(S.idtLimit, 0);
  setGpr(other, 3, BigInt(AREA + 8));
  expect(run(other, [0x48, 0x0f, 0xae, 0x03])).toBe("shutdown");
});

test("XSAVE marks the components in use, XRSTOR initialises the others", () => {
  const machine = longMachine();
  const { view } = machine;
  const { state } = machine.cpu;
  run(machine, [...FILL, 0xdb, 0xe3, 0x48, 0x0f, 0xae, 0x23]);
  // x87 is in its initial state, SSE is not.
  expect(view.getBigUint64(AREA + 512, true)).toBe(2n);
  run(machine, [0xd9, 0xe8, 0x66, 0x45, 0x0f, 0xef, 0xc9, 0x48, 0x0f, 0xae, 0x2b]);
  expect(state.get32(S.ftags)).toBe(0);
  expect(state.get64(S.xmm + 9 * 16)).toBe(0xffff_ffff_ffff_ffffn);
  // Only x87 is asked for.
  setGpr(machine, 0, 1n);
  run(machine, [0xd9, 0xe8, 0x48, 0x0f, 0xae, 0x23]);
  expect(view.getBigUint64(AREA + 512, true)).toBe(3n);
});

test("XSAVEC writes the compacted form, which XRSTOR takes", () => {
  const machine = longMachine();
  const { view } = machine;
  run(machine, [...FILL, 0x48, 0x0f, 0xc7, 0x23]);
  expect(view.getBigUint64(AREA + 512, true)).toBe(3n);
  expect(view.getBigUint64(AREA + 520, true)).toBe((1n << 63n) | 3n);
  run(machine, [...CLEAR, 0x48, 0x0f, 0xae, 0x2b]);
  expect(machine.cpu.state.get32(S.ftags)).toBe(0xc0);
});

test.each([
  ["a component that XCR0 does not have", 512, 4n],
  ["reserved bytes of the header", 528, 1n],
  ["a compacted form that names more than XCR0", 520, (1n << 63n) | 7n],
])("XRSTOR refuses %s", (_name, offset, value) => {
  const machine = longMachine();
  run(machine, [...FILL, 0x48, 0x0f, 0xae, 0x23]);
  machine.view.setBigUint64(AREA + offset, value, true);
  machine.cpu.state.set32(S.idtLimit, 0);
  expect(run(machine, [0x48, 0x0f, 0xae, 0x2b])).toBe("shutdown");
});
