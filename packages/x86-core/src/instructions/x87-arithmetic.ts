import type { Ops } from "../semantics/ops.js";
import { isFull, notePointers, physical, pop, wait } from "../semantics/x87.js";
import { ARITHMETIC, COMPARE, POP, SOURCE, TO_STACK } from "../semantics/x87-codes.js";
import {
  add,
  divide,
  inUsualMode,
  isNormalOrZero,
  isOrdinary,
  multiply,
  negated,
  order,
  type Parts,
  raiseStatus,
  readParts,
  widen,
  writeParts,
} from "../semantics/x87-numbers.js";
import { S } from "../state/layout.js";
import { ins, type Options, type Row, type Semantics } from "../table/row.js";
import type { Val } from "../wasm/code.js";

const x87: Options = { unit: "x87" };
const WIDTH = { f32: 32, i32: 32, f64: 64, i16: 16 } as const;
type MemorySource = keyof typeof WIDTH;
type Operation = keyof typeof ARITHMETIC;

/** The usual case in place, everything else by the helper, which does the whole instruction. */
function compute(o: Ops, operation: Operation, destination: Val, a: Parts, b: Parts, pops: boolean): void {
  const reversed = operation === "SUBR" || operation === "DIVR";
  const [x, y] = reversed ? [b, a] : [a, b];
  const result =
    operation === "MUL"
      ? multiply(o, x, y)
      : operation === "DIV" || operation === "DIVR"
        ? divide(o, x, y)
        : add(o, x, operation === "ADD" ? y : negated(o, y));
  raiseStatus(o, result.raised);
  writeParts(o, destination, result);
  if (pops) pop(o);
}

const arithmeticMemory =
  (operation: Operation, source: MemorySource): Semantics =>
  (o, address) => {
    wait(o);
    const value = o.load(WIDTH[source], address);
    notePointers(o, address);
    const helper = () => o.call("fpuArithmetic", o.i32(ARITHMETIC[operation]), o.i32(SOURCE[source]), value);
    // Compilers load integers by FILD: the forms with an integer operand are too rare for code of their own.
    if (source === "i16" || source === "i32") return helper();
    const top = physical(o, 0);
    const a = readParts(o, top);
    const b = widen(o, WIDTH[source], value);
    const operands = o.both(o.both(isOrdinary(o, a), isOrdinary(o, b)), b.fine);
    o.if(
      o.both(o.both(isFull(o, top), inUsualMode(o)), operands),
      () => compute(o, operation, top, a, b, false),
      helper,
    );
  };
/** The destination is ST(0), or ST(i) with `TO_STACK`. */
const arithmeticStack =
  (operation: Operation, form = 0): Semantics =>
  (o, i) => {
    wait(o);
    notePointers(o);
    const top = physical(o, 0);
    const other = physical(o, i);
    const [destination, source] = form & TO_STACK ? [other, top] : [top, other];
    const a = readParts(o, destination);
    const b = readParts(o, source);
    const operands = o.both(o.both(isOrdinary(o, a), isOrdinary(o, b)), inUsualMode(o));
    o.if(
      o.both(o.both(isFull(o, top), isFull(o, other)), operands),
      () => compute(o, operation, destination, a, b, (form & POP) !== 0),
      () => o.call("fpuArithmetic", o.i32(ARITHMETIC[operation]), o.i32(SOURCE.stack | form), i),
    );
  };

/** Writes the result of a comparison that raises nothing, then pops. */
function compared(o: Ops, a: Parts, b: Parts, pops: number, toFlags: boolean): void {
  const { less, equal } = order(o, a, b);
  if (toFlags) o.setImage(o.or(32, o.shl(32, equal, 6), less));
  else {
    const conditions = o.or(32, o.shl(32, equal, 14), o.shl(32, less, 8));
    // C3 C2 C1 C0.
    o.setState32(S.fsw, o.or(32, o.and(32, o.state32(S.fsw), o.i32(~0x4700)), conditions));
  }
  for (let count = 0; count < pops; count++) pop(o);
}

const compareMemory =
  (source: MemorySource, pops: number): Semantics =>
  (o, address) => {
    wait(o);
    const value = o.load(WIDTH[source], address);
    notePointers(o, address);
    const helper = () => o.call("fpuCompare", o.i32(SOURCE[source] | (pops << COMPARE.POPS)), value);
    if (source === "i16" || source === "i32") return helper();
    const top = physical(o, 0);
    const a = readParts(o, top);
    const b = widen(o, WIDTH[source], value);
    o.if(o.both(isFull(o, top), o.both(isNormalOrZero(o, a), b.fine)), () => compared(o, a, b, pops, false), helper);
  };
const compareStack =
  (pops: number, form = 0): Semantics =>
  (o, i = o.i32(1)) => {
    wait(o);
    notePointers(o);
    const top = physical(o, 0);
    const other = physical(o, i);
    const a = readParts(o, top);
    const b = readParts(o, other);
    const toFlags = (form & COMPARE.FLAGS) !== 0;
    o.if(
      o.both(o.both(isFull(o, top), isFull(o, other)), o.both(isNormalOrZero(o, a), isNormalOrZero(o, b))),
      () => compared(o, a, b, pops, toFlags),
      () => {
        o.call("fpuCompare", o.i32(SOURCE.stack | form | (pops << COMPARE.POPS)), i);
        if (toFlags) o.setImage(o.result(32));
      },
    );
  };

