import { type Float80, type FloatContext, f80Indefinite, float80, IE } from "../softfloat/index.js";
import { S } from "../state/layout.js";
import type { State } from "../state/state.js";
import { FSW, setFlags } from "./state.js";

/** The real indefinite: what a masked stack fault delivers. */
export const INDEFINITE: Float80 = float80();
f80Indefinite(INDEFINITE);

/**
 * Ends an instruction: adds its exception flags, gives C1 as "rounded up" (0 after an exception that stopped it) and
 * replaces the condition codes in `affected` by `conditions`.
 */
export function settle(state: State, context: FloatContext, affected = 0, conditions = 0): void {
  setFlags(state, settled(state, context, affected, conditions));
}

/** The status word that `settle` stores, but for ES and B. */
export function settled(state: State, context: FloatContext, affected = 0, conditions = 0): number {
  const kept = state.get32(S.fsw) & ~(FSW.C1 | affected);
  return kept | context.flags | conditions | (context.roundedUp ? FSW.C1 : 0);
}

/** Ends an instruction with a stack underflow. Gives whether the masked response is to follow. */
export function underflow(state: State): boolean {
  setFlags(state, (state.get32(S.fsw) & ~FSW.C1) | IE | FSW.SF);
  return (state.get32(S.fcw) & IE) !== 0;
}

/** Ends an instruction with a stack overflow. Gives whether the masked response is to follow. */
export function overflow(state: State): boolean {
  setFlags(state, state.get32(S.fsw) | FSW.C1 | IE | FSW.SF);
  return (state.get32(S.fcw) & IE) !== 0;
}
