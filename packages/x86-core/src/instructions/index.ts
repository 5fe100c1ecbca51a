import type { Row } from "../table/row.js";
import { arithmeticRows } from "./arithmetic.js";
import { bitRows } from "./bits.js";
import { controlRows } from "./control.js";
import { decimalRows } from "./decimal.js";
import { microRows } from "./micro.js";
import { moveRows } from "./move.js";
import { multiplyRows } from "./multiply.js";
import { shiftRows } from "./shifts.js";
import { stringRows } from "./strings.js";

/** Every row of the CPU; a row's `id` is its place here. */
export const rows: readonly Row[] = [
  ...microRows,
  ...arithmeticRows,
  ...shiftRows,
  ...multiplyRows,
  ...moveRows,
  ...bitRows,
  ...decimalRows,
  ...controlRows,
  ...stringRows,
];
