import { afterAll, describe, expect, test } from "vitest";
import * as sf from "../../src/softfloat/index.js";
import { fraction, Random } from "./generate.js";
import { Oracle, type Request } from "./oracle.js";
import { contextOf, from80, hex, makeCases, to80 } from "./x87-case.js";

const CASES = Number(process.env.SOFTMETAL_CASES ?? 3000);

interface Outcome {
  results: bigint[];
  written: boolean;
}

interface Row {
  name: string;
  op: number;
  /** Exponents of two between which ST(0) lies when it is not arbitrary. */
  range: [number, number];
  /** Operands for which the manual leaves the result open. */
  undefinedFor: (st0: bigint) => boolean;
  evaluate: (context: sf.FloatContext, st0: bigint, st1: bigint) => Outcome;
}

const never = (): boolean => false;
const exponentOf = (x: bigint): number => Number((x >> 64n) & 0x7fffn) - 16383;

type Unary = (c: sf.FloatContext, a: sf.Float80, out: sf.Float80) => boolean;
type Binary = (c: sf.FloatContext, y: sf.Float80, x: sf.Float80, out: sf.Float80) => boolean;
type Pushing = (c: sf.FloatContext, a: sf.Float80, out: sf.Float80, pushed: sf.Float80) => boolean;

const unary = (f: Unary): Row["evaluate"] => {
  return (c, a) => {
    const out = to80(a);
    const written = f(c, to80(a), out);
    return { written, results: [from80(out)] };
  };
};
const binary = (f: Binary): Row["evaluate"] => {
  return (c, a, b) => {
    const out = to80(a);
    const written = f(c, to80(b), to80(a), out);
    return { written, results: [from80(out)] };
  };
};
const pushing = (f: Pushing): Row["evaluate"] => {
  return (c, a) => {
    const out = to80(a);
    const pushed = sf.float80();
    const written = f(c, to80(a), out, pushed);
    return { written, results: written ? [from80(pushed), from80(out)] : [a] };
  };
};

const rows: Row[] = [
  {
    name: "F2XM1",
    op: 150,
    range: [-70, -1],
    undefinedFor: (x) => exponentOf(x) >= 0,
    evaluate: unary(sf.f80Exp2Minus1),
  },
  { name: "FYL2X", op: 151, range: [-2, 2], undefinedFor: never, evaluate: binary(sf.f80YLog2X) },
  {
    name: "FYL2XP1",
    op: 152,
    range: [-70, -2],
    undefinedFor: (x) => exponentOf(x) >= -2,
    evaluate: binary(sf.f80YLog2XPlus1),
  },
  { name: "FSIN", op: 153, range: [-40, 62], undefinedFor: never, evaluate: unary(sf.f80Sin) },
  { name: "FCOS", op: 154, range: [-40, 62], undefinedFor: never, evaluate: unary(sf.f80Cos) },
  { name: "FSINCOS", op: 155, range: [-40, 62], undefinedFor: never, evaluate: pushing(sf.f80SinCos) },
  { name: "FPTAN", op: 156, range: [-40, 62], undefinedFor: never, evaluate: pushing(sf.f80Tan) },
  { name: "FPATAN", op: 157, range: [-10, 10], undefinedFor: never, evaluate: binary(sf.f80Atan2) },
];

/** Distance of two finite values of one sign in units of the last place; Infinity where that means nothing. */
function distance(a: bigint, b: bigint): number {
  if (a === b) return 0;
  if (a >> 79n !== b >> 79n) return Number.POSITIVE_INFINITY;
  const ordinal = (x: bigint): bigint => ((x >> 64n) & 0x7fffn) * (1n << 63n) + (x & 0x7fffffffffffffffn);
  const d = ordinal(a) - ordinal(b);
  return Number(d < 0n ? -d : d);
}

const oracle = Oracle.build();
if (typeof oracle === "string") console.warn(`SKIPPED: x87 functions are not compared with the processor: ${oracle}`);

describe.skipIf(typeof oracle === "string")("x87 functions are within one unit of the processor's", () => {
  const cpu = oracle as Oracle;
  afterAll(() => cpu.dispose());

  function cases(row: Row, masks: number): Request[] {
    const random = new Random(row.op + masks);
    const any = makeCases({ ...row, a: "f80", b: "f80", to: "f80", evaluate: () => ({ r: 0n }) }, CASES, 7, masks);
    return any.map((q, i) => {
      if (i % 3 === 0) return q;
      const [low, high] = row.range;
      const biased = 16383 + low + random.below(high - low + 1);
      const a = (BigInt(random.below(2)) << 79n) | (BigInt(biased) << 64n) | (1n << 63n) | fraction(random, 63);
      const other = 16383 - 10 + random.below(20);
      const b = (BigInt(random.below(2)) << 79n) | (BigInt(other) << 64n) | (1n << 63n) | fraction(random, 63);
      return { ...q, a, b };
    });
  }

  function check(row: Row, masks: number): void {
    const requests = cases(row, masks);
    const responses = cpu.run(requests);
    const differences: string[] = [];
    let exact = 0;
    let compared = 0;
    requests.forEach((q, i) => {
      if (row.undefinedFor(q.a) && exponentOf(q.a) < 16384) return;
      const context = contextOf(q.control);
      const mine = row.evaluate(context, q.a, q.b);
      const answer = responses[i];
      const flags = answer.status & 0x3f;
      const theirs = [answer.r, answer.r2];
      const ulps = Math.max(...mine.results.map((x, k) => distance(x, theirs[k])));
      const outOfRange = !mine.written && !sf.isAborted(context);
      compared++;
      if (ulps === 0) exact++;
      if (ulps > 1 || flags !== context.flags || outOfRange !== ((answer.status & 0x400) !== 0)) {
        differences.push(
          `${row.name} ${hex(q.control)} ${hex(q.a)} ${hex(q.b)}: ${mine.results.map(hex)}/${hex(context.flags)}` +
            `, CPU ${theirs.map(hex)}/${hex(flags)} ${hex(answer.status)}`,
        );
      }
    });
    expect(differences.length, differences.slice(0, 12).join("\n")).toBe(0);
    console.info(`${row.name}: ${exact} of ${compared} results identical, the others within one unit`);
  }

  test.each(rows)("$name, masked", (row) => check(row, 0x3f));
  test.each(rows)("$name, random masks", (row) => check(row, -1));
});
