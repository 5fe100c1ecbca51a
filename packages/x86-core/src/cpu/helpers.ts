import { fpuImplementations } from "../fpu/index.js";
import type { HelperName } from "../semantics/helpers.js";
import { sseImplementations } from "../sse/index.js";
import { systemImplementations } from "../system/index.js";
import type { CpuContext } from "./context.js";

/** What every helper does that semantics may call. */
export const HELPER_IMPLEMENTATIONS: Record<HelperName, (cpu: CpuContext) => void> = {
  ...systemImplementations,
  ...sseImplementations,
  ...fpuImplementations,
};
