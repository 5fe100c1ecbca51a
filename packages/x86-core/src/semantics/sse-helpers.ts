/** Helpers of the SSE family; implemented in sse/. */
export const sseHelpers = [
  // (operation and format, a, b) -> result
  "sseArithmetic",
  // (predicate and format, a, b) -> mask
  "sseCompare",
  // (format and signaling, a, b) -> image of ZF, PF and CF
  "sseOrder",
  // (conversion, source) -> result
  "sseConvert",
  // (format, source, immediate) -> result
  "sseRound",
  // (format, a, b, immediate) -> result
  "sseDotProduct",
  // (form and immediate, a, b) -> mask or index, image of the flags
  "sseCompareStrings",
  // (operation, a, b) -> result
  "sseCarrylessMultiply",
  "sseAes",
  "sseSha",
] as const;
