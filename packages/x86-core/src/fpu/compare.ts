import type { CpuContext } from "../cpu/context.js";
import { FLAG } from "../semantics/flags.js";
import { COMPARE } from "../semantics/x87-codes.js";
import { f80Compare, float80, isAborted, UNORDERED } from "../softfloat/index.js";
import { S } from "../state/layout.js";
import { settle, underflow } from "./commit.js";
import { readSource } from "./source.js";
import { begin, FSW, isEmpty, pop, readStack } from "./state.js";

const a = float80();
const b = float80();

export const CONDITIONS = FSW.C0 | FSW.C2 | FSW.C3;
/** By relation -1 (less), 0, 1, 2 (unordered). */
export const RELATION_CONDITIONS = [FSW.C0, FSW.C3, 0, CONDITIONS] as const;
const RELATION_FLAGS = [FLAG.CF, FLAG.ZF, 0, FLAG.CF | FLAG.PF | FLAG.ZF] as const;

/**
 * FCOM FUCOM FICOM FCOMI FUCOMI and their popping forms. An unmasked exception prevents only the pops: the result is
 * "unordered" after an invalid operation.
 */
export function fpuCompare(cpu: CpuContext): void {
  const { state } = cpu;
  const form = cpu.arg32(0);
  const present = readSource(cpu, form & 15, 1, b);
  let relation: number = UNORDERED;
  let pops = form >> COMPARE.POPS;
  if (!present || isEmpty(state, 0)) {
    if (!underflow(state)) pops = 0;
  } else {
    const context = begin(state);
    relation = f80Compare(context, readStack(state, 0, a), b, (form & COMPARE.QUIET) === 0);
    // Alone among the arithmetic instructions those which write RFLAGS leave C1.
    const c1 = form & COMPARE.FLAGS ? state.get32(S.fsw) & FSW.C1 : 0;
    settle(state, context, 0, c1);
    if (isAborted(context)) pops = 0;
  }
  const fsw = state.get32(S.fsw);
  if (form & COMPARE.FLAGS) cpu.setResult32(RELATION_FLAGS[relation + 1], 0);
  else state.set32(S.fsw, (fsw & ~CONDITIONS) | RELATION_CONDITIONS[relation + 1]);
  for (; pops > 0; pops--) pop(state);
}
