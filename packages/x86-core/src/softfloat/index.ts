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
