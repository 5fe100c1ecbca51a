import { beforeEach, expect, test } from "vitest";
import { initialise } from "../src/fpu/state.js";
import { CS, DS, ES, RAM_BASE, S, SS } from "../src/state/layout.js";
import { bareCpu } from "./support/bare-cpu.js";

// What the comparison with the host's processor cannot see: pointers, real mode, #MF, #NM, segment limits.

const RAM = 0x20000;
const CODE = 0x1000;
const DATA = 0x8000;
/** Real mode: interrupt vector n goes to HANDLERS + 4n, where a HLT stands. */
const HANDLERS = 0x600;
const HLT = 0xf4;

const { cpu, memory } = bareCpu(RAM);
const ram = new DataView(memory.buffer, RAM_BASE, RAM);
const bytes = new Uint8Array(memory.buffer, RAM_BASE, RAM);
const { state } = cpu;

beforeEach(() => {
  cpu.reset();
  bytes.fill(0);
  for (let vector = 0; vector < 32; vector++) {
    ram.setUint16(vector * 4, HANDLERS + vector * 4, true);
    bytes[HANDLERS + vector * 4] = HLT;
  }
  state.set64(S.cr0, 0x30n);
  initialise(state);
});

/** Real mode, but for CR0: CS = 0x100, DS = 0x800, the others 0. */
function realMode(): void {
  state.setSegment(CS, CODE >> 4, BigInt(CODE), 0xffff, 0x9b00);
  state.setSegment(DS, DATA >> 4, BigInt(DATA), 0xffff, 0x9300);
  state.setSegment(ES, 0, 0n, 0xffff, 0x9300);
  state.setSegment(SS, 0, 0n, 0xffff, 0x9300);
  state.set64(S.gpr + 4 * 8, 0x7000n);
}

/** 32-bit protected mode with segments of base 0. */
function flatMode(): void {
  state.set64(S.cr0, 0x31n);
  state.setSegment(CS, 8, 0n, 0xffffffff, 0xc09b00);
  for (const segment of [DS, ES, SS]) state.setSegment(segment, 0x10, 0n, 0xffffffff, 0xc09300);
}

/** Runs code from `CODE` until it halts; gives the offset behind the HLT. */
function run(ip: number, ...code: number[]): number {
  bytes.set([...code, HLT], CODE);
  cpu.memoryWritten(CODE, code.length + 1);
  state.set64(S.rip, BigInt(ip));
  state.set32(S.activity, 0);
  cpu.stateChanged();
  expect(cpu.run(1000)).toBe("halted");
  return state.low(S.rip);
}
const real = (...code: number[]) => {
  realMode();
  return run(0, ...code);
};
const flat = (...code: number[]) => run(CODE, ...code);
/** Where execution stands after the handler of a vector. */
const handled = (vector: number) => HANDLERS + vector * 4 + 1;

const FLD1 = [0xd9, 0xe8];
const FNSTSW_AX = [0xdf, 0xe0];

test("real mode stores pointers as linear addresses", () => {
  ram.setFloat64(DATA + 0x120, 1.5, true);
  // FLD m64 [0x120]; FNSTENV [0x200]; FNSTENV with 32-bit operands [0x240]
  real(0xdd, 0x06, 0x20, 0x01, 0xd9, 0x36, 0x00, 0x02, 0x66, 0xd9, 0x36, 0x40, 0x02);
  const short = Array.from({ length: 7 }, (_, i) => ram.getUint16(DATA + 0x200 + i * 2, true));
  expect(short).toEqual([0x37f, 0x3800, 0x3fff, CODE, 0x0506, DATA + 0x120, 0]);
  const long = Array.from({ length: 7 }, (_, i) => ram.getUint32(DATA + 0x240 + i * 4, true));
  expect(long).toEqual([0xffff037f, 0xffff3800, 0xffff3fff, 0xffff0000 + CODE, 0x0506, 0xffff0000 + DATA + 0x120, 0]);
});

test("protected mode stores selectors and offsets, and control instructions leave them", () => {
  flatMode();
  ram.setFloat64(DATA + 0x120, 1.5, true);
  // FLD m64 [0x8120]; FLD1; FNSTCW [0x8000]; FNSTENV [0x8200]; FNSTENV with 16-bit operands [0x8240]
  const code = [0xdd, 0x05, 0x20, 0x81, 0, 0, ...FLD1, 0xd9, 0x3d, 0, 0x80, 0, 0, 0xd9, 0x35, 0, 0x82, 0, 0];
  flat(...code, 0x66, 0xd9, 0x35, 0x40, 0x82, 0, 0);
  const long = Array.from({ length: 7 }, (_, i) => ram.getUint32(DATA + 0x200 + i * 4, true));
  expect(long).toEqual([0xffff037f, 0xffff3000, 0xffff0fff, CODE + 6, (0x1e8 << 16) | 8, DATA + 0x120, 0xffff0010]);
  const short = Array.from({ length: 7 }, (_, i) => ram.getUint16(DATA + 0x240 + i * 2, true));
  expect(short).toEqual([0x37f, 0x3000, 0x0fff, CODE + 6, 8, DATA + 0x120, 0x10]);
});

