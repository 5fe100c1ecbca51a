import { readFileSync } from "node:fs";
import { afterAll, describe, expect, test } from "vitest";
import * as sf from "../../src/softfloat/index.js";
import { integer, partner, pattern, Random } from "./generate.js";
import { Oracle, type Request } from "./oracle.js";

const CASES = Number(process.env.SOFTMETAL_CASES ?? 6000);

type Kind = "f16" | "f32" | "f64" | "i32" | "i64" | "relation";
type Evaluate = (c: sf.FloatContext, a: bigint, b: bigint) => bigint;
interface Row {
  name: string;
  op: number;
  from: Kind;
  to: Kind;
  evaluate: Evaluate;
}

const n = Number;
const binary32 = (f: (c: sf.FloatContext, a: number, b: number) => number): Evaluate => {
  return (c, a, b) => BigInt(f(c, n(a), n(b)));
};
const single32 = (f: (c: sf.FloatContext, a: number) => number | bigint): Evaluate => {
  return (c, a) => BigInt(f(c, n(a)));
};

/** The EFLAGS bits ZF, PF and CF that COMISS writes. */
const COMI = [0x01n, 0x40n, 0x00n, 0x45n];
const relation = (r: sf.Relation): bigint => COMI[r + 1];

const ROUNDING_IMMEDIATES = [0, 1, 2, 3, 4, 8, 12];

