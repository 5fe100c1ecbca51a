import type { CpuContext } from "../cpu/context.js";
import type { sseHelpers } from "../semantics/sse-helpers.js";
import { sseAes } from "./aes.js";
import { sseArithmetic, sseCompare, sseDotProduct, sseOrder, sseRound } from "./arithmetic.js";
import { sseCarrylessMultiply } from "./carryless.js";
import { sseConvert } from "./convert.js";
import { sseSha } from "./sha.js";
import { sseCompareStrings } from "./strings.js";

/** What the helpers of the SSE family do. */
export const sseImplementations: Record<(typeof sseHelpers)[number], (cpu: CpuContext) => void> = {
  sseArithmetic,
  sseCompare,
  sseOrder,
  sseConvert,
  sseRound,
  sseDotProduct,
  sseCompareStrings,
  sseCarrylessMultiply,
  sseAes,
  sseSha,
};
