/** Numbers that x87 rows and the helpers in fpu/ agree on. */

/** Where a second operand comes from: the memory formats in the order of opcodes D8 DA DC DE, or a register. */
export const SOURCE = { f32: 0, i32: 1, f64: 2, i16: 3, stack: 4 } as const;

/** Arithmetic operations, numbered as ModRM.reg in the memory forms; 2 and 3 are the comparisons. */
export const ARITHMETIC = { ADD: 0, MUL: 1, SUB: 4, SUBR: 5, DIV: 6, DIVR: 7 } as const;
/** Flags beside the source in the second argument of `fpuArithmetic`: the result goes to ST(i), then ST(0) is popped. */
export const TO_STACK = 0x10;
export const POP = 0x20;

/** Flags beside the source in the first argument of `fpuCompare`; the number of pops stands at bit 8. */
export const COMPARE = {
  /** FUCOM: quiet NaNs raise nothing. */
  QUIET: 0x10,
  /** FCOMI: the result goes to ZF, PF and CF. */
  FLAGS: 0x20,
  POPS: 8,
} as const;

/** Formats of `fpuLoad` and `fpuStore`. */
export const FORMAT = { f32: 0, f64: 1, f80: 2, i16: 3, i32: 4, i64: 5, bcd: 6 } as const;
export type Format = keyof typeof FORMAT;
/** FISTTP. */
export const TRUNCATE = 0x10;
