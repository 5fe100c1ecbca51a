import type { CpuContext } from "../cpu/context.js";
import {
  Class80,
  type Float80,
  type FloatContext,
  f80Absolute,
  f80Atan2,
  f80Classify,
  f80Compare,
  f80Cos,
  f80Exp2Minus1,
  f80Extract,
  f80Negate,
  f80Remainder,
  f80RoundToIntegral,
  f80Scale,
  f80Sin,
  f80SinCos,
  f80Sqrt,
  f80Tan,
  f80YLog2X,
  f80YLog2XPlus1,
  float80,
  INCOMPLETE,
  isAborted,
} from "../softfloat/index.js";
import { S } from "../state/layout.js";
import type { State } from "../state/state.js";
import { INDEFINITE, overflow, settle, underflow } from "./commit.js";
import { CONDITIONS, RELATION_CONDITIONS } from "./compare.js";
import { begin, FSW, isEmpty, pop, push, readStack, writeStack } from "./state.js";

const st0 = float80();
const st1 = float80();
const result = float80();
const pushed = float80();
const ZERO = float80();

type Unary = (context: FloatContext, a: Float80, out: Float80) => boolean;
type Binary = (context: FloatContext, a: Float80, b: Float80, out: Float80) => boolean;

function clear(state: State, conditions: number): void {
  state.set32(S.fsw, state.get32(S.fsw) & ~conditions);
}

/** ST(0) is replaced. */
const replace = (compute: Unary) => (state: State) => {
  if (isEmpty(state, 0)) {
    if (underflow(state)) writeStack(state, 0, INDEFINITE);
    return;
  }
  const context = begin(state);
  const done = compute(context, readStack(state, 0, st0), result);
  settle(state, context);
  if (done) writeStack(state, 0, result);
};

/** FCHS and FABS raise nothing but a stack fault. */
const silently = (compute: (a: Float80, out: Float80) => void): Unary => {
  return (_context, a, out) => {
    compute(a, out);
    return true;
  };
};

/** ST(0) is replaced by a function of ST(0) and ST(1). */
const combine = (compute: Binary) => (state: State) => {
  if (isEmpty(state, 0) || isEmpty(state, 1)) {
    if (underflow(state)) writeStack(state, 0, INDEFINITE);
    return;
  }
  const context = begin(state);
  const done = compute(context, readStack(state, 0, st0), readStack(state, 1, st1), result);
  settle(state, context);
  if (done) writeStack(state, 0, result);
};

/** ST(1) is replaced by a function of ST(1) and ST(0), then ST(0) is popped. */
const combineAndPop = (compute: Binary) => (state: State) => {
  if (isEmpty(state, 0) || isEmpty(state, 1)) {
    if (!underflow(state)) return;
    writeStack(state, 1, INDEFINITE);
  } else {
    const context = begin(state);
    const done = compute(context, readStack(state, 1, st1), readStack(state, 0, st0), result);
    settle(state, context);
    if (!done) return;
    writeStack(state, 1, result);
  }
  pop(state);
};

/** FSIN FCOS: an operand out of range sets C2 and stays. C2 is 0 after everything else, faults included. */
const reduced = (compute: Unary) => (state: State) => {
  clear(state, FSW.C2);
  if (isEmpty(state, 0)) {
    if (underflow(state)) writeStack(state, 0, INDEFINITE);
    return;
  }
  const context = begin(state);
  const done = compute(context, readStack(state, 0, st0), result);
  settle(state, context, 0, done || isAborted(context) ? 0 : FSW.C2);
  if (done) writeStack(state, 0, result);
};

