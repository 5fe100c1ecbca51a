import { buildInstruction } from "../semantics/instruction.js";
import type { RuntimeFunctions, Surroundings, Variant } from "../semantics/ops.js";
import { RECORD, RECORD_SIZE } from "../state/layout.js";
import type { Row } from "../table/row.js";
import { Code, type Label, type Val } from "../wasm/code.js";

const FIELD_LOAD: Record<keyof typeof RECORD, string> = {
  handler: "i32.load16_u",
  ip: "i32.load16_u",
  a: "i32.load16_u",
  b: "i32.load16_u",
  c: "i32.load16_u",
  base: "i32.load16_u",
  index: "i32.load16_u",
  scale: "i32.load8_u",
  length: "i32.load8_u",
  count: "i32.load16_u",
  displacement: "i32.load",
  link: "i32.load",
  immediate: "i64.load",
};

/** A handler reads its operands from the record whose address is its parameter. */
export function recordSurroundings(code: Code, functions: RuntimeFunctions, goto: (record: Val) => void): Surroundings {
  const record = code.parameter("i32", 0);
  return {
    record,
    functions,
    field: (name) => code.load(FIELD_LOAD[name], record, RECORD[name]),
    goto,
    next: () => goto(code.op("i32.add", record, code.constant("i32", RECORD_SIZE))),
  };
}

/** The handler of one variant as a function from its record to the next one (0: leave execution). */
export function handlerFunction(row: Row, variant: Variant, functions: RuntimeFunctions): Code {
  const code = new Code();
  buildInstruction(
    code,
    row,
    variant,
    recordSurroundings(code, functions, (record) => code.return(record)),
  );
  return code;
}

/** The same as part of a larger function: assigns parameter 0 and goes to a label of that function. */
export function inlineHandler(row: Row, variant: Variant, functions: RuntimeFunctions, again: Label): Code {
  const code = new Code();
  const current = code.parameterVariable("i32", 0);
  buildInstruction(
    code,
    row,
    variant,
    recordSurroundings(code, functions, (record) => {
      current.set(record);
      code.branch(again);
    }),
  );
  return code;
}

/** Names a handler in lists of hot ones: `ADD Ev:rw Gv|64 64 long mem`. */
export function handlerName(row: Row, variant: Variant): string {
  return `${row.text}|${variant.operandSize} ${variant.addressSize} ${variant.long ? "long" : "legacy"}${variant.memory ? " memory" : ""}`;
}
