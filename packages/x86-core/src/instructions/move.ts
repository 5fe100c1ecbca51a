import type { Ops } from "../semantics/ops.js";
import { ins, type Row, type Semantics } from "../table/row.js";
import type { Val } from "../wasm/code.js";
import { CONDITIONS, hex } from "./encoding.js";

const copy: Semantics = (_o, value) => value;
const swap: Semantics = (_o, a, b) => [b, a];

/** Zero- and sign-extension from the r/m operand's width to that of the destination. */
const extend =
  (from: 8 | 16 | 32, how: "zext" | "sext"): Semantics =>
  (o, value) =>
    o.w > from ? o[how](from, o.w, value) : o.trunc(from, o.w, value);

/** CBW/CWDE/CDQE: rAX from its lower half. CWD/CDQ/CQO: rDX from the sign of rAX. */
const widenAccumulator: Semantics = (o) => {
  const half = (o.operandSize / 2) as 8 | 16 | 32;
  o.setGpr(o.operandSize, 0, o.sext(half, o.operandSize, o.gpr(half, 0)));
};
const signAccumulator: Semantics = (o) => {
  const w = o.operandSize;
  o.setGpr(w, 2, o.shrS(w, o.gpr(w, 0), w - 1));
};

function byteSwap(o: Ops, value: Val): Val {
  const pairs = (w: 32 | 64, v: Val, mask: bigint, shift: number) =>
    o.or(w, o.and(w, o.shrU(w, v, shift), o.const(w, mask)), o.shl(w, o.and(w, v, o.const(w, mask)), shift));
  if (o.w === 64) {
    const bytes = pairs(64, value, 0x00ff00ff00ff00ffn, 8);
    return o.code.op("i64.rotl", pairs(64, bytes, 0x0000ffff0000ffffn, 16), o.i64(32));
  }
  if (o.w === 32) return o.code.op("i32.rotl", pairs(32, value, 0x00ff00ffn, 8), o.i32(16));
  return o.or(16, o.shrU(16, value, 8), o.shl(16, value, 8));
}
/** BSWAP of a 16-bit register is undefined; processors clear it. */
const bswap: Semantics = (o, value) => (o.w === 16 ? o.const(16, 0) : byteSwap(o, value));

const cmov =
  (cc: number): Semantics =>
  (o, destination, source) =>
    o.select(o.condition(cc), source, destination);
const setcc =
  (cc: number): Semantics =>
  (o) =>
    o.condition(cc);

const leave: Semantics = (o) => {
  const w = o.operandSize;
  const frame = o.stackOffset(o.gpr(64, 5));
  const value = o.loadStack(w, frame);
  o.setStackPointer(o.add(64, frame, o.i64(w / 8)));
  o.setGpr(w, 5, value);
};

/** A push or pop of a general operand; PUSH SP stores the old value, POP SP the loaded one. */
const push: Semantics = (o, value) => o.push(o.w, value);
const pushImmediate: Semantics = (o) => o.push(o.operandSize, o.immediate(o.operandSize));
/** The stack pointer moves before the destination is written (SDM vol. 2, POP), which the result order gives. */
const pop: Semantics = (o) => o.pop(o.w);
/** With a memory destination the store may fault: the stack pointer moves after it. */
const popMemory: Semantics = (o, address) => {
  const value = o.peek(o.operandSize);
  o.store(o.operandSize, address, value);
  o.dropStack(o.i64(o.operandSize / 8));
};

const pushAll: Semantics = (o) => {
  const w = o.operandSize;
  for (let index = 0; index < 8; index++) o.storeBelowStack(w, (index + 1) * (w / 8), o.gpr(w, index));
  o.dropStack(o.i64(-8 * (w / 8)));
};
const popAll: Semantics = (o) => {
  const w = o.operandSize;
  const values = [7, 6, 5, 3, 2, 1, 0].map((index) => ({
    index,
    value: o.peek(w, (7 - index) * (w / 8)),
  }));
  o.dropStack(o.i64(8 * (w / 8)));
  for (const { index, value } of values) o.setGpr(w, index, value);
};

/** XLAT: AL = [rBX + AL]. */
const xlat: Semantics = (o) => {
  const offset = o.offset(o.add(64, o.gpr(64, 3), o.zext(8, 64, o.gpr(8, 0))));
  o.setGpr(8, 0, o.load(8, o.linearInSource(offset, 1)));
};

const loadOffset =
  (w?: 8): Semantics =>
  (o, offset) => {
    const width = w ?? o.operandSize;
    o.setGpr(width, 0, o.load(width, o.linearInSource(offset, width / 8)));
  };
const storeOffset =
  (w?: 8): Semantics =>
  (o, offset) => {
    const width = w ?? o.operandSize;
    o.store(width, o.linearInSource(offset, width / 8, true), o.gpr(width, 0));
  };

