import { JUMP_CACHE_ENTRIES } from "../state/layout.js";

/** Distance in bits from which high bits of RIP are mixed in, so that code 16 KiB apart does not share entries. */
export const JUMP_CACHE_MIX = 14;

/** Number of the jump cache entry for the low half of a RIP; `lookup` in runtime.ts computes the same. */
export function jumpCacheIndex(rip: number): number {
  return (rip ^ (rip >>> JUMP_CACHE_MIX)) & (JUMP_CACHE_ENTRIES - 1);
}
