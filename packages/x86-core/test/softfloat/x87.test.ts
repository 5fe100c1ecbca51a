import { afterAll, describe, expect, test } from "vitest";
import * as sf from "../../src/softfloat/index.js";
import { Oracle } from "./oracle.js";
import { check, from80, type Kind, makeCases, type Outcome, type Row, to80 } from "./x87-case.js";

const CASES = Number(process.env.SOFTMETAL_CASES ?? 5000);

const n = Number;
type Binary = (c: sf.FloatContext, a: sf.Float80, b: sf.Float80, out: sf.Float80) => unknown;
type Evaluate = Row["evaluate"];

/** Runs over a copy of `a`, as an instruction does whose destination is ST(0). */
const onStack = (f: Binary): Evaluate => {
  return (c, a, b) => {
    const st0 = to80(a);
    f(c, st0, to80(b), st0);
    return { r: from80(st0) };
  };
};
const with32 = (f: Binary): Evaluate => {
  return (c, a, b) => {
    const st0 = to80(a);
    const memory = sf.float80();
    sf.widenF32ToF80(n(BigInt.asUintN(32, b)), memory);
    f(c, st0, memory, st0);
    return { r: from80(st0) };
  };
};
const with64 = (f: Binary): Evaluate => {
  return (c, a, b) => {
    const st0 = to80(a);
    const memory = sf.float80();
    sf.widenF64ToF80(BigInt.asUintN(64, b), memory);
    f(c, st0, memory, st0);
    return { r: from80(st0) };
  };
};
const reversed = (f: Binary): Binary => {
  return (c, a, b, out) => f(c, b, a, out);
};

/** C0, C2 and C3 after a comparison. */
const RELATION = [0x0100, 0x4000, 0x0000, 0x4500];
const compared = (signaling: boolean, memory: "none" | "f32" | "f64" | "zero" = "none"): Evaluate => {
  return (c, a, b) => {
    const right = sf.float80();
    if (memory === "f32") sf.widenF32ToF80(n(BigInt.asUintN(32, b)), right);
    else if (memory === "f64") sf.widenF64ToF80(BigInt.asUintN(64, b), right);
    else if (memory === "none") sf.f80Copy(to80(b), right);
    return { r: a, conditions: RELATION[sf.f80Compare(c, to80(a), right, signaling) + 1] };
  };
};
const ALL = 0x4700;
/** ZF, PF and CF after FCOMI. */
const EFLAGS = [0x01, 0x40, 0x00, 0x45];
const comparedIntoEflags = (signaling: boolean): Evaluate => {
  return (c, a, b) => ({ r: a, eflags: EFLAGS[sf.f80Compare(c, to80(a), to80(b), signaling) + 1] });
};

const remainder = (nearest: boolean): Evaluate => {
  return (c, a, b) => {
    const st0 = to80(a);
    const q = sf.f80Remainder(c, st0, to80(b), nearest, st0);
    const conditions = q === sf.INCOMPLETE ? 0x400 : (q & 4 ? 0x100 : 0) | (q & 2 ? 0x4000 : 0) | (q & 1 ? 0x200 : 0);
    return { r: from80(st0), conditions };
  };
};

const extract: Evaluate = (c, a) => {
  const st0 = to80(a);
  const st1 = to80(a);
  sf.f80Extract(c, to80(a), st0, st1);
  return { r: from80(st0), r2: from80(st1) };
};

const examine: Evaluate = (_c, a) => {
  const code = sf.f80Classify(to80(a));
  const sign = a >> 79n ? 0x200 : 0;
  return { r: a, conditions: (code & 4 ? 0x4000 : 0) | (code & 2 ? 0x400 : 0) | (code & 1 ? 0x100 : 0) | sign };
};

const load = (f: (c: sf.FloatContext, a: bigint, out: sf.Float80) => void): Evaluate => {
  return (c, a): Outcome => {
    const out = sf.float80();
    f(c, a, out);
    return { r: from80(out) };
  };
};