const lahf: Semantics = (o) => {
  const image = o.code.op("i32.and", o.flagsImage(), o.i32(0xd5));
  o.setHighByte(0, o.code.op("i32.or", image, o.i32(2)));
};
const sahf: Semantics = (o) => {
  const overflow = o.code.op("i32.shl", o.flag("O"), o.i32(11));
  o.setImage(o.code.op("i32.or", o.highByte(0), overflow));
};

const stack = { size: "d64" } as const;

export const moveRows: Row[] = [
  ins("88 /r", "MOV Eb:w Gb", "", copy),
  ins("89 /r", "MOV Ev:w Gv", "", copy),
  ins("8A /r", "MOV Gb:w Eb", "", copy),
  ins("8B /r", "MOV Gv:w Ev", "", copy),
  ins("A0", "MOV O", "", loadOffset(8), { addressSized: true }),
  ins("A1", "MOV O", "", loadOffset(), { addressSized: true, operandSized: true }),
  ins("A2", "MOV O", "", storeOffset(8), { addressSized: true }),
  ins("A3", "MOV O", "", storeOffset(), { addressSized: true, operandSized: true }),
  ins("B0+r", "MOV Zb:w Ib", "", copy),
  ins("B8+r", "MOV Zv:w Iv", "", copy),
  ins("C6 /0", "MOV Eb:w Ib", "", copy),
  ins("C7 /0", "MOV Ev:w Iz", "", copy),
  ins("86 /r", "XCHG Eb:rw Gb:rw", "", swap, { lock: true }),
  ins("87 /r", "XCHG Ev:rw Gv:rw", "", swap, { lock: true }),
  ins("90+r", "XCHG Zv:rw rAX:rw", "", swap),
  ins("0F B6 /r", "MOVZX Gv:w Eb", "", extend(8, "zext")),
  ins("0F B7 /r", "MOVZX Gv:w Ew", "", extend(16, "zext")),
  ins("0F BE /r", "MOVSX Gv:w Eb", "", extend(8, "sext")),
  ins("0F BF /r", "MOVSX Gv:w Ew", "", extend(16, "sext")),
  ins("63 /r", "MOVSXD Gv:w Ez", "", (o, value) => (o.operandSize === 64 ? o.sext(32, 64, value) : value), {
    mode: "only64",
  }),
  ins("98", "CBW", "", widenAccumulator, { operandSized: true }),
  ins("99", "CWD", "", signAccumulator, { operandSized: true }),
  ins("0F C8+r", "BSWAP Zv:rw", "", bswap),
  ins("NP 0F 38 F0 /r", "MOVBE Gv:w Mv", "", byteSwap, { feature: "movbe" }),
  ins("66 0F 38 F0 /r", "MOVBE Gv:w Mv", "", byteSwap, { feature: "movbe" }),
  ins("NP 0F 38 F1 /r", "MOVBE Mv:w Gv", "", byteSwap, { feature: "movbe" }),
  ins("66 0F 38 F1 /r", "MOVBE Mv:w Gv", "", byteSwap, { feature: "movbe" }),
  ins("NP 0F C3 /r", "MOVNTI My:w Gy", "", copy, { feature: "sse2" }),
  ...CONDITIONS.flatMap((name, cc): Row[] => [
    ins(`0F 4${hex(cc)} /r`, `CMOV${name} Gv:rw Ev`, "", cmov(cc), { feature: "cmov" }),
    ins(`0F 9${hex(cc)} /r`, `SET${name} Eb:w`, "", setcc(cc)),
  ]),
  ins("50+r", "PUSH Zv", "", push, stack),
  ins("FF /6", "PUSH Ev", "", push, stack),
  ins("68", "PUSH Iz", "", pushImmediate, stack),
  ins("6A", "PUSH Is", "", pushImmediate, { ...stack, operandSized: true }),
  ins("58+r", "POP Zv:w", "", pop, stack),
  ins("8F /0", "POP Rv:w", "", pop, stack),
  ins("8F /0", "POP Av:w", "", popMemory, { ...stack, operandSized: true }),
  ins("60", "PUSHA", "", pushAll, { mode: "not64", operandSized: true }),
  ins("61", "POPA", "", popAll, { mode: "not64", operandSized: true }),
  ins("C9", "LEAVE", "", leave, { ...stack, operandSized: true }),
  ins("D7", "XLAT", "", xlat, { addressSized: true }),
  ins("8D /r", "LEA Gv:w L", "", (o, address) => o.trunc(64, o.w, address)),
  ins("9E", "SAHF", "-MMMMM", sahf, { feature: "lahf" }),
  ins("9F", "LAHF", "", lahf, { feature: "lahf" }),
];
