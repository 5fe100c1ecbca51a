import type { Shape } from "./shapes.js";

/** A difference from the host that is known and intended; DIVERGENCES.md explains each under the same name. */
interface Divergence {
  readonly name: string;
  readonly applies: (shape: Shape, code: Uint8Array, difference: string) => boolean;
}

export const DIVERGENCES: readonly Divergence[] = [
  {
    name: "Approximations of reciprocals",
    // Only the result register differs; accuracy.test.ts checks the bound of the error.
    applies: ({ row }, _code, difference) =>
      /^(RCP|RSQRT)[PS]S$/.test(row.mnemonic) && /^XMM\d+ [^;]*$/.test(difference),
  },
  {
    name: "Alignment of SHA operands",
    applies: ({ row }, _code, difference) =>
      row.mnemonic.startsWith("SHA") && /^exception (3|14) \/ 13 /.test(difference),
  },
];

export function isDivergence(shape: Shape, code: Uint8Array, difference: string): boolean {
  return DIVERGENCES.some((divergence) => divergence.applies(shape, code, difference));
}
