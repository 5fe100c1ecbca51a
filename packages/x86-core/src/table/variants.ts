import type { Variant } from "../semantics/ops.js";
import type { Row } from "./row.js";

const SIZES = [16, 32, 64] as const;

/** Number of variant slots of a row; see `variantIndex`. */
export const VARIANT_SLOTS = 36;

/** A number below `VARIANT_SLOTS` for each variant of a row. */
export function variantIndex(variant: Variant): number {
  return slot(variant.operandSize, variant.addressSize, variant.long, variant.memory);
}

function slot(operandSize: 16 | 32 | 64, addressSize: 16 | 32 | 64, long: boolean, memory: boolean): number {
  return (((operandSize >> 5) * 3 + (addressSize >> 5)) * 2 + (long ? 1 : 0)) * 2 + (memory ? 1 : 0);
}

/**
 * The variant that executes a row with these sizes. Where a size makes no difference the variants are made for 32 bits
 * (for 64-bit addresses in 64-bit mode).
 */
export function variantFor(
  row: Row,
  operandSize: 16 | 32 | 64,
  addressSize: 16 | 32 | 64,
  long: boolean,
  memory: boolean,
): number {
  return slot(
    row.traits.operandSized ? operandSize : 32,
    row.options.addressSized ? addressSize : long ? 64 : 32,
    long,
    memory,
  );
}

/** Every variant of a row that decoding can produce. */
export function variantsOf(row: Row): Variant[] {
  const { memory, register } = row.traits;
  const result: Variant[] = [];
  for (const long of [true, false]) {
    if (row.options.mode === (long ? "not64" : "only64")) continue;
    for (const operandSize of row.traits.operandSized ? SIZES : ([32] as const)) {
      if (operandSize === 64 && !long) continue;
      if (long && row.options.size === "f64" && operandSize !== 64) continue;
      if (long && row.options.size === "d64" && operandSize === 32) continue;
      const addresses = row.options.addressSized
        ? long
          ? ([32, 64] as const)
          : ([16, 32] as const)
        : ([long ? 64 : 32] as const);
      for (const addressSize of addresses) {
        if (register) result.push({ long, operandSize, addressSize, memory: false });
        if (memory) result.push({ long, operandSize, addressSize, memory: true });
      }
    }
  }
  return result;
}
