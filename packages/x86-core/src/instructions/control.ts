import { ins, type Row, type Semantics } from "../table/row.js";
import { CONDITIONS, hex } from "./encoding.js";

/** Jcc: the block goes on behind it, so that a jump not taken costs nothing more. */
const jcc =
  (cc: number): Semantics =>
  (o) => {
    o.if(o.condition(cc), () => o.jumpRelative());
  };
const jump: Semantics = (o) => o.jumpRelative();
const jumpTo: Semantics = (o, target) => o.jump(o.zext(o.w, 64, target));

const callRelative: Semantics = (o) => {
  if (!o.long) o.checkTarget(o.relativeTarget());
  o.push(o.operandSize, o.trunc(64, o.operandSize, o.nextIp()));
  o.jumpRelative();
};
const callTo: Semantics = (o, target) => {
  const to = o.zext(o.w, 64, target);
  o.checkTarget(to);
  o.push(o.w, o.trunc(64, o.w, o.nextIp()));
  o.jumpUnchecked(to);
};
/** RET, and RET imm16 which drops that many bytes more. */
const ret: Semantics = (o, extra) => {
  const w = o.operandSize;
  const target = o.zext(w, 64, o.peek(w));
  o.checkTarget(target);
  const drop = o.i64(w / 8);
  o.dropStack(extra ? o.add(64, drop, o.zext(16, 64, extra)) : drop);
  o.jumpUnchecked(target);
};

/** LOOP, LOOPE, LOOPNE: the count register has the address size. */
const loop =
  (zero: boolean | undefined): Semantics =>
  (o) => {
    const size = o.variant.addressSize;
    const count = o.sub(size, o.gpr(size, 1), o.const(size, 1));
    o.setGpr(size, 1, count);
    const again = o.nez(size, count);
    const equal = zero === undefined ? undefined : zero ? o.flag("Z") : o.isNot(o.flag("Z"));
    o.if(equal ? o.both(again, equal) : again, () => o.jumpRelative());
  };
const jcxz: Semantics = (o) => {
  const size = o.variant.addressSize;
  o.if(o.eqz(size, o.gpr(size, 1)), () => o.jumpRelative());
};

const near = { size: "f64" } as const;
const relative = { ...near, operandSized: true } as const;
const ends = { ...near, endsBlock: true } as const;
const endsSized = { ...ends, operandSized: true } as const;

export const controlRows: Row[] = [
  ...CONDITIONS.flatMap((name, cc): Row[] => [
    ins(`7${hex(cc)}`, `J${name} Jb`, "", jcc(cc), relative),
    ins(`0F 8${hex(cc)}`, `J${name} Jz`, "", jcc(cc), relative),
  ]),
  ins("EB", "JMP Jb", "", jump, endsSized),
  ins("E9", "JMP Jz", "", jump, endsSized),
  ins("E8", "CALL Jz", "", callRelative, endsSized),
  ins("FF /2", "CALL Ev", "", callTo, ends),
  ins("FF /4", "JMP Ev", "", jumpTo, ends),
  ins("C3", "RET", "", ret, endsSized),
  ins("C2", "RET Iw", "", ret, endsSized),
  ins("E0", "LOOPNE Jb", "", loop(false), { ...relative, addressSized: true }),
  ins("E1", "LOOPE Jb", "", loop(true), { ...relative, addressSized: true }),
  ins("E2", "LOOP Jb", "", loop(undefined), { ...relative, addressSized: true }),
  ins("E3", "JCXZ Jb", "", jcxz, { ...relative, addressSized: true }),
  ins("90", "NOP", "", () => undefined, { withoutRexB: true }),
  // Reserved NOPs, ENDBR64 among them: their operand is decoded, never accessed.
  ...["19", "1A", "1B", "1C", "1D", "1E", "1F"].map((opcode) => ins(`0F ${opcode} /r`, "NOP", "", () => undefined)),
  ins("F5", "CMC", "-----M", (o) => o.setCarry(o.isNot(o.flag("C")))),
  ins("F8", "CLC", "-----0", (o) => o.setCarry(o.i32(0))),
  ins("F9", "STC", "-----1", (o) => o.setCarry(o.i32(1))),
  ins("FC", "CLD", "", (o) => o.setDirection(0)),
  ins("FD", "STD", "", (o) => o.setDirection(1)),
];
