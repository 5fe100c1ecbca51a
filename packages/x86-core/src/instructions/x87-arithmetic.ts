import { notePointers, wait } from "../semantics/x87.js";
import { ARITHMETIC, COMPARE, POP, SOURCE, TO_STACK } from "../semantics/x87-codes.js";
import { ins, type Options, type Row, type Semantics } from "../table/row.js";

const x87: Options = { unit: "x87" };
const WIDTH = { f32: 32, i32: 32, f64: 64, i16: 16 } as const;
type MemorySource = keyof typeof WIDTH;
type Operation = keyof typeof ARITHMETIC;

const arithmeticMemory =
  (operation: Operation, source: MemorySource): Semantics =>
  (o, address) => {
    wait(o);
    const value = o.load(WIDTH[source], address);
    notePointers(o, address);
    o.call("fpuArithmetic", o.i32(ARITHMETIC[operation]), o.i32(SOURCE[source]), value);
  };
/** The destination is ST(0), or ST(i) with `TO_STACK`. */
const arithmeticStack =
  (operation: Operation, form = 0): Semantics =>
  (o, i) => {
    wait(o);
    notePointers(o);
    o.call("fpuArithmetic", o.i32(ARITHMETIC[operation]), o.i32(SOURCE.stack | form), i);
  };

const compareMemory =
  (source: MemorySource, pops: number): Semantics =>
  (o, address) => {
    wait(o);
    const value = o.load(WIDTH[source], address);
    notePointers(o, address);
    o.call("fpuCompare", o.i32(SOURCE[source] | (pops << COMPARE.POPS)), value);
  };
const compareStack =
  (pops: number, form = 0): Semantics =>
  (o, i) => {
    wait(o);
    notePointers(o);
    o.call("fpuCompare", o.i32(SOURCE.stack | form | (pops << COMPARE.POPS)), i ?? o.i32(1));
    if (form & COMPARE.FLAGS) o.setImage(o.result(32));
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
