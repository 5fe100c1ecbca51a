import type { CpuContext } from "../cpu/context.js";
import { SOURCE } from "../semantics/x87-codes.js";
import { type Float80, f80FromInteger, widenF32ToF80, widenF64ToF80 } from "../softfloat/index.js";
import { isEmpty, readStack } from "./state.js";

/**
 * Reads the second operand of an arithmetic instruction or comparison: ST(i), whose number is argument `index`, or a
 * memory operand, whose bits the argument holds. False when ST(i) is empty.
 */
export function readSource(cpu: CpuContext, source: number, index: number, out: Float80): boolean {
  switch (source) {
    case SOURCE.f32:
      widenF32ToF80(cpu.arg32(index) >>> 0, out);
      return true;
    case SOURCE.f64:
      widenF64ToF80(BigInt.asUintN(64, cpu.arg64(index)), out);
      return true;
    case SOURCE.i16:
      f80FromInteger((cpu.arg32(index) << 16) >> 16, out);
      return true;
    case SOURCE.i32:
      f80FromInteger(cpu.arg32(index) | 0, out);
      return true;
    default: {
      const i = cpu.arg32(index) & 7;
      readStack(cpu.state, i, out);
      return !isEmpty(cpu.state, i);
    }
  }
}
