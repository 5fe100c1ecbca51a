import { raise } from "../cpu/fault.js";
import { ACCESS, VECTOR } from "../semantics/ops.js";
import { SS } from "../state/layout.js";
import type { State } from "../state/state.js";
import { isProtected } from "../system/modes.js";
import { ATTRIBUTE } from "../system/registers.js";

/**
 * What the inline check of a segment (interpreter/runtime.ts) could not decide (SDM vol. 3, 5.3-5.5): raises #SS or #GP,
 * or finds the access right. The offset comes in two halves, `flags` is the size and ACCESS bits.
 */
export function checkSegment(state: State, segment: number, low: number, high: number, flags: number): void {
  const attributes = state.attributes(segment);
  const limit = state.limit(segment);
  const fault = (): never => raise(segment === SS ? VECTOR.SS : VECTOR.GP, 0);
  if (!(attributes & ATTRIBUTE.P)) fault();
  const code = (attributes & ATTRIBUTE.CODE) !== 0;
  if (isProtected(state)) {
    // RW means readable for code, writable for data.
    const write = (flags & ACCESS.write) !== 0;
    const allowed = (attributes & ATTRIBUTE.RW) !== 0;
    if (write ? code || !allowed : code && !allowed) fault();
  }
  const first = high * 2 ** 32 + low;
  const last = first + (flags & ACCESS.size) - 1;
  if (!code && attributes & ATTRIBUTE.DC) {
    const top = attributes & ATTRIBUTE.DB ? 0xffffffff : 0xffff;
    if (first <= limit || last > top) fault();
  } else if (last > limit) fault();
}