const signed = (a: bigint, width: number): bigint => BigInt.asIntN(width, a);
const bcdOf = (bits: bigint): sf.PackedBcd => ({ low: BigInt.asUintN(64, bits), high: n(bits >> 64n) });

const arithmetic: Row[] = [
  { name: "FADD", op: 100, a: "f80", b: "f80", to: "f80", evaluate: onStack(sf.f80Add) },
  { name: "FSUB", op: 101, a: "f80", b: "f80", to: "f80", evaluate: onStack(sf.f80Sub) },
  { name: "FMUL", op: 102, a: "f80", b: "f80", to: "f80", evaluate: onStack(sf.f80Mul) },
  { name: "FDIV", op: 103, a: "f80", b: "f80", to: "f80", evaluate: onStack(sf.f80Div) },
  {
    name: "FSQRT",
    op: 104,
    a: "f80",
    b: "none",
    to: "f80",
    evaluate: onStack((c, a, _b, out) => sf.f80Sqrt(c, a, out)),
  },
  { name: "FPREM", op: 105, a: "f80", b: "f80", to: "f80", conditions: ALL, evaluate: remainder(false) },
  { name: "FPREM1", op: 106, a: "f80", b: "f80", to: "f80", conditions: ALL, evaluate: remainder(true) },
  { name: "FSCALE", op: 107, a: "f80", b: "f80", to: "f80", evaluate: onStack(sf.f80Scale) },
  { name: "FXTRACT", op: 108, a: "f80", b: "none", to: "f80", evaluate: extract },
  {
    name: "FRNDINT",
    op: 109,
    a: "f80",
    b: "none",
    to: "f80",
    evaluate: onStack((c, a, _b, out) => sf.f80RoundToIntegral(c, a, out)),
  },
  { name: "FCOM", op: 110, a: "f80", b: "f80", to: "f80", conditions: ALL, evaluate: compared(true) },
  { name: "FUCOM", op: 111, a: "f80", b: "f80", to: "f80", conditions: ALL, evaluate: compared(false) },
  { name: "FCOMI", op: 112, a: "f80", b: "f80", to: "f80", evaluate: comparedIntoEflags(true) },
  { name: "FUCOMI", op: 113, a: "f80", b: "f80", to: "f80", evaluate: comparedIntoEflags(false) },
  { name: "FTST", op: 114, a: "f80", b: "none", to: "f80", conditions: ALL, evaluate: compared(true, "zero") },
  { name: "FXAM", op: 115, a: "f80", b: "none", to: "f80", conditions: ALL, evaluate: examine },
  { name: "FADD m32", op: 120, a: "f80", b: "f32", to: "f80", evaluate: with32(sf.f80Add) },
  { name: "FSUB m32", op: 121, a: "f80", b: "f32", to: "f80", evaluate: with32(sf.f80Sub) },
  { name: "FMUL m32", op: 122, a: "f80", b: "f32", to: "f80", evaluate: with32(sf.f80Mul) },
  { name: "FDIV m32", op: 123, a: "f80", b: "f32", to: "f80", evaluate: with32(sf.f80Div) },
  { name: "FDIVR m32", op: 124, a: "f80", b: "f32", to: "f80", evaluate: with32(reversed(sf.f80Div)) },
  { name: "FCOM m32", op: 125, a: "f80", b: "f32", to: "f80", conditions: ALL, evaluate: compared(true, "f32") },
  { name: "FADD m64", op: 126, a: "f80", b: "f64", to: "f80", evaluate: with64(sf.f80Add) },
  { name: "FSUB m64", op: 127, a: "f80", b: "f64", to: "f80", evaluate: with64(sf.f80Sub) },
  { name: "FMUL m64", op: 128, a: "f80", b: "f64", to: "f80", evaluate: with64(sf.f80Mul) },
  { name: "FDIV m64", op: 129, a: "f80", b: "f64", to: "f80", evaluate: with64(sf.f80Div) },
  { name: "FDIVR m64", op: 130, a: "f80", b: "f64", to: "f80", evaluate: with64(reversed(sf.f80Div)) },
  { name: "FCOM m64", op: 131, a: "f80", b: "f64", to: "f80", conditions: ALL, evaluate: compared(true, "f64") },
];

