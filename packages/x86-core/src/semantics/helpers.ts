import { fpuHelpers } from "./fpu-helpers.js";
import { sseHelpers } from "./sse-helpers.js";
import { systemHelpers } from "./system-helpers.js";

/** Every helper that semantics may call, each implemented once in TypeScript (see system/ and fpu/). */
export const HELPERS = [...systemHelpers, ...fpuHelpers, ...sseHelpers] as const;
export type HelperName = (typeof HELPERS)[number];

const numbers = new Map(HELPERS.map((name, index) => [name, index]));
if (numbers.size !== HELPERS.length) throw new Error("two helpers share a name");

export function helperNumber(name: HelperName): number {
  return numbers.get(name)!;
}
