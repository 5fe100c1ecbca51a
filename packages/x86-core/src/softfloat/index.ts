export { type Relation, UNORDERED } from "./arithmetic.js";
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
export * from "./f32.js";
export * from "./f64.js";
