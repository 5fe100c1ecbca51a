import { expect, test } from "vitest";
import { initialise, readStack, writeStack } from "../src/fpu/state.js";
import * as sf from "../src/softfloat/index.js";
import { CS, DS, RAM_BASE, S, SS } from "../src/state/layout.js";
import { Random } from "./softfloat/generate.js";
import { bareCpu } from "./support/bare-cpu.js";

// The arithmetic that x87 instructions do in WebAssembly, against softfloat/, which is verified by itself.

const CASES = Number(process.env.SOFTMETAL_X87_CASES ?? 2000);
const RAM = 0x10000;
const CODE = 0x1000;
const DATA = 0x8000;
const HLT = 0xf4;

const { cpu, memory } = bareCpu(RAM);
const ram = new DataView(memory.buffer, RAM_BASE, RAM);
const { state } = cpu;
state.setSegment(CS, 0, 0n, 0xffff, 0x9b00);
state.setSegment(DS, 0, 0n, 0xffff, 0x9300);
state.setSegment(SS, 0, 0n, 0xffff, 0x9300);
state.set64(S.cr0, 0x30n);

/** Runs the instruction that stands at `CODE` with b in ST(1) and a in ST(0). */
function execute(a: sf.Float80, b: sf.Float80, fcw: number): void {
  initialise(state);
  state.set32(S.ftop, 3);
  state.set32(S.fcw, fcw);
  writeStack(state, 0, a);
  writeStack(state, 1, b);
  state.set64(S.rip, BigInt(CODE));
  state.set32(S.activity, 0);
  cpu.stateChanged();
  if (cpu.run(4) !== "halted") throw new Error("the instruction did not end");
}
const write = (code: readonly number[]): void => {
  new Uint8Array(memory.buffer, RAM_BASE + CODE, code.length + 1).set([...code, HLT]);
  cpu.memoryWritten(CODE, code.length + 1);
};

/** Significands with long runs of equal bits make ties, carries and cancellation. */
function significand(random: Random): bigint {
  const bits = BigInt(random.below(2 ** 32)) | (BigInt(random.below(2 ** 32)) << 32n);
  const kind = random.below(6);
  const count = BigInt(random.below(64));
  if (kind === 0) return (1n << 63n) | (1n << count);
  if (kind === 1) return (1n << 63n) | ((1n << count) - 1n);
  if (kind === 2) return BigInt.asUintN(64, -1n << count) | (1n << 63n);
  if (kind === 3) return (1n << 63n) | ((bits >> count) << count);
  return bits | (1n << 63n);
}
function operand(random: Random, spread: number): sf.Float80 {
  const exponent = 0x3fff - spread + random.below(2 * spread + 1);
  return sf.float80(exponent | (random.below(2) << 15), significand(random));
}
const text = (x: sf.Float80) => `${x.signExponent.toString(16)}:${x.significand.toString(16)}`;

const result = sf.float80();
const expected = sf.float80();
const FCW = 0x37f;
const fcwOf = (rounding: number) => 0x37f | (rounding << 10);

/** FSW without TOP, and ST(0), after an instruction must be what `compute` says. */
function compare(
  name: string,
  code: readonly number[],
  spread: number,
  compute: (context: sf.FloatContext, a: sf.Float80, b: sf.Float80, out: sf.Float80) => boolean,
): void {
  const random = new Random(name.length * 1000 + code[1]);
  write(code);
  for (let i = 0; i < CASES; i++) {
    const a = operand(random, spread);
    const b = random.below(8)
      ? operand(random, spread)
      : sf.float80(a.signExponent ^ (random.below(2) << 15), a.significand);
    const double = random.below(2) === 1;
    const context = sf.createContext({ precision: double ? 53 : 64 });
    compute(context, a, b, expected);
    execute(a, b, double ? 0x27f : FCW);
    readStack(state, 0, result);
    const status = context.flags | (context.roundedUp ? 0x200 : 0);
    const outcome = `${text(result)} ${state.get32(S.fsw).toString(16)}`;
    expect(outcome, `${name} ${text(a)} ${text(b)}`).toBe(`${text(expected)} ${status.toString(16)}`);
  }
}

const OPERATIONS = [
  ["FADD", 0xc1, sf.f80Add],
  ["FMUL", 0xc9, sf.f80Mul],
  ["FSUB", 0xe1, sf.f80Sub],
  ["FSUBR", 0xe9, (c, a, b, out) => sf.f80Sub(c, b, a, out)],
  ["FDIV", 0xf1, sf.f80Div],
  ["FDIVR", 0xf9, (c, a, b, out) => sf.f80Div(c, b, a, out)],
] as const satisfies readonly (readonly [string, number, Parameters<typeof compare>[3]])[];

test.each(OPERATIONS)("%s of close, distant and extreme exponents", (name, modrm, compute) => {
  for (const spread of [2, 70, 0x2100]) compare(name, [0xd8, modrm], spread, compute);
});

