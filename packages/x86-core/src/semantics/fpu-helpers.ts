/** Helpers of the x87; implemented in fpu/. Memory operands have been loaded when a helper runs. */
export const fpuHelpers = [
  // (operation, source and destination, bits of the memory operand or i)
  "fpuArithmetic",
  // (source, pops and kind, bits of the memory operand or i) -> image of the flags
  "fpuCompare",
  // (second opcode byte): instructions on ST(0) and ST(1)
  "fpuFunction",
  // (second opcode byte): a constant is pushed
  "fpuConstant",
  // (format, bits 63..0, bits 79..64): a memory operand is pushed
  "fpuLoad",
  // (format) -> bits 63..0, bits 79..64, the new status word, 1 to store and pop
  "fpuStore",
  // (i): FLD ST(i)
  "fpuLoadStack",
  // (i, 1 to pop, 1 when an empty register is no fault): FST ST(i)
  "fpuStoreStack",
  // (i)
  "fpuExchange",
  // (i, condition): FCMOVcc
  "fpuMove",
  // (1 for 32 bits, address)
  "fpuStoreEnvironment",
  "fpuLoadEnvironment",
  "fpuSave",
  "fpuRestore",
] as const;
