import type { HelperName } from "../semantics/helpers.js";
import { type Ops, VECTOR } from "../semantics/ops.js";
import {
  clearC1,
  isFull,
  notePointers,
  physical,
  pop,
  setEmpty,
  setSignExponent,
  signExponent,
  wait,
} from "../semantics/x87.js";
import { S } from "../state/layout.js";
import { ins, type Options, type Row, type Semantics } from "../table/row.js";
import type { Val } from "../wasm/code.js";

const x87: Options = { unit: "x87" };

const computed =
  (opcode: number): Semantics =>
  (o) => {
    wait(o);
    notePointers(o);
    o.call("fpuFunction", o.i32(opcode));
  };
/** FCHS and FABS. */
const signed =
  (opcode: number, change: (o: Ops, high: Val) => Val): Semantics =>
  (o) => {
    wait(o);
    notePointers(o);
    const top = physical(o, 0);
    o.if(
      isFull(o, top),
      () => {
        clearC1(o);
        setSignExponent(o, top, change(o, signExponent(o, top)));
      },
      () => o.call("fpuFunction", o.i32(opcode)),
    );
  };
/** Functions whose last bit the manual leaves to the processor. */
const transcendental = (encoding: string, mnemonic: string, opcode: number): Row =>
  ins(encoding, mnemonic, "", computed(opcode), { ...x87, test: "approximate" });

/** FINCSTP, FDECSTP: tags stay. */
const rotate =
  (by: number): Semantics =>
  (o) => {
    wait(o);
    notePointers(o);
    clearC1(o);
    o.setState32(S.ftop, physical(o, by));
  };
/** FFREE, and FFREEP, which pops as well. */
const free =
  (pops: boolean): Semantics =>
  (o, i) => {
    wait(o);
    notePointers(o);
    clearC1(o);
    setEmpty(o, physical(o, i));
    if (pops) pop(o);
  };
const nop: Semantics = (o) => {
  wait(o);
  notePointers(o);
};
/** FENI, FDISI, FSETPM mean nothing since the 80387. */
const nothing: Semantics = () => undefined;

/** FWAIT: #NM with CR0.MP and CR0.TS, whatever CR0.EM says (SDM vol. 3, 2.5). */
const fwait: Semantics = (o) => {
  const mask = o.i32(2 | 8);
  const bits = o.and(32, o.state32(S.cr0), mask);
  o.raiseIf(o.eq(32, bits, mask), VECTOR.NM);
  wait(o);
};

const init: Semantics = (o) => {
  o.setState32(S.fcw, o.i32(0x37f));
  for (const offset of [S.fsw, S.ftop, S.ftags, S.fop, S.fcs, S.fds]) o.setState32(offset, o.i32(0));
  o.setState64(S.fip, o.i64(0));
  o.setState64(S.fdp, o.i64(0));
};
/** Exception flags, stack fault, ES and B go, condition codes stay. */
const clearExceptions: Semantics = (o) => o.setState32(S.fsw, o.and(32, o.state32(S.fsw), o.i32(0x7f00)));

const controlWord: Semantics = (o) => o.trunc(32, 16, o.state32(S.fcw));
const statusWord: Semantics = (o) => o.trunc(32, 16, o.or(32, o.state32(S.fsw), o.shl(32, o.state32(S.ftop), 11)));

/** FLDCW: ES and B follow from flags and masks; a pending exception is raised by the next waiting instruction. */
const loadControlWord: Semantics = (o, address) => {
  wait(o);
  const value = o.load(16, address);
  const fcw = o.or(32, o.and(32, value, o.i32(0x1f3f)), o.i32(0x40));
  o.setState32(S.fcw, fcw);
  const fsw = o.state32(S.fsw);
  const pending = o.nez(32, o.and(32, o.andNot(32, fsw, fcw), o.i32(0x3f)));
  o.setState32(S.fsw, o.or(32, o.and(32, fsw, o.i32(0x7f7f)), o.mul(32, pending, o.i32(0x8080))));
};

