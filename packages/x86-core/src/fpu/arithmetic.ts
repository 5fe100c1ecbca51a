import type { CpuContext } from "../cpu/context.js";
import { ARITHMETIC, POP, TO_STACK } from "../semantics/x87-codes.js";
import { type Float80, type FloatContext, f80Add, f80Div, f80Mul, f80Sub, float80 } from "../softfloat/index.js";
import { INDEFINITE, settle, underflow } from "./commit.js";
import { readSource } from "./source.js";
import { begin, isEmpty, pop, readStack, writeStack } from "./state.js";

const st0 = float80();
const other = float80();
const result = float80();

/** FADD FSUB FSUBR FMUL FDIV FDIVR, their popping and integer forms. */
export function fpuArithmetic(cpu: CpuContext): void {
  const { state } = cpu;
  const form = cpu.arg32(1);
  const destination = form & TO_STACK ? cpu.arg32(2) & 7 : 0;
  const present = readSource(cpu, form & 15, 2, other);
  if (!present || isEmpty(state, 0)) {
    if (!underflow(state)) return;
    writeStack(state, destination, INDEFINITE);
  } else {
    const context = begin(state);
    readStack(state, 0, st0);
    const done =
      form & TO_STACK
        ? operate(context, cpu.arg32(0), other, st0, result)
        : operate(context, cpu.arg32(0), st0, other, result);
    settle(state, context);
    if (!done) return;
    writeStack(state, destination, result);
  }
  if (form & POP) pop(state);
}

/** `a` is the destination's old value. */
function operate(context: FloatContext, operation: number, a: Float80, b: Float80, out: Float80): boolean {
  switch (operation) {
    case ARITHMETIC.ADD:
      return f80Add(context, a, b, out);
    case ARITHMETIC.MUL:
      return f80Mul(context, a, b, out);
    case ARITHMETIC.SUB:
      return f80Sub(context, a, b, out);
    case ARITHMETIC.SUBR:
      return f80Sub(context, b, a, out);
    case ARITHMETIC.DIV:
      return f80Div(context, a, b, out);
    default:
      return f80Div(context, b, a, out);
  }
}
