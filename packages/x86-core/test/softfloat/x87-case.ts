import { expect } from "vitest";
import * as sf from "../../src/softfloat/index.js";
import { integer, partner, pattern, pattern80, Random } from "./generate.js";
import type { Oracle, Request } from "./oracle.js";

export type Kind = "f32" | "f64" | "f80" | "i16" | "i32" | "i64" | "bcd" | "none";

export const WIDTH: Record<Kind, number> = { f32: 32, f64: 64, f80: 80, i16: 16, i32: 32, i64: 64, bcd: 80, none: 8 };

/** What the library did with one case. */
export interface Outcome {
  /** ST(0), or what was stored in memory. */
  r: bigint;
  /** ST(1), where the instruction has two results. */
  r2?: bigint;
  /** C3 C2 C1 C0 as they stand in the status word, of those in the row's mask; C1 defaults to "rounded up". */
  conditions?: number;
  /** ZF, PF and CF, for instructions that write them. */
  eflags?: number;
}

export interface Row {
  name: string;
  op: number;
  /** What lies in ST(0); for loads, in memory. */
  a: Kind;
  /** What lies in ST(1) or in memory. */
  b: Kind;
  to: Kind;
  /** Condition bits of the status word to compare; 0x200 (C1) by default. */
  conditions?: number;
  evaluate: (context: sf.FloatContext, a: bigint, b: bigint) => Outcome;
}

export function to80(bits: bigint): sf.Float80 {
  return sf.float80(Number(bits >> 64n), BigInt.asUintN(64, bits));
}

export function from80(value: sf.Float80): bigint {
  return (BigInt(value.signExponent) << 64n) | value.significand;
}

function bcd(random: Random): bigint {
  let bits = BigInt(random.below(256)) << 72n;
  const digits = random.below(19);
  for (let i = 0; i < digits; i++) bits |= BigInt(random.below(10)) << BigInt(4 * i);
  return bits;
}

export function operand(random: Random, kind: Kind): bigint {
  if (kind === "f32") return pattern(random, 8, 23);
  if (kind === "f64") return pattern(random, 11, 52);
  if (kind === "f80") return pattern80(random);
  if (kind === "bcd") return bcd(random);
  return integer(random, WIDTH[kind]);
}

const PRECISIONS: Record<number, number> = { 0: 24, 2: 53, 3: 64 };

export function contextOf(control: number): sf.FloatContext {
  return sf.createContext({
    rounding: (control >> 10) & 3,
    precision: PRECISIONS[(control >> 8) & 3],
    masks: control & 0x3f,
  });
}

export const hex = (x: bigint | number | undefined): string => (x ?? 0n).toString(16);

/** Random cases of one row; `masks` of -1 picks random exception masks. */
export function makeCases(row: Row, count: number, seed: number, masks: number): Request[] {
  const random = new Random(seed * 1000 + row.op);
  return Array.from({ length: count }, () => {
    const a = operand(random, row.a);
    const other = (): bigint => operand(random, row.b);
    const b = row.a === row.b ? partner(random, a, WIDTH[row.a], other) : other();
    const m = masks < 0 ? random.below(64) : masks;
    return { op: row.op, control: m | (random.pick([0, 2, 3, 3]) << 8) | (random.below(4) << 10), a, b };
  });
}

/** Requires that results, flags and condition codes of all cases are those of the processor. */
export function check(oracle: Oracle, row: Row, requests: Request[]): void {
  const responses = oracle.run(requests);
  const conditions = row.conditions ?? 0x200;
  const differences: string[] = [];
  requests.forEach((q, i) => {
    const context = contextOf(q.control);
    const mine = row.evaluate(context, q.a, q.b);
    const answer = responses[i];
    const flags = answer.status & 0x3f;
    const unmasked = (flags & ~context.masks) !== 0;
    const myConditions = (mine.conditions ?? 0) | (context.roundedUp ? 0x200 : 0);
    const width = BigInt.asUintN.bind(undefined, WIDTH[row.to]);
    // A store that faults writes nothing; a stopped instruction leaves the condition codes alone.
    const stored = !unmasked || row.to === "f80";
    const stopped = (flags & ~context.masks & 7) !== 0;
    const same =
      (!stored || width(mine.r) === width(answer.r)) &&
      (mine.r2 === undefined || stopped || mine.r2 === answer.r2) &&
      (stopped || ((myConditions ^ answer.status) & conditions) === 0) &&
      (stopped || mine.eflags === undefined || mine.eflags === ((answer.extra >>> 1) & 0x45));
    if (!same || context.flags !== flags) {
      differences.push(
        `${row.name} ${hex(q.control)} ${hex(q.a)} ${hex(q.b)}: ${hex(mine.r)} ${hex(mine.r2)} ${hex(myConditions)}/${hex(context.flags)}` +
          `, CPU ${hex(width(answer.r))} ${hex(answer.r2)} ${hex(answer.status & 0x4700)}/${hex(flags)}`,
      );
    }
  });
  expect(differences.length, differences.slice(0, 12).join("\n")).toBe(0);
}
