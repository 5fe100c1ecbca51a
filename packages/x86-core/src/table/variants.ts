import type { Variant } from "../semantics/ops.js";
import { type Row, rmForms } from "./row.js";

const SIZES = [16, 32, 64] as const;

/** Number of variant slots of a row; see `variantIndex`. */
export const VARIANT_SLOTS = 36;

/** A number below `VARIANT_SLOTS` for each variant of a row. */
export function variantIndex(variant: Variant): number {
  const operand = variant.operandSize >> 5;
  const address = variant.addressSize >> 5;
  return ((operand * 3 + address) * 2 + (variant.long ? 1 : 0)) * 2 + (variant.memory ? 1 : 0);
}

/** Whether the row's code depends on the operand size. */
export function isOperandSized(row: Row): boolean {
  return row.options.operandSized === true || row.operands.some((operand) => "vzy".includes(operand.size));
}

/** The sizes that the row's variants are made for: 32 (64-bit addresses in 64-bit mode) where they make no difference. */
export function normalSizes(
  row: Row,
  operandSize: 16 | 32 | 64,
  addressSize: 16 | 32 | 64,
  long: boolean,
): { operandSize: 16 | 32 | 64; addressSize: 16 | 32 | 64 } {
  return {
    operandSize: isOperandSized(row) ? operandSize : 32,
    addressSize: row.options.addressSized ? addressSize : long ? 64 : 32,
  };
}

/** Every variant of a row that decoding can produce. */
export function variantsOf(row: Row): Variant[] {
  const { memory, register } = rmForms(row);
  const result: Variant[] = [];
  for (const long of [true, false]) {
    if (row.options.mode === (long ? "not64" : "only64")) continue;
    for (const operandSize of isOperandSized(row) ? SIZES : ([32] as const)) {
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