/**
 * FLDENV, FNSTENV, FRSTOR, FNSAVE. The helper knows the 14- or 28-byte form by its first argument. The first field
 * and the last byte are tried here, as the processor does: nothing is written before a fault.
 */
const environment =
  (helper: HelperName, direction: "load" | "store", registers = 0): Semantics =>
  (o, address) => {
    const wide = o.operandSize !== 16;
    const field = wide ? 32 : 16;
    const last = o.wrapAddress(o.add(64, address, o.i64((wide ? 28 : 14) + registers - 1)));
    if (direction === "load") {
      wait(o);
      o.load(field, address);
      o.load(8, last);
    } else {
      o.loadForWrite(field, address);
      o.loadForWrite(8, last);
    }
    o.call(helper, o.i32(wide ? 1 : 0), address);
  };
const sized: Options = { unit: "x87", operandSized: true };

/** Rows of functions on the top of the stack and of control. */
export const x87ControlRows: Row[] = [
  ins(
    "D9 =E0",
    "FCHS",
    "",
    signed(0xe0, (o, high) => o.xor(32, high, o.i32(0x8000))),
    x87,
  ),
  ins(
    "D9 =E1",
    "FABS",
    "",
    signed(0xe1, (o, high) => o.and(32, high, o.i32(0x7fff))),
    x87,
  ),
  ins("D9 =E4", "FTST", "", computed(0xe4), x87),
  ins("D9 =E5", "FXAM", "", computed(0xe5), x87),
  transcendental("D9 =F0", "F2XM1", 0xf0),
  transcendental("D9 =F1", "FYL2X", 0xf1),
  transcendental("D9 =F2", "FPTAN", 0xf2),
  transcendental("D9 =F3", "FPATAN", 0xf3),
  ins("D9 =F4", "FXTRACT", "", computed(0xf4), x87),
  ins("D9 =F5", "FPREM1", "", computed(0xf5), x87),
  ins("D9 =F6", "FDECSTP", "", rotate(7), x87),
  ins("D9 =F7", "FINCSTP", "", rotate(1), x87),
  ins("D9 =F8", "FPREM", "", computed(0xf8), x87),
  transcendental("D9 =F9", "FYL2XP1", 0xf9),
  ins("D9 =FA", "FSQRT", "", computed(0xfa), x87),
  transcendental("D9 =FB", "FSINCOS", 0xfb),
  ins("D9 =FC", "FRNDINT", "", computed(0xfc), x87),
  ins("D9 =FD", "FSCALE", "", computed(0xfd), x87),
  transcendental("D9 =FE", "FSIN", 0xfe),
  transcendental("D9 =FF", "FCOS", 0xff),
  ins("D9 =D0", "FNOP", "", nop, x87),
  ins("DD /0", "FFREE T", "", free(false), x87),
  ins("DF /0", "FFREEP T", "", free(true), x87),
  ins("DB =E0", "FNENI", "", nothing, x87),
  ins("DB =E1", "FNDISI", "", nothing, x87),
  ins("DB =E2", "FNCLEX", "", clearExceptions, x87),
  ins("DB =E3", "FNINIT", "", init, x87),
  ins("DB =E4", "FNSETPM", "", nothing, x87),
  ins("9B", "FWAIT", "", fwait),
  ins("D9 /5", "FLDCW Aw", "", loadControlWord, x87),
  ins("D9 /7", "FNSTCW Mw:w", "", controlWord, x87),
  ins("DD /7", "FNSTSW Mw:w", "", statusWord, x87),
  ins("DF =E0", "FNSTSW AX:w", "", statusWord, x87),
  ins("D9 /4", "FLDENV Ae", "", environment("fpuLoadEnvironment", "load"), sized),
  ins("D9 /6", "FNSTENV Ae:w", "", environment("fpuStoreEnvironment", "store"), sized),
  ins("DD /4", "FRSTOR Ast", "", environment("fpuRestore", "load", 80), sized),
  ins("DD /6", "FNSAVE Ast:w", "", environment("fpuSave", "store", 80), sized),
];