/** What a store leaves in memory, and the status. */
function compareStore(
  name: string,
  code: readonly number[],
  bytes: 2 | 4 | 8,
  spread: number,
  roundings: readonly number[],
  convert: (context: sf.FloatContext, a: sf.Float80) => bigint,
): void {
  const random = new Random(code[0] * 256 + code[1]);
  write(code);
  const zero = sf.float80();
  for (let i = 0; i < CASES; i++) {
    const a = random.below(20) ? operand(random, spread) : sf.float80(random.below(2) << 15);
    const rounding = roundings[i % roundings.length];
    const context = sf.createContext({ rounding });
    const wanted = BigInt.asUintN(bytes * 8, convert(context, a));
    execute(a, zero, fcwOf(rounding));
    const stored = BigInt.asUintN(bytes * 8, ram.getBigUint64(DATA, true));
    const status = context.flags | (context.roundedUp ? 0x200 : 0);
    expect(`${stored.toString(16)} ${state.get32(S.fsw).toString(16)}`, `${name} ${rounding} ${text(a)}`).toBe(
      `${wanted.toString(16)} ${status.toString(16)}`,
    );
  }
}
const AT = [DATA & 0xff, DATA >> 8] as const;

test("FST m32, m64", () => {
  compareStore("FST m32", [0xd9, 0x16, ...AT], 4, 140, [0, 0, 1, 2, 3], (c, a) => BigInt(sf.f80ToF32(c, a)));
  compareStore("FST m64", [0xdd, 0x16, ...AT], 8, 1040, [0, 0, 1, 2, 3], sf.f80ToF64);
});

test("FIST, FISTP and FISTTP", () => {
  const cases = [
    ["FIST m16", [0xdf, 0x16], 2, false],
    ["FIST m32", [0xdb, 0x16], 4, false],
    ["FISTP m64", [0xdf, 0x3e], 8, false],
    ["FISTTP m16", [0xdf, 0x0e], 2, true],
    ["FISTTP m32", [0xdb, 0x0e], 4, true],
    ["FISTTP m64", [0xdd, 0x0e], 8, true],
  ] as const;
  for (const [name, code, bytes, truncate] of cases) {
    const width = (bytes * 8) as 16 | 32 | 64;
    compareStore(name, [...code, ...AT], bytes, bytes * 8 + 1, [0, 3, 0, 3, 1, 2], (c, a) =>
      sf.f80ToInteger(c, a, width, truncate),
    );
  }
});

test("FLD m32, m64 and FILD", () => {
  const loads = [
    [
      "FLD m32",
      [0xd9, 0x06],
      (bits: bigint, c: sf.FloatContext) => sf.f32ToF80(c, Number(bits & 0xffffffffn), expected),
    ],
    ["FLD m64", [0xdd, 0x06], (bits: bigint, c: sf.FloatContext) => sf.f64ToF80(c, bits, expected)],
    ["FILD m16", [0xdf, 0x06], (bits: bigint) => sf.f80FromInteger(BigInt.asIntN(16, bits), expected)],
    ["FILD m32", [0xdb, 0x06], (bits: bigint) => sf.f80FromInteger(BigInt.asIntN(32, bits), expected)],
    ["FILD m64", [0xdf, 0x2e], (bits: bigint) => sf.f80FromInteger(BigInt.asIntN(64, bits), expected)],
  ] as const;
  const zero = sf.float80();
  for (const [name, code, convert] of loads) {
    const random = new Random(code[0] + code[1]);
    write([...code, ...AT]);
    for (let i = 0; i < CASES; i++) {
      const shift = BigInt(random.below(65));
      const bits = random.below(3) ? significand(random) >> shift : BigInt.asUintN(64, -significand(random) >> shift);
      ram.setBigUint64(DATA, bits, true);
      const context = sf.createContext();
      convert(bits, context);
      execute(zero, zero, FCW);
      readStack(state, 0, result);
      expect(`${text(result)} ${state.get32(S.fsw)}`, `${name} ${bits.toString(16)}`).toBe(
        `${text(expected)} ${context.flags}`,
      );
    }
  }
});

test("FCOMI orders normal numbers, zeros and all others", () => {
  const random = new Random(5);
  write([0xdb, 0xf1]);
  const values = [0n, 1n << 63n, (1n << 63n) | 1n, 3n << 62n, 1n].flatMap((low) =>
    [0, 1, 0x3ffe, 0x3fff, 0x7ffe, 0x7fff].flatMap((high) => [sf.float80(high, low), sf.float80(high | 0x8000, low)]),
  );
  for (const a of values) {
    for (const b of [...values, operand(random, 3)]) {
      const context = sf.createContext();
      const relation = sf.f80Compare(context, a, b, true);
      execute(a, b, FCW);
      const wanted = [0x01, 0x40, 0, 0x45][relation + 1];
      expect(`${state.rflags & 0x8d5} ${state.get32(S.fsw)}`, `${text(a)} ${text(b)}`).toBe(
        `${wanted} ${context.flags}`,
      );
    }
  }
});
