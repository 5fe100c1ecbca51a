import { numberRows, type Row } from "../table/row.js";
import { arithmeticRows } from "./arithmetic.js";
import { bitRows } from "./bits.js";
import { controlRows } from "./control.js";
import { cryptoRows } from "./crypto.js";
import { decimalRows } from "./decimal.js";
import { microRows } from "./micro.js";
import { moveRows } from "./move.js";
import { multiplyRows } from "./multiply.js";
import { shiftRows } from "./shifts.js";
import { sseConvertRows } from "./sse-convert.js";
import { sseFloatRows } from "./sse-float.js";
import { sseIntegerRows } from "./sse-integer.js";
import { sseLaneRows } from "./sse-lanes.js";
import { sseMoveRows } from "./sse-move.js";
import { sse42StringRows } from "./sse42-strings.js";
import { stringRows } from "./strings.js";
import { systemRows } from "./system.js";
import { x87Rows } from "./x87.js";

/** Every row of the CPU; a row's `id` is its place here. */
export const rows: readonly Row[] = numberRows([
  ...microRows,
  ...arithmeticRows,
  ...shiftRows,
  ...multiplyRows,
  ...moveRows,
  ...bitRows,
  ...decimalRows,
  ...controlRows,
  ...stringRows,
  ...sseMoveRows,
  ...sseLaneRows,
  ...sseIntegerRows,
  ...sseFloatRows,
  ...sseConvertRows,
  ...sse42StringRows,
  ...cryptoRows,
  ...x87Rows,
  ...systemRows,
]);