const integers = ([16, 32, 64] as const).flatMap((width, i): Row[] => {
  const kind = `i${width}` as Kind;
  return [
    {
      name: `FILD m${width}`,
      op: 136 + i,
      a: kind,
      b: "none",
      to: "f80",
      evaluate: load((_c, a, out) => sf.f80FromInteger(signed(a, width), out)),
    },
    {
      name: `FISTP m${width}`,
      op: 139 + i,
      a: "f80",
      b: "none",
      to: kind,
      evaluate: (c, a) => ({ r: sf.f80ToInteger(c, to80(a), width, false) }),
    },
    {
      name: `FISTTP m${width}`,
      op: 142 + i,
      a: "f80",
      b: "none",
      to: kind,
      evaluate: (c, a) => ({ r: sf.f80ToInteger(c, to80(a), width, true) }),
    },
  ];
});

const conversions: Row[] = [
  {
    name: "FLD m32",
    op: 132,
    a: "f32",
    b: "none",
    to: "f80",
    evaluate: load((c, a, out) => sf.f32ToF80(c, n(a), out)),
  },
  { name: "FLD m64", op: 133, a: "f64", b: "none", to: "f80", evaluate: load(sf.f64ToF80) },
  {
    name: "FST m32",
    op: 134,
    a: "f80",
    b: "none",
    to: "f32",
    evaluate: (c, a) => ({ r: BigInt(sf.f80ToF32(c, to80(a))) }),
  },
  { name: "FST m64", op: 135, a: "f80", b: "none", to: "f64", evaluate: (c, a) => ({ r: sf.f80ToF64(c, to80(a)) }) },
  ...integers,
  {
    name: "FBLD",
    op: 145,
    a: "bcd",
    b: "none",
    to: "f80",
    evaluate: load((_c, a, out) => sf.f80FromBcd(bcdOf(a), out)),
  },
  {
    name: "FBSTP",
    op: 146,
    a: "f80",
    b: "none",
    to: "bcd",
    evaluate: (c, a) => {
      const out = { low: 0n, high: 0 };
      sf.f80ToBcd(c, to80(a), out);
      return { r: (BigInt(out.high) << 64n) | out.low };
    },
  },
];

const constants = [
  ["FLDL2T", "L2T", 161],
  ["FLDL2E", "L2E", 162],
  ["FLDPI", "PI", 163],
  ["FLDLG2", "LG2", 164],
  ["FLDLN2", "LN2", 165],
] as const;

const oracle = Oracle.build();
if (typeof oracle === "string") console.warn(`SKIPPED: x87 results are not compared with the processor: ${oracle}`);

describe.skipIf(typeof oracle === "string")("x87 operations equal the processor's", () => {
  const cpu = oracle as Oracle;
  afterAll(() => cpu.dispose());
  const rows = [...arithmetic, ...conversions];

  test.each(rows)("$name, masked", (row) => check(cpu, row, makeCases(row, CASES, 1, 0x3f)));
  test.each(rows)("$name, random masks", (row) => check(cpu, row, makeCases(row, CASES, 2, -1)));

  test.each(constants)("%s", (_name, constant, op) => {
    for (let rounding = 0; rounding < 4; rounding++) {
      const control = 0x33f | (rounding << 10);
      const out = sf.float80();
      sf.f80Constant(sf.createContext({ rounding }), constant, out);
      expect(from80(out)).toBe(cpu.run([{ op, control, a: 0n, b: 0n }])[0].r);
    }
  });

  test.each([
    ["FLD1", sf.f80One, 160],
    ["FLDZ", sf.f80Zero, 166],
  ] as const)("%s", (_name, constant, op) => {
    const out = sf.float80(1, 1n);
    constant(out);
    expect(from80(out)).toBe(cpu.run([{ op, control: 0x33f, a: 0n, b: 0n }])[0].r);
  });
});
