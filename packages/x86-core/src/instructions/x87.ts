import type { Row } from "../table/row.js";
import { x87ArithmeticRows } from "./x87-arithmetic.js";
import { x87ControlRows } from "./x87-control.js";
import { x87TransferRows } from "./x87-transfer.js";

/** Rows of opcodes D8-DF and FWAIT. */
export const x87Rows: Row[] = [...x87TransferRows, ...x87ArithmeticRows, ...x87ControlRows];
