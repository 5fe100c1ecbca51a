import { FLAG } from "../semantics/flags.js";
import type { HelperName } from "../semantics/helpers.js";
import type { Ops } from "../semantics/ops.js";
import { VECTOR } from "../semantics/ops.js";
import { INTERRUPT_KINDS, LONG_FRAME } from "../semantics/system-helpers.js";
import { S } from "../state/layout.js";
import { ins, type Row, type Semantics } from "../table/row.js";
import type { Val } from "../wasm/code.js";
import { after } from "./system-common.js";

/** A far pointer in memory: offset of the operand size, then the selector. */
function farPointer(o: Ops, address: Val): { offset: Val; selector: Val } {
  const w = o.operandSize;
  const offset = o.load(w, address);
  return { offset: o.zext(w, 64, offset), selector: o.load(16, after(o, address, w / 8)) };
}
const size = (o: Ops): Val => o.i32(o.operandSize / 8);

const farTo =
  (helper: "farJump" | "farCall"): Semantics =>
  (o, address) => {
    const { offset, selector } = farPointer(o, address);
    o.call(helper, selector, offset, size(o));
  };
/** The offset in the instruction is sign-extended in the record. */
const farImmediate =
  (helper: "farJump" | "farCall"): Semantics =>
  (o, offset, selector) => {
    o.call(helper, selector, o.zext(o.operandSize, 64, offset), size(o));
  };
const farReturn: Semantics = (o, extra) => o.call("farReturn", size(o), extra ?? o.i32(0));

const interrupt =
  (vector: number | undefined, kind: (typeof INTERRUPT_KINDS)[number]): Semantics =>
  (o, operand) =>
    o.call("interrupt", vector === undefined ? operand : o.i32(vector), o.i32(INTERRUPT_KINDS.indexOf(kind)));
const interruptOnOverflow: Semantics = (o) => {
  o.if(o.flag("O"), () => interrupt(VECTOR.OF, "breakpoint")(o));
};

/** In 64-bit mode the frame is read here, so that a helper need not. */
const interruptReturn: Semantics = (o) => {
  const w = o.operandSize;
  if (!o.long) return o.call("interruptReturn", size(o));
  o.raiseIf(o.and(32, o.state32(S.systemFlags), o.i32(FLAG.NT)), VECTOR.GP, 0);
  const frame = [0, 1, 2, 3, 4].map((index) => o.zext(w, 64, o.peek(w, (index * w) / 8)));
  frame.forEach((value, index) => {
    o.setState64(LONG_FRAME + index * 8, value);
  });
  o.call("interruptReturnLong", size(o));
};

/** Instructions that are a helper and nothing else. */
const plain =
  (helper: HelperName): Semantics =>
  (o) =>
    o.call(helper);
const wide =
  (helper: "sysret" | "sysexit"): Semantics =>
  (o) =>
    o.call(helper, o.i32(o.operandSize === 64 ? 1 : 0));

/** BOUND: a signed index against two bounds in memory. */
const bound: Semantics = (o, index, address) => {
  const w = o.operandSize;
  const lower = o.load(w, address);
  const upper = o.load(w, after(o, address, w / 8));
  o.raiseIf(o.either(o.ltS(w, index, lower), o.ltS(w, upper, index)), VECTOR.BR);
};

/** These always go on elsewhere, or raise an exception. */
const ends = { endsBlock: true } as const;
const skip = { ...ends, test: "skip" } as const;
const sized = { ...skip, operandSized: true } as const;
const not64 = { mode: "not64" } as const;
const farNot64 = { ...skip, ...not64 } as const;

export const systemFlowRows: Row[] = [
  ins("EA", "JMPF Iv Iw", "", farImmediate("farJump"), farNot64),
  ins("9A", "CALLF Iv Iw", "", farImmediate("farCall"), farNot64),
  ins("FF /5", "JMPF Ap", "", farTo("farJump"), sized),
  ins("FF /3", "CALLF Ap", "", farTo("farCall"), sized),
  ins("CB", "RETF", "", farReturn, sized),
  ins("CA", "RETF Iw", "", farReturn, sized),
  ins("CC", "INT3", "", interrupt(VECTOR.BP, "breakpoint"), ends),
  ins("CD", "INT Ib", "", interrupt(undefined, "software"), ends),
  ins("CE", "INTO", "", interruptOnOverflow, not64),
  ins("F1", "INT1", "", interrupt(VECTOR.DB, "int1"), skip),
  ins("CF", "IRET", "", interruptReturn, sized),
  ins("0F 05", "SYSCALL", "", plain("syscall"), { ...skip, feature: "syscall" }),
  ins("0F 07", "SYSRET", "", wide("sysret"), { ...ends, operandSized: true, feature: "syscall" }),
  ins("0F 34", "SYSENTER", "", plain("sysenter"), { ...skip, feature: "sep" }),
  ins("0F 35", "SYSEXIT", "", wide("sysexit"), { ...ends, operandSized: true, feature: "sep" }),
  ins("62 /r", "BOUND Gv Aa", "", bound, not64),
  ins("0F FF /r", "UD0", "", (o) => o.raise(VECTOR.UD), ends),
  ins("0F B9 /r", "UD1", "", (o) => o.raise(VECTOR.UD), ends),
  ins("0F 0B", "UD2", "", (o) => o.raise(VECTOR.UD), ends),
];