const rows: Row[] = [
  { name: "ADDSS", op: 0, from: "f32", to: "f32", evaluate: binary32(sf.f32Add) },
  { name: "SUBSS", op: 1, from: "f32", to: "f32", evaluate: binary32(sf.f32Sub) },
  { name: "MULSS", op: 2, from: "f32", to: "f32", evaluate: binary32(sf.f32Mul) },
  { name: "DIVSS", op: 3, from: "f32", to: "f32", evaluate: binary32(sf.f32Div) },
  { name: "SQRTSS", op: 4, from: "f32", to: "f32", evaluate: single32(sf.f32Sqrt) },
  { name: "MINSS", op: 5, from: "f32", to: "f32", evaluate: binary32(sf.f32Min) },
  { name: "MAXSS", op: 6, from: "f32", to: "f32", evaluate: binary32(sf.f32Max) },
  {
    name: "COMISS",
    op: 7,
    from: "f32",
    to: "relation",
    evaluate: (c, a, b) => relation(sf.f32Compare(c, n(a), n(b), true)),
  },
  {
    name: "UCOMISS",
    op: 8,
    from: "f32",
    to: "relation",
    evaluate: (c, a, b) => relation(sf.f32Compare(c, n(a), n(b), false)),
  },
  { name: "CVTSS2SI r32", op: 9, from: "f32", to: "i32", evaluate: (c, a) => BigInt(sf.f32ToInt32(c, n(a), false)) },
  { name: "CVTSS2SI r64", op: 10, from: "f32", to: "i64", evaluate: (c, a) => sf.f32ToInt64(c, n(a), false) },
  { name: "CVTTSS2SI r32", op: 11, from: "f32", to: "i32", evaluate: (c, a) => BigInt(sf.f32ToInt32(c, n(a), true)) },
  { name: "CVTTSS2SI r64", op: 12, from: "f32", to: "i64", evaluate: (c, a) => sf.f32ToInt64(c, n(a), true) },
  {
    name: "CVTSI2SS r32",
    op: 13,
    from: "i32",
    to: "f32",
    evaluate: (c, a) => BigInt(sf.f32FromInt32(c, n(BigInt.asIntN(32, a)))),
  },
  {
    name: "CVTSI2SS r64",
    op: 14,
    from: "i64",
    to: "f32",
    evaluate: (c, a) => BigInt(sf.f32FromInt64(c, BigInt.asIntN(64, a))),
  },
  { name: "CVTSS2SD", op: 15, from: "f32", to: "f64", evaluate: single32(sf.f32ToF64) },
  { name: "ADDSD", op: 32, from: "f64", to: "f64", evaluate: sf.f64Add },
  { name: "SUBSD", op: 33, from: "f64", to: "f64", evaluate: sf.f64Sub },
  { name: "MULSD", op: 34, from: "f64", to: "f64", evaluate: sf.f64Mul },
  { name: "DIVSD", op: 35, from: "f64", to: "f64", evaluate: sf.f64Div },
  { name: "SQRTSD", op: 36, from: "f64", to: "f64", evaluate: sf.f64Sqrt },
  { name: "MINSD", op: 37, from: "f64", to: "f64", evaluate: sf.f64Min },
  { name: "MAXSD", op: 38, from: "f64", to: "f64", evaluate: sf.f64Max },
  {
    name: "COMISD",
    op: 39,
    from: "f64",
    to: "relation",
    evaluate: (c, a, b) => relation(sf.f64Compare(c, a, b, true)),
  },
  {
    name: "UCOMISD",
    op: 40,
    from: "f64",
    to: "relation",
    evaluate: (c, a, b) => relation(sf.f64Compare(c, a, b, false)),
  },
  { name: "CVTSD2SI r32", op: 41, from: "f64", to: "i32", evaluate: (c, a) => BigInt(sf.f64ToInt32(c, a, false)) },
  { name: "CVTSD2SI r64", op: 42, from: "f64", to: "i64", evaluate: (c, a) => sf.f64ToInt64(c, a, false) },
  { name: "CVTTSD2SI r32", op: 43, from: "f64", to: "i32", evaluate: (c, a) => BigInt(sf.f64ToInt32(c, a, true)) },
  { name: "CVTTSD2SI r64", op: 44, from: "f64", to: "i64", evaluate: (c, a) => sf.f64ToInt64(c, a, true) },
  {
    name: "CVTSI2SD r32",
    op: 45,
    from: "i32",
    to: "f64",
    evaluate: (_c, a) => sf.f64FromInt32(n(BigInt.asIntN(32, a))),
  },
  {
    name: "CVTSI2SD r64",
    op: 46,
    from: "i64",
    to: "f64",
    evaluate: (c, a) => sf.f64FromInt64(c, BigInt.asIntN(64, a)),
  },
  { name: "CVTSD2SS", op: 47, from: "f64", to: "f32", evaluate: (c, a) => BigInt(sf.f64ToF32(c, a)) },
  { name: "VCVTPH2PS", op: 64, from: "f16", to: "f32", evaluate: (c, a) => BigInt(sf.f16ToF32(c, n(a))) },
  ...[0, 1, 2, 3, 4].map((imm): Row => {
    return {
      name: `VCVTPS2PH ${imm}`,
      op: 65 + imm,
      from: "f32",
      to: "f16",
      evaluate: (c, a) => BigInt(sf.f32ToF16(c, n(a), imm & 4 ? c.rounding : imm)),
    };
  }),
  ...ROUNDING_IMMEDIATES.flatMap((imm, i): Row[] => {
    const mode = (c: sf.FloatContext): number => (imm & 4 ? c.rounding : imm & 3);
    const quiet = (imm & 8) !== 0;
    return [
      {
        name: `ROUNDSS ${imm}`,
        op: 16 + i,
        from: "f32",
        to: "f32",
        evaluate: (c, a) => BigInt(sf.f32RoundToIntegral(c, n(a), mode(c), quiet)),
      },
      {
        name: `ROUNDSD ${imm}`,
        op: 48 + i,
        from: "f64",
        to: "f64",
        evaluate: (c, a) => sf.f64RoundToIntegral(c, a, mode(c), quiet),
      },
    ];
  }),
];

const WIDTH: Record<Kind, number> = { f16: 16, f32: 32, f64: 64, i32: 32, i64: 64, relation: 8 };

function operand(random: Random, kind: Kind): bigint {
  if (kind === "f16") return pattern(random, 5, 10);
  if (kind === "f32") return pattern(random, 8, 23);
  if (kind === "f64") return pattern(random, 11, 52);
  return integer(random, WIDTH[kind]);
}

const features = process.platform === "linux" ? readFileSync("/proc/cpuinfo", "utf8") : "";
const available = (row: Row): boolean => {
  if (row.name.startsWith("VCVT")) return features.includes("f16c");
  return !row.name.startsWith("ROUND") || features.includes("sse4_1");
};

