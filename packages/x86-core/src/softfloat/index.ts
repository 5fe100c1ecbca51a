/**
 * The floating-point arithmetic of the processor, bit for bit, flags included (SDM vol. 1, chapters 4, 8 and 11).
 *
 * Values are bit patterns: binary32 an unsigned number, binary64 a BigInt, the x87's format a mutable {@link Float80}
 * that results are written into. Modes come from a {@link FloatContext} and flags are added to it. Clear `flags`,
 * run the operation, then:
 * - SSE: when `flags & ~masks` is not zero, write no result. For a packed instruction see {@link PRE_COMPUTATION}.
 * - x87 results to a register: the functions say whether they wrote (`false`: nothing changes, nothing is pushed or
 *   popped); unmasked OE, UE and PE deliver a result. Results to memory: unmasked IE, OE and UE prevent the store.
 * Stack faults, C1 of a stack fault and the error-summary bit are the caller's.
 */

export * from "./approximate.js";
export { type Relation, UNORDERED } from "./arithmetic.js";
export * from "./bcd.js";
export * from "./constants.js";
export {
  createContext,
  DE,
  type FloatContext,
  IE,
  isAborted,
  OE,
  PE,
  PRE_COMPUTATION,
  Rounding,
  UE,
  ZE,
} from "./context.js";
export * from "./f16.js";
export * from "./f32.js";
export * from "./f64.js";
export * from "./f80.js";
export * from "./f80-convert.js";
export * from "./f80-remainder.js";
export type { Float80 } from "./format.js";
export * from "./logarithm.js";
export * from "./trigonometric.js";