/** FSINCOS FPTAN FXTRACT: one result replaces ST(0), the other is pushed. */
const replaceAndPush = (compute: Binary, outOfRange: boolean) => (state: State) => {
  if (outOfRange) clear(state, FSW.C2);
  const empty = isEmpty(state, 0);
  if (empty || !isEmpty(state, 7)) {
    if (!(empty ? underflow(state) : overflow(state))) return;
    writeStack(state, 0, INDEFINITE);
    push(state, INDEFINITE);
    return;
  }
  const context = begin(state);
  const done = compute(context, readStack(state, 0, st0), result, pushed);
  settle(state, context, 0, outOfRange && !done && !isAborted(context) ? FSW.C2 : 0);
  if (!done) return;
  writeStack(state, 0, result);
  push(state, pushed);
};

/**
 * FPREM and FPREM1: the low bits of the quotient go to C0, C3 and C1; C2 says that the reduction is incomplete. Where
 * there is no quotient C0 and C3 stay.
 */
const remainder = (nearest: boolean) => (state: State) => {
  clear(state, FSW.C2);
  if (isEmpty(state, 0) || isEmpty(state, 1)) {
    if (underflow(state)) writeStack(state, 0, INDEFINITE);
    return;
  }
  const context = begin(state);
  readStack(state, 0, st0);
  readStack(state, 1, st1);
  const quotient = f80Remainder(context, st0, st1, nearest, result);
  const hasQuotient = !isAborted(context) && isDividend(f80Classify(st0)) && isDivisor(f80Classify(st1));
  const conditions =
    quotient === INCOMPLETE
      ? FSW.C2
      : (quotient & 4 ? FSW.C0 : 0) | (quotient & 2 ? FSW.C3 : 0) | (quotient & 1 ? FSW.C1 : 0);
  settle(state, context, hasQuotient ? CONDITIONS : 0, hasQuotient ? conditions : 0);
  if (!isAborted(context)) writeStack(state, 0, result);
};

const isOrdinary = (kind: number): boolean => kind === Class80.Normal || kind === Class80.Denormal;
const isDividend = (kind: number): boolean => isOrdinary(kind) || kind === Class80.Zero;
const isDivisor = (kind: number): boolean => isOrdinary(kind) || kind === Class80.Infinity;

function test(state: State): void {
  if (isEmpty(state, 0)) {
    underflow(state);
    state.set32(S.fsw, state.get32(S.fsw) | CONDITIONS);
    return;
  }
  const context = begin(state);
  const relation = f80Compare(context, readStack(state, 0, st0), ZERO, true);
  settle(state, context, CONDITIONS, RELATION_CONDITIONS[relation + 1]);
}

/** FXAM: C1 is the sign, of an empty register too. */
function examine(state: State): void {
  const kind = isEmpty(state, 0) ? 0b101 : f80Classify(readStack(state, 0, st0));
  const sign = readStack(state, 0, st0).signExponent & 0x8000 ? FSW.C1 : 0;
  const conditions = (kind & 1 ? FSW.C0 : 0) | (kind & 2 ? FSW.C2 : 0) | (kind & 4 ? FSW.C3 : 0);
  settle(state, begin(state), CONDITIONS, conditions | sign);
}

/** By the second opcode byte after D9. */
const FUNCTIONS: Record<number, (state: State) => void> = {
  224: replace(silently(f80Negate)),
  225: replace(silently(f80Absolute)),
  228: test,
  229: examine,
  240: replace(f80Exp2Minus1),
  241: combineAndPop(f80YLog2X),
  242: replaceAndPush(f80Tan, true),
  243: combineAndPop(f80Atan2),
  244: replaceAndPush((context, a, exponent, significand) => f80Extract(context, a, significand, exponent), false),
  245: remainder(true),
  248: remainder(false),
  249: combineAndPop(f80YLog2XPlus1),
  250: replace(f80Sqrt),
  251: replaceAndPush(f80SinCos, true),
  252: replace(f80RoundToIntegral),
  253: combine(f80Scale),
  254: reduced(f80Sin),
  255: reduced(f80Cos),
};

/** Instructions on ST(0) and ST(1) without operands. */
export function fpuFunction(cpu: CpuContext): void {
  FUNCTIONS[cpu.arg32(0)](cpu.state);
}
