import type { CpuContext } from "../cpu/context.js";
import { FLAG } from "../semantics/flags.js";
import { COMPARE } from "../semantics/x87-codes.js";
import { f80Compare, float80, IE, UNORDERED } from "../softfloat/index.js";
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

/** FCOM FUCOM FICOM FCOMI FUCOMI and their popping forms. */
export function fpuCompare(cpu: CpuContext): void {
  const { state } = cpu;
  const form = cpu.arg32(0);
  const toFlags = (form & COMPARE.FLAGS) !== 0;
  cpu.setResult32(0, 0);
  const present = readSource(cpu, form & 15, 1, b);
  let relation: number = UNORDERED;
  if (!present || isEmpty(state, 0)) {
    if (!underflow(state)) return;
    if (!toFlags) state.set32(S.fsw, state.get32(S.fsw) | CONDITIONS);
  } else {
    const context = begin(state);
    relation = f80Compare(context, readStack(state, 0, a), b, (form & COMPARE.QUIET) === 0);
    const stopped = (context.flags & ~context.masks & IE) !== 0;
    if (stopped || toFlags) settle(state, context);
    else settle(state, context, CONDITIONS, RELATION_CONDITIONS[relation + 1]);
    if (stopped) return;
  }
  if (toFlags) {
    cpu.setResult32(1, 0);
    cpu.setResult32(RELATION_FLAGS[relation + 1], 1);
  }
  for (let pops = form >> COMPARE.POPS; pops > 0; pops--) pop(state);
}