test("FLDENV takes back what FNSTENV stored", () => {
  flatMode();
  // FLD1; FNSTENV [0x8200]; FNINIT; FLDENV [0x8200]; FNSTENV [0x8240]
  const image = (at: number) => [at & 0xff, at >> 8, 0, 0];
  flat(...FLD1, 0xd9, 0x35, ...image(0x8200), 0xdb, 0xe3, 0xd9, 0x25, ...image(0x8200), 0xd9, 0x35, ...image(0x8240));
  expect(bytes.slice(0x8240, 0x8240 + 28)).toEqual(bytes.slice(0x8200, 0x8200 + 28));
  expect(ram.getUint32(0x820c, true)).toBe(CODE);
});

test("FNSAVE and FRSTOR in the 94-byte form", () => {
  // FLD1; FLDPI; FNSAVE [0x300]; FNSTSW [0x100]; FRSTOR [0x300]
  real(...FLD1, 0xd9, 0xeb, 0xdd, 0x36, 0x00, 0x03, 0xdd, 0x3e, 0x00, 0x01, 0xdd, 0x26, 0x00, 0x03);
  expect(ram.getUint16(DATA + 0x100, true)).toBe(0);
  expect(ram.getUint16(DATA + 0x300 + 14 + 8, true)).toBe(0x4000);
  expect(ram.getUint16(DATA + 0x300 + 24 + 8, true)).toBe(0x3fff);
  expect(state.get32(S.ftop)).toBe(6);
  expect(state.get32(S.ftags)).toBe(0xc0);
  expect(state.get64(S.fpr + 6 * 16)).toBe(0xc90fdaa22168c235n);
});

test("an unmasked exception is raised by the next waiting instruction", () => {
  ram.setUint16(DATA, 0x37b, true);
  // FLDCW [0] (ZE unmasked); FLD1; FLDZ; FDIVP; FNSTSW AX; FLD1
  const code = [0xd9, 0x2e, 0, 0, ...FLD1, 0xd9, 0xee, 0xde, 0xf9, ...FNSTSW_AX, ...FLD1];
  expect(real(...code)).toBe(handled(16));
  expect(state.low(S.gpr) & 0xffff).toBe(0xb084);
  // Nothing has changed: the divisor is still there, and the saved IP is that of the FLD1.
  expect(state.get32(S.ftop)).toBe(6);
  expect(ram.getUint16(0x7000 - 6, true)).toBe(code.length - 2);
  expect(state.get32(S.fop)).toBe(0x6f9);
});

test("FNCLEX, FNINIT and a mask make a pending exception go away", () => {
  ram.setUint16(DATA, 0x37b, true);
  ram.setUint16(DATA + 2, 0x37f, true);
  const divide = [0xd9, 0x2e, 0, 0, ...FLD1, 0xd9, 0xee, 0xde, 0xf9];
  expect(real(...divide, 0xdb, 0xe2, 0x9b)).toBe(divide.length + 4);
  expect(real(0xdb, 0xe3, ...divide, 0xdb, 0xe3, 0x9b)).toBe(divide.length + 6);
  // FLDCW waits itself: the mask comes too late.
  expect(real(0xdb, 0xe3, ...divide, 0xd9, 0x2e, 2, 0)).toBe(handled(16));
  // FNSTENV masks everything.
  expect(real(0xdb, 0xe3, ...divide, 0xd9, 0x36, 0x00, 0x02, 0x9b)).toBe(divide.length + 8);
});

test("FLDCW that unmasks a flag makes it pending", () => {
  ram.setUint16(DATA, 0x37b, true);
  // FLD1; FLDZ; FDIVP (masked); FLDCW [0]; FNSTSW AX; FWAIT
  expect(real(...FLD1, 0xd9, 0xee, 0xde, 0xf9, 0xd9, 0x2e, 0, 0, ...FNSTSW_AX, 0x9b)).toBe(handled(16));
  expect(state.low(S.gpr) & 0xffff).toBe(0xb884);
});

test("CR0 decides about #NM", () => {
  const TS = 8n;
  const EM = 4n;
  const MP = 2n;
  const cases: [bigint, number[], number | undefined][] = [
    [TS, FLD1, 7],
    [EM, FLD1, 7],
    [MP, FLD1, undefined],
    [TS, [0x9b], undefined],
    [EM, [0x9b], undefined],
    [TS | MP, [0x9b], 7],
    [TS, [0xdb, 0xe3], 7],
  ];
  for (const [bits, code, vector] of cases) {
    state.set64(S.cr0, 0x30n | bits);
    expect(real(...code), `${bits} ${code}`).toBe(vector === undefined ? code.length + 1 : handled(vector));
  }
});

test("segment limits hold for the whole operand, and a fault changes nothing", () => {
  // FLD1; FSTP m80 [0xfff8]
  expect(real(...FLD1, 0xdb, 0x3e, 0xf8, 0xff)).toBe(handled(13));
  expect(state.get32(S.ftop)).toBe(7);
  expect(state.get32(S.ftags)).toBe(0x80);
  expect(ram.getUint16(DATA + 0xfff8, true)).toBe(0);
  // FSTP m80 [0xfff6]
  expect(real(0xdb, 0x3e, 0xf6, 0xff)).toBe(5);
  expect(ram.getUint16(DATA + 0xfffe, true)).toBe(0x3fff);
  // FNSAVE [0xffa3]: 94 bytes would end beyond 0xffff
  expect(real(0xdd, 0x36, 0xa3, 0xff)).toBe(handled(13));
  expect(real(0xdd, 0x36, 0xa2, 0xff)).toBe(5);
});
