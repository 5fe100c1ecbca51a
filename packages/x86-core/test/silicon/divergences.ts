import type { Shape } from "./shapes.js";

/** A difference from the host that is known and intended; DIVERGENCES.md explains each. */
interface Divergence {
  readonly name: string;
  readonly applies: (shape: Shape, code: Uint8Array, difference: string) => boolean;
}

export const DIVERGENCES: readonly Divergence[] = [];

export function isDivergence(shape: Shape, code: Uint8Array, difference: string): boolean {
  return DIVERGENCES.some((divergence) => divergence.applies(shape, code, difference));
}
