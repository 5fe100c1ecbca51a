import type { CpuContext } from "../cpu/context.js";
import type { fpuHelpers } from "../semantics/fpu-helpers.js";
import { fpuArithmetic } from "./arithmetic.js";
import { fpuCompare } from "./compare.js";
import { fpuLoadEnvironment, fpuRestore, fpuSave, fpuStoreEnvironment } from "./environment.js";
import { fpuFunction } from "./functions.js";
import { fpuConstant, fpuExchange, fpuLoad, fpuLoadStack, fpuMove, fpuStore, fpuStoreStack } from "./transfer.js";

/** The helpers that x87 instructions call. */
export const fpuImplementations: Record<(typeof fpuHelpers)[number], (cpu: CpuContext) => void> = {
  fpuArithmetic,
  fpuCompare,
  fpuFunction,
  fpuConstant,
  fpuLoad,
  fpuStore,
  fpuLoadStack,
  fpuStoreStack,
  fpuExchange,
  fpuMove,
  fpuStoreEnvironment,
  fpuLoadEnvironment,
  fpuSave,
  fpuRestore,
};
