import type { Ops } from "../semantics/ops.js";
import { VECTOR } from "../semantics/ops.js";
import { CS, DS, ES, FS, GS, S, SEGMENT, SEGMENT_STRIDE, SS, STATE, segmentOffset } from "../state/layout.js";
import { CR4 } from "../system/registers.js";
import { ins, type Row, type Semantics } from "../table/row.js";
import type { Val } from "../wasm/code.js";
import { after, controlBit, privileged } from "./system-common.js";

/** Raises #UD for numbers of segment registers that do not exist. */
function checkNumber(o: Ops, number: Val): void {
  o.raiseIf(o.ltU(32, o.i32(GS), number), VECTOR.UD);
}
function selectorOf(o: Ops, number: Val): Val {
  const cache = o.code.op("i32.mul", number, o.i32(SEGMENT_STRIDE));
  return o.code.load("i32.load16_u", cache, STATE + S.segments + SEGMENT.selector);
}

const storeSelector: Semantics = (o, number) => {
  checkNumber(o, number);
  return o.zext(16, o.w, selectorOf(o, number));
};
const loadSelector: Semantics = (o, number, selector) => {
  checkNumber(o, number);
  o.raiseIf(o.eq(32, number, o.i32(CS)), VECTOR.UD);
  o.call("loadSegment", number, selector);
};

const push =
  (segment: number): Semantics =>
  (o) =>
    o.push(
      o.operandSize,
      o.zext(16, o.operandSize, o.trunc(32, 16, o.state32(segmentOffset(segment) + SEGMENT.selector))),
    );
const pop =
  (segment: number): Semantics =>
  (o) => {
    const value = o.peek(o.operandSize);
    o.call("popSegment", o.i32(segment), o.trunc(o.operandSize, 16, value), o.i32(o.operandSize / 8));
  };

/** LDS and the like; the helper also writes the register, since execution may have to leave the block. */
const loadFar =
  (segment: number): Semantics =>
  (o, _register, address) => {
    const w = o.operandSize;
    const offset = o.zext(w, 64, o.load(w, address));
    const selector = o.load(16, after(o, address, w / 8));
    o.call("loadFarPointer", o.i32(segment | ((w / 8) << 8)), selector, o.around.field("a"), offset);
  };

// --- descriptor tables ---

const loadTable =
  (which: 0 | 1): Semantics =>
  (o, address) => {
    privileged(o);
    const limit = o.load(16, address);
    const w = o.long ? 64 : 32;
    let base = o.zext(w, 64, o.load(w, after(o, address, 2)));
    // With 16-bit operands the base has 24 bits.
    if (!o.long && o.operandSize === 16) base = o.and(64, base, o.i64(0xffffff));
    o.call("loadTable", o.i32(which), limit, base);
  };
const storeTable =
  (limit: number, base: number): Semantics =>
  (o, address) => {
    o.store(16, address, o.trunc(32, 16, o.state32(limit)));
    const w = o.long ? 64 : 32;
    o.store(w, after(o, address, 2), o.trunc(64, w, o.state64(base)));
  };

const loadSystem =
  (helper: "loadLdt" | "loadTaskRegister"): Semantics =>
  (o, selector) =>
    o.call(helper, selector);
const storeSystem =
  (segment: number): Semantics =>
  (o) => {
    o.call("requireProtected");
    return o.zext(16, o.w, o.trunc(32, 16, o.state32(segmentOffset(segment) + SEGMENT.selector)));
  };

/** LAR and LSL: the destination keeps its value when the descriptor is not accessible. */
const inspect =
  (helper: "loadAccessRights" | "loadSegmentLimit"): Semantics =>
  (o, old, selector) => {
    o.call(helper, selector);
    const valid = o.result(32, 1);
    const value = o.zext(32, o.w, o.result(32));
    o.setZero(valid);
    return o.select(valid, o.w === 16 ? o.and(32, value, o.i32(0xffff)) : value, old);
  };
const verify =
  (write: 0 | 1): Semantics =>
  (o, selector) => {
    o.call("verify", selector, o.i32(write));
    o.setZero(o.result(32));
  };

/** ARPL: raises the RPL of a selector to that of the other. */
function adjusted(o: Ops, destination: Val, source: Val): { lower: Val; raised: Val } {
  const wanted = o.and(32, source, o.i32(3));
  const lower = o.ltU(32, o.and(32, destination, o.i32(3)), wanted);
  return { lower, raised: o.or(32, o.and(32, destination, o.i32(0xfffc)), wanted) };
}
const adjustPrivilege: Semantics = (o, destination, source) => {
  o.call("requireProtected");
  const { lower, raised } = adjusted(o, destination, source);
  o.setZero(lower);
  return o.select(lower, raised, destination);
};
/** Memory is written only when it changes. */
const adjustPrivilegeInMemory: Semantics = (o, address, source) => {
  o.call("requireProtected");
  const { lower, raised } = adjusted(o, o.load(16, address), source);
  o.if(lower, () => o.store(16, address, raised));
  o.setZero(lower);
};

// --- bases of FS and GS ---

