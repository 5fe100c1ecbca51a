import type { Variant } from "../semantics/ops.js";
import type { Row } from "../table/row.js";
import { VARIANT_SLOTS, variantIndex, variantsOf } from "../table/variants.js";

/** What a handler executes. Several variants may share one; then they have the same code. */
export interface Handled {
  readonly row: Row;
  readonly variant: Variant;
  /** It never goes on behind itself: one of the rows that share it ends blocks. */
  readonly endsBlock: boolean;
}

/** The way back from handler numbers to rows; `numbers` are those of the interpreter that the records are made for. */
export function handlerTable(rows: readonly Row[], numbers: Uint16Array): readonly Handled[] {
  const table: Handled[] = [];
  for (const row of rows) {
    for (const variant of variantsOf(row)) {
      const number = numbers[row.id * VARIANT_SLOTS + variantIndex(variant)];
      const endsBlock = (row.options.endsBlock ?? false) || (table[number]?.endsBlock ?? false);
      table[number] = { row, variant, endsBlock };
    }
  }
  return table;
}
