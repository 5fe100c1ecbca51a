import type { CpuContext } from "../cpu/context.js";
import { FLOAT_FORMATS, FLOAT_OPERATIONS, type FloatOperation } from "../semantics/sse-codes.js";
import * as soft from "../softfloat/index.js";
import { begin, finish } from "./context.js";

type Single = (c: soft.FloatContext, a: number, b: number) => number;
type Double = (c: soft.FloatContext, a: bigint, b: bigint) => bigint;

const SINGLE: Record<Exclude<FloatOperation, "addsub">, Single> = {
  add: soft.f32Add,
  sub: soft.f32Sub,
  mul: soft.f32Mul,
  div: soft.f32Div,
  sqrt: (c, a) => soft.f32Sqrt(c, a),
  min: soft.f32Min,
  max: soft.f32Max,
};
const DOUBLE: Record<Exclude<FloatOperation, "addsub">, Double> = {
  add: soft.f64Add,
  sub: soft.f64Sub,
  mul: soft.f64Mul,
  div: soft.f64Div,
  sqrt: (c, a) => soft.f64Sqrt(c, a),
  min: soft.f64Min,
  max: soft.f64Max,
};

/** How many elements a format has. */
export const lanesOf = (format: number): number => [1, 1, 4, 2][format];
export const isDouble = (format: number): boolean => FLOAT_FORMATS[format].startsWith("f64");

/** Applies `each` to the elements of arguments 1 and 2, element by element, and stores what it gives as the result. */
export function mapSingles(cpu: CpuContext, lanes: number, each: (a: number, b: number, lane: number) => number): void {
  const { u32 } = cpu.state;
  const a = cpu.argAddress(1) >> 2;
  const b = cpu.argAddress(2) >> 2;
  const r = cpu.resultAddress() >> 2;
  for (let lane = 0; lane < lanes; lane++) u32[r + lane] = each(u32[a + lane], u32[b + lane], lane);
}
export function mapDoubles(cpu: CpuContext, lanes: number, each: (a: bigint, b: bigint, lane: number) => bigint): void {
  const { u64 } = cpu.state;
  const a = cpu.argAddress(1) >> 3;
  const b = cpu.argAddress(2) >> 3;
  const r = cpu.resultAddress() >> 3;
  for (let lane = 0; lane < lanes; lane++) u64[r + lane] = each(u64[a + lane], u64[b + lane], lane);
}

/** ADD, SUB, MUL, DIV, SQRT, MIN, MAX, ADDSUB. */
export function sseArithmetic(cpu: CpuContext): void {
  const code = cpu.arg32(0);
  const format = code & 3;
  const operation = FLOAT_OPERATIONS[code >> 2];
  const context = begin(cpu);
  const choose = (lane: number) => (operation === "addsub" ? (lane & 1 ? "add" : "sub") : operation);
  if (isDouble(format)) mapDoubles(cpu, lanesOf(format), (a, b, lane) => DOUBLE[choose(lane)](context, a, b));
  else mapSingles(cpu, lanesOf(format), (a, b, lane) => SINGLE[choose(lane)](context, a, b));
  finish(cpu);
}

/** Predicates 0-3 on a relation; 4-7 are their inverses. Those that treat NaNs as ordered signal quiet ones. */
const holds = (predicate: number, relation: soft.Relation): boolean => {
  const basic = predicate & 3;
  const plain =
    basic === 0
      ? relation === 0
      : basic === 1
        ? relation === -1
        : basic === 2
          ? relation === 0 || relation === -1
          : relation === soft.UNORDERED;
  return plain !== (predicate & 4) > 0;
};
const isSignaling = (predicate: number): boolean => (predicate & 3) === 1 || (predicate & 3) === 2;

/** CMPxx. */
export function sseCompare(cpu: CpuContext): void {
  const code = cpu.arg32(0);
  const format = code & 3;
  const predicate = code >> 2;
  const signaling = isSignaling(predicate);
  const context = begin(cpu);
  if (isDouble(format)) {
    mapDoubles(cpu, lanesOf(format), (a, b) =>
      holds(predicate, soft.f64Compare(context, a, b, signaling)) ? 0xffffffffffffffffn : 0n,
    );
  } else {
    mapSingles(cpu, lanesOf(format), (a, b) =>
      holds(predicate, soft.f32Compare(context, a, b, signaling)) ? 0xffffffff : 0,
    );
  }
  finish(cpu);
}

/** ZF PF CF for less, equal, greater and unordered. */
const ORDER_IMAGE = [0x01, 0x40, 0x00, 0x45];

/** COMISx and UCOMISx. */
export function sseOrder(cpu: CpuContext): void {
  const code = cpu.arg32(0);
  const signaling = (code & 4) !== 0;
  const context = begin(cpu);
  const relation = isDouble(code & 3)
    ? soft.f64Compare(context, cpu.arg64(1), cpu.arg64(2), signaling)
    : soft.f32Compare(context, cpu.arg32(1), cpu.arg32(2), signaling);
  finish(cpu);
  cpu.setResult32(ORDER_IMAGE[relation + 1]);
}

/** ROUNDxx. */
export function sseRound(cpu: CpuContext): void {
  const format = cpu.arg32(0);
  const immediate = cpu.arg32(2);
  const context = begin(cpu);
  const rounding = immediate & 4 ? context.rounding : immediate & 3;
  const exact = (immediate & 8) !== 0;
  if (isDouble(format)) {
    mapDoubles(cpu, lanesOf(format), (a) => soft.f64RoundToIntegral(context, a, rounding, exact));
  } else {
    mapSingles(cpu, lanesOf(format), (a) => soft.f32RoundToIntegral(context, a, rounding, exact));
  }
  finish(cpu);
}

/**
 * DPPS and DPPD: products of the elements that immediate bits 4-7 choose, added in pairs, then the pairs; bits 0-3
 * choose where the sum goes. Each of the three steps reports its exceptions before the next begins.
 */
export function sseDotProduct(cpu: CpuContext): void {
  const double = isDouble(cpu.arg32(0));
  const lanes = double ? 2 : 4;
  const immediate = cpu.arg32(3);
  const chosen = (lane: number) => (immediate >> (4 + lane)) & 1;
  const a = cpu.argAddress(1);
  const b = cpu.argAddress(2);
  const { u32, u64 } = cpu.state;
  if (double) {
    const multiplied = begin(cpu);
    const product = (lane: number) =>
      chosen(lane) ? soft.f64Mul(multiplied, u64[(a >> 3) + lane], u64[(b >> 3) + lane]) : 0n;
    const terms = [product(0), product(1)];
    finish(cpu);
    const sum = soft.f64Add(begin(cpu), terms[0], terms[1]);
    finish(cpu);
    for (let lane = 0; lane < lanes; lane++)
      u64[(cpu.resultAddress() >> 3) + lane] = (immediate >> lane) & 1 ? sum : 0n;
    return;
  }
  const multiplied = begin(cpu);
  const terms = [0, 1, 2, 3].map((lane) =>
    chosen(lane) ? soft.f32Mul(multiplied, u32[(a >> 2) + lane], u32[(b >> 2) + lane]) : 0,
  );
  finish(cpu);
  const added = begin(cpu);
  const pairs = [soft.f32Add(added, terms[0], terms[1]), soft.f32Add(added, terms[2], terms[3])];
  finish(cpu);
  const sum = soft.f32Add(begin(cpu), pairs[0], pairs[1]);
  finish(cpu);
  for (let lane = 0; lane < lanes; lane++) u32[(cpu.resultAddress() >> 2) + lane] = (immediate >> lane) & 1 ? sum : 0;
}