const baseOf = (segment: number): number => segmentOffset(segment) + SEGMENT.base;
function requireFsgsbase(o: Ops): void {
  o.raiseIf(o.isNot(controlBit(o, S.cr4, CR4.FSGSBASE)), VECTOR.UD);
}
const readBase =
  (segment: number): Semantics =>
  (o) => {
    requireFsgsbase(o);
    return o.trunc(64, o.w, o.state64(baseOf(segment)));
  };
const writeBase =
  (segment: number): Semantics =>
  (o, value) => {
    requireFsgsbase(o);
    const base = o.zext(o.w, 64, value);
    if (o.w === 64) o.checkTarget(base);
    o.setState64(baseOf(segment), base);
  };
const swapGs: Semantics = (o) => {
  privileged(o);
  const old = o.variable(64, o.state64(baseOf(GS)));
  o.setState64(baseOf(GS), o.state64(S.kernelGsBase));
  o.setState64(S.kernelGsBase, old.get());
};

const skip = { test: "skip" } as const;
const sized = { ...skip, operandSized: true } as const;
const not64 = { ...skip, mode: "not64" } as const;
const stack = { ...sized, size: "d64" } as const;
const stackNot64 = { ...sized, mode: "not64" } as const;
const pushes = { size: "d64", operandSized: true } as const;
const pushNot64 = { ...pushes, mode: "not64" } as const;
const bases = { ...skip, mode: "only64", feature: "fsgsbase" } as const;

export const systemSegmentRows: Row[] = [
  ins("8C /r", "MOV Rv:w S", "", storeSelector),
  ins("8C /r", "MOV Mw:w S", "", storeSelector),
  ins("8E /r", "MOV S Ew", "", loadSelector, skip),
  ins("06", "PUSH", "", push(ES), pushNot64),
  ins("0E", "PUSH", "", push(CS), pushNot64),
  ins("16", "PUSH", "", push(SS), pushNot64),
  ins("1E", "PUSH", "", push(DS), pushNot64),
  ins("0F A0", "PUSH", "", push(FS), pushes),
  ins("0F A8", "PUSH", "", push(GS), pushes),
  ins("07", "POP", "", pop(ES), stackNot64),
  ins("17", "POP", "", pop(SS), stackNot64),
  ins("1F", "POP", "", pop(DS), stackNot64),
  ins("0F A1", "POP", "", pop(FS), stack),
  ins("0F A9", "POP", "", pop(GS), stack),
  ins("C4 /r", "LES Gv Ap", "", loadFar(ES), not64),
  ins("C5 /r", "LDS Gv Ap", "", loadFar(DS), not64),
  ins("0F B2 /r", "LSS Gv Ap", "", loadFar(SS), skip),
  ins("0F B4 /r", "LFS Gv Ap", "", loadFar(FS), skip),
  ins("0F B5 /r", "LGS Gv Ap", "", loadFar(GS), skip),
  ins("0F 01 /2", "LGDT Apd", "", loadTable(0), { operandSized: true }),
  ins("0F 01 /3", "LIDT Apd", "", loadTable(1), { operandSized: true }),
  ins("0F 01 /0", "SGDT A:w", "", storeTable(S.gdtLimit, S.gdtBase), skip),
  ins("0F 01 /1", "SIDT A:w", "", storeTable(S.idtLimit, S.idtBase), skip),
  ins("0F 00 /0", "SLDT Rv:w", "", storeSystem(6), skip),
  ins("0F 00 /0", "SLDT Mw:w", "", storeSystem(6), skip),
  ins("0F 00 /1", "STR Rv:w", "", storeSystem(7), skip),
  ins("0F 00 /1", "STR Mw:w", "", storeSystem(7), skip),
  ins("0F 00 /2", "LLDT Ew", "", loadSystem("loadLdt"), { privileged: true }),
  ins("0F 00 /3", "LTR Ew", "", loadSystem("loadTaskRegister"), { privileged: true }),
  ins("0F 00 /4", "VERR Ew", "--M---", verify(0), skip),
  ins("0F 00 /5", "VERW Ew", "--M---", verify(1), skip),
  ins("0F 02 /r", "LAR Gv:rw Ew", "--M---", inspect("loadAccessRights"), skip),
  ins("0F 03 /r", "LSL Gv:rw Ew", "--M---", inspect("loadSegmentLimit"), skip),
  ins("63 /r", "ARPL Rw:rw Gw", "--M---", adjustPrivilege, { mode: "not64" }),
  ins("63 /r", "ARPL Aw Gw", "--M---", adjustPrivilegeInMemory, { mode: "not64" }),
  ins("F3 0F AE /0", "RDFSBASE Ry:w", "", readBase(FS), bases),
  ins("F3 0F AE /1", "RDGSBASE Ry:w", "", readBase(GS), bases),
  ins("F3 0F AE /2", "WRFSBASE Ry", "", writeBase(FS), bases),
  ins("F3 0F AE /3", "WRGSBASE Ry", "", writeBase(GS), bases),
  ins("0F 01 =F8", "SWAPGS", "", swapGs, { mode: "only64" }),
];
