import { readFileSync } from "node:fs";
import type { Feature } from "../../src/table/features.js";
import type { Row } from "../../src/table/row.js";

/** One form of a row: what the cases made from it have in common. */
export interface Shape {
  readonly row: Row;
  readonly long: boolean;
  readonly operandSize: 16 | 32 | 64;
  readonly memory: boolean;
}

const HOST_NAMES: Partial<Record<string, string>> = {
  sse3: "pni",
  "sse4.1": "sse4_1",
  "sse4.2": "sse4_2",
  lzcnt: "abm",
  sha: "sha_ni",
  lahf: "lahf_lm",
  prefetchw: "3dnowprefetch",
  "tsc-deadline": "tsc_deadline_timer",
};

/** Which features the host has. */
export function hostFeatures(): (feature: Feature) => boolean {
  const line = /^flags\s*:(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"));
  const flags = new Set(line?.[1].trim().split(/\s+/));
  return (feature) => flags.has(HOST_NAMES[feature] ?? feature);
}

/** All forms of a row that the host can run in user mode. */
export function shapesOf(row: Row, has: (feature: Feature) => boolean): Shape[] {
  const { options } = row;
  if (row.opcode < 0 || options.test === "skip") return [];
  if (options.feature && !has(options.feature)) return [];
  const { memory, register } = row.traits;
  const free = row.modrm && row.fixedModrm === undefined && options.unit !== "x87";
  const noOperand = free && !row.operands.some((operand) => operand.place === "rm");
  const forms = [...(register ? [false] : []), ...(memory || noOperand ? [true] : [])];
  const shapes: Shape[] = [];
  for (const long of [true, false]) {
    if (options.mode === (long ? "not64" : "only64")) continue;
    for (const operandSize of sizesOf(row, long)) {
      for (const inMemory of forms) {
        if (options.test === "memory-only" && !inMemory) continue;
        shapes.push({ row, long, operandSize, memory: inMemory });
      }
    }
  }
  return shapes;
}

function sizesOf(row: Row, long: boolean): readonly (16 | 32 | 64)[] {
  const { options, vex } = row;
  if (vex) return vex.w === 0 || !long ? [32] : vex.w === 1 ? [64] : [32, 64];
  const relative = row.operands.some((operand) => operand.place === "relative");
  if (!row.traits.operandSized && !relative) return [32];
  const narrow = row.prefix === "66" || (row.prefix === "NP" && row.modrm) || relative ? [] : ([16] as const);
  if (!long) return [...narrow, 32];
  if (options.size === "f64") return [64];
  if (options.size === "d64") return [...narrow, 64];
  return relative ? [32] : [...narrow, 32, 64];
}
