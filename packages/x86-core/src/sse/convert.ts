import type { CpuContext } from "../cpu/context.js";
import { type Conversion, conversionOf } from "../semantics/sse-codes.js";
import * as soft from "../softfloat/index.js";
import { begin, finish } from "./context.js";

type Convert = (c: soft.FloatContext, value: bigint, truncate: boolean) => bigint;

/** Elements as unsigned bit patterns of their width. */
const FUNCTIONS: Record<string, Convert> = {
  "i32 f32": (c, v) => BigInt(soft.f32FromInt32(c, Number(BigInt.asIntN(32, v)))),
  "i64 f32": (c, v) => BigInt(soft.f32FromInt64(c, BigInt.asIntN(64, v))),
  "i64 f64": (c, v) => soft.f64FromInt64(c, BigInt.asIntN(64, v)),
  "f32 i32": (c, v, truncate) => BigInt(soft.f32ToInt32(c, Number(v), truncate)),
  "f32 i64": (c, v, truncate) => soft.f32ToInt64(c, Number(v), truncate),
  "f64 i32": (c, v, truncate) => BigInt(soft.f64ToInt32(c, v, truncate)),
  "f64 i64": (c, v, truncate) => soft.f64ToInt64(c, v, truncate),
  "f32 f64": (c, v) => soft.f32ToF64(c, Number(v)),
  "f64 f32": (c, v) => BigInt(soft.f64ToF32(c, v)),
};

/** CVTxx: argument 0 is the conversion, argument 1 the source; lanes without a source become 0. */
export function sseConvert(cpu: CpuContext): void {
  const { from, to, lanes, truncate }: Conversion = conversionOf(cpu.arg32(0));
  const convert = FUNCTIONS[`${from} ${to}`];
  const { u32, u64 } = cpu.state;
  const source = cpu.argAddress(1);
  const target = cpu.resultAddress();
  const context = begin(cpu);
  const results: bigint[] = [];
  for (let lane = 0; lane < lanes; lane++) {
    const value = from.endsWith("64") ? u64[(source >> 3) + lane] : BigInt(u32[(source >> 2) + lane]);
    results.push(convert(context, value, truncate));
  }
  finish(cpu);
  u64[target >> 3] = 0n;
  u64[(target >> 3) + 1] = 0n;
  results.forEach((value, lane) => {
    if (to.endsWith("64")) u64[(target >> 3) + lane] = BigInt.asUintN(64, value);
    else u32[(target >> 2) + lane] = Number(BigInt.asUintN(32, value));
  });
}