const oracle = Oracle.build();
if (typeof oracle === "string") console.warn(`SKIPPED: SSE results are not compared with the processor: ${oracle}`);

describe.skipIf(typeof oracle === "string")("SSE operations equal the processor's", () => {
  const cpu = oracle as Oracle;
  afterAll(() => cpu.dispose());

  /** `masks` of -1 picks random masks; only the flags are compared when an exception trapped. */
  function check(row: Row, count: number, seed: number, masks: number): void {
    const random = new Random(seed * 1000 + row.op);
    const requests: Request[] = [];
    for (let i = 0; i < count; i++) {
      const a = operand(random, row.from);
      const b = partner(random, a, WIDTH[row.from], () => operand(random, row.from));
      const m = masks < 0 ? random.below(64) : masks;
      // DAZ, masks, RC, FZ
      const control =
        (random.below(4) === 0 ? 0x40 : 0) | (m << 7) | (random.below(4) << 13) | (random.below(4) === 0 ? 0x8000 : 0);
      requests.push({ op: row.op, control, a, b });
    }
    const responses = cpu.run(requests);
    const differences: string[] = [];
    requests.forEach((q, i) => {
      const context = sf.createContext({
        rounding: (q.control >> 13) & 3,
        flushToZero: (q.control & 0x8000) !== 0,
        denormalsAreZero: (q.control & 0x40) !== 0,
        masks: (q.control >> 7) & 0x3f,
      });
      const mine = row.evaluate(context, q.a, q.b);
      const answer = responses[i];
      const flags = answer.status & 0x3f;
      const trapped = (answer.extra & 1) !== 0;
      let theirs = row.to === "i32" || row.to === "i64" ? answer.r2 : answer.r;
      if (row.to === "relation") theirs = BigInt(answer.extra >>> 1) & 0x45n;
      theirs = BigInt.asUintN(WIDTH[row.to], theirs);
      const same = trapped || BigInt.asUintN(WIDTH[row.to], mine) === theirs;
      if (!same || context.flags !== flags || trapped !== ((flags & ~context.masks) !== 0)) {
        const text = [q.control, q.a, q.b].map((x) => x.toString(16)).join(" ");
        differences.push(
          `${row.name} ${text}: ${mine.toString(16)}/${context.flags.toString(16)}, CPU ${theirs.toString(16)}/${flags.toString(16)}`,
        );
      }
    });
    expect(differences.length, differences.slice(0, 12).join("\n")).toBe(0);
  }

  test.each(rows.filter(available))("$name, masked", (row) => check(row, CASES, 1, 0x3f));
  test.each(rows.filter(available))("$name, random masks", (row) => check(row, Math.ceil(CASES / 4), 2, -1));

  test.each([
    ["RCPSS", sf.f32Reciprocal, 70],
    ["RSQRTSS", sf.f32ReciprocalSqrt, 71],
  ] as const)("%s within the error bound of both", (_name, approximate, op) => {
    const random = new Random(op);
    const inputs = Array.from({ length: CASES }, () => pattern(random, 8, 23));
    const responses = cpu.run(inputs.map((a) => ({ op, control: 0x1f80, a, b: 0n })));
    const value = new Float32Array(1);
    const view = new Uint32Array(value.buffer);
    const toNumber = (bits: number): number => {
      view[0] = bits;
      return value[0];
    };
    inputs.forEach((a, i) => {
      const mine = approximate(n(a));
      const theirs = n(responses[i].r & 0xffffffffn);
      const x = toNumber(mine);
      const y = toNumber(theirs);
      const text = `${a.toString(16)}: ${mine.toString(16)}, CPU ${theirs.toString(16)}`;
      // Whether a result just at the smallest normal counts as tiny is the processor's choice.
      if (y === 0 && Math.abs(x) < 2 ** -125) return;
      if (Number.isFinite(y) && y !== 0) expect(Math.abs(x - y) / Math.abs(y), text).toBeLessThan(2 ** -10.4);
      else expect(mine, text).toBe(theirs);
    });
  });
});