/** The eight operations of one opcode on a memory operand of size `size`. */
const memoryRows = (opcode: string, source: MemorySource, size: string, i = ""): Row[] => [
  ins(`${opcode} /0`, `F${i}ADD A${size}`, "", arithmeticMemory("ADD", source), x87),
  ins(`${opcode} /1`, `F${i}MUL A${size}`, "", arithmeticMemory("MUL", source), x87),
  ins(`${opcode} /2`, `F${i}COM A${size}`, "", compareMemory(source, 0), x87),
  ins(`${opcode} /3`, `F${i}COMP A${size}`, "", compareMemory(source, 1), x87),
  ins(`${opcode} /4`, `F${i}SUB A${size}`, "", arithmeticMemory("SUB", source), x87),
  ins(`${opcode} /5`, `F${i}SUBR A${size}`, "", arithmeticMemory("SUBR", source), x87),
  ins(`${opcode} /6`, `F${i}DIV A${size}`, "", arithmeticMemory("DIV", source), x87),
  ins(`${opcode} /7`, `F${i}DIVR A${size}`, "", arithmeticMemory("DIVR", source), x87),
];

/** ZF PF CF are the result, OF SF AF become 0. */
const COMI = "00M0MM";

/** Rows of x87 arithmetic and comparison. DC and DE exchange FSUB with FSUBR and FDIV with FDIVR. */
export const x87ArithmeticRows: Row[] = [
  ...memoryRows("D8", "f32", "d"),
  ...memoryRows("DC", "f64", "q"),
  ...memoryRows("DA", "i32", "d", "I"),
  ...memoryRows("DE", "i16", "w", "I"),
  ins("D8 /0", "FADD T", "", arithmeticStack("ADD"), x87),
  ins("D8 /1", "FMUL T", "", arithmeticStack("MUL"), x87),
  ins("D8 /2", "FCOM T", "", compareStack(0), x87),
  ins("D8 /3", "FCOMP T", "", compareStack(1), x87),
  ins("D8 /4", "FSUB T", "", arithmeticStack("SUB"), x87),
  ins("D8 /5", "FSUBR T", "", arithmeticStack("SUBR"), x87),
  ins("D8 /6", "FDIV T", "", arithmeticStack("DIV"), x87),
  ins("D8 /7", "FDIVR T", "", arithmeticStack("DIVR"), x87),
  ins("DC /0", "FADD T", "", arithmeticStack("ADD", TO_STACK), x87),
  ins("DC /1", "FMUL T", "", arithmeticStack("MUL", TO_STACK), x87),
  ins("DC /2", "FCOM2 T", "", compareStack(0), x87),
  ins("DC /3", "FCOMP3 T", "", compareStack(1), x87),
  ins("DC /4", "FSUBR T", "", arithmeticStack("SUBR", TO_STACK), x87),
  ins("DC /5", "FSUB T", "", arithmeticStack("SUB", TO_STACK), x87),
  ins("DC /6", "FDIVR T", "", arithmeticStack("DIVR", TO_STACK), x87),
  ins("DC /7", "FDIV T", "", arithmeticStack("DIV", TO_STACK), x87),
  ins("DE /0", "FADDP T", "", arithmeticStack("ADD", TO_STACK | POP), x87),
  ins("DE /1", "FMULP T", "", arithmeticStack("MUL", TO_STACK | POP), x87),
  ins("DE /2", "FCOMP5 T", "", compareStack(1), x87),
  ins("DE =D9", "FCOMPP", "", compareStack(2), x87),
  ins("DE /4", "FSUBRP T", "", arithmeticStack("SUBR", TO_STACK | POP), x87),
  ins("DE /5", "FSUBP T", "", arithmeticStack("SUB", TO_STACK | POP), x87),
  ins("DE /6", "FDIVRP T", "", arithmeticStack("DIVR", TO_STACK | POP), x87),
  ins("DE /7", "FDIVP T", "", arithmeticStack("DIV", TO_STACK | POP), x87),
  ins("DD /4", "FUCOM T", "", compareStack(0, COMPARE.QUIET), x87),
  ins("DD /5", "FUCOMP T", "", compareStack(1, COMPARE.QUIET), x87),
  ins("DA =E9", "FUCOMPP", "", compareStack(2, COMPARE.QUIET), x87),
  ins("DB /5", "FUCOMI T", COMI, compareStack(0, COMPARE.FLAGS | COMPARE.QUIET), x87),
  ins("DB /6", "FCOMI T", COMI, compareStack(0, COMPARE.FLAGS), x87),
  ins("DF /5", "FUCOMIP T", COMI, compareStack(1, COMPARE.FLAGS | COMPARE.QUIET), x87),
  ins("DF /6", "FCOMIP T", COMI, compareStack(1, COMPARE.FLAGS), x87),
];
