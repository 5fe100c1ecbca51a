import { CS, S, SEGMENT, STATE, segmentOffset } from "../state/layout.js";
import type { Val } from "../wasm/code.js";
import { type Ops, VECTOR } from "./ops.js";

// What x87 semantics have in common. See DIVERGENCES.md about CR0.NE.

/** Status word bits that generated code handles. */
const ES = 0x80;
const C1 = 0x200;

/** Raises #MF when an earlier instruction left an unmasked exception (SDM vol. 1, 8.6): waiting instructions begin so. */
export function wait(o: Ops): void {
  o.raiseIf(o.nez(32, o.and(32, o.state32(S.fsw), o.i32(ES))), VECTOR.MF);
}

/**
 * Notes the instruction, and its memory operand, in the instruction and data pointers (SDM vol. 1, 8.1.8). Comes after
 * everything that may fault.
 */
export function notePointers(o: Ops, address?: Val): void {
  const { around } = o;
  o.setState32(S.fop, o.immediate(32));
  o.setState64(S.fip, o.ip());
  o.setState32(S.fcs, o.state32(segmentOffset(CS) + SEGMENT.selector));
  if (!address) return;
  const offset = o.sub(64, address, o.code.load("i64.load", around.field("a"), STATE));
  o.setState64(S.fdp, o.wrapAddress(offset));
  o.setState32(S.fds, o.code.load("i32.load", around.field("b"), STATE));
}

/** C1 = 0: the end of an instruction without an exception. */
export function clearC1(o: Ops): void {
  o.setState32(S.fsw, o.and(32, o.state32(S.fsw), o.i32(~C1)));
}

/** Number of the physical register that is ST(i). */
export function physical(o: Ops, i: Val | number): Val {
  const top = o.state32(S.ftop);
  if (i === 0) return top;
  return o.and(32, o.add(32, top, typeof i === "number" ? o.i32(i) : i), o.i32(7));
}

const tagBit = (o: Ops, index: Val): Val => o.shl(32, o.i32(1), index);

/** Whether a physical register is not empty. */
export function isFull(o: Ops, index: Val): Val {
  return o.and(32, o.shrU(32, o.state32(S.ftags), index), o.i32(1));
}
export function setFull(o: Ops, index: Val): void {
  o.setState32(S.ftags, o.or(32, o.state32(S.ftags), tagBit(o, index)));
}
export function setEmpty(o: Ops, index: Val): void {
  o.setState32(S.ftags, o.andNot(32, o.state32(S.ftags), tagBit(o, index)));
}

const address = (o: Ops, index: Val): Val => o.shl(32, index, 4);

/** The two parts of a physical register; a register as a whole moves as a vector. */
export function significand(o: Ops, index: Val): Val {
  return o.code.load("i64.load", address(o, index), STATE + S.fpr);
}
export function signExponent(o: Ops, index: Val): Val {
  return o.code.load("i32.load16_u", address(o, index), STATE + S.fpr + 8);
}
export function setSignificand(o: Ops, index: Val, value: Val): void {
  o.code.store("i64.store", address(o, index), value, STATE + S.fpr);
}
export function setSignExponent(o: Ops, index: Val, value: Val): void {
  o.code.store("i32.store16", address(o, index), value, STATE + S.fpr + 8);
}
export function whole(o: Ops, index: Val): Val {
  return o.code.load("v128.load", address(o, index), STATE + S.fpr);
}
export function setWhole(o: Ops, index: Val, value: Val): void {
  o.code.store("v128.store", address(o, index), value, STATE + S.fpr);
}

/** Moves the top of stack and fills ST(0), given as its number and parts. */
export function pushParts(o: Ops, index: Val, low: Val, high: Val): void {
  setSignificand(o, index, low);
  setSignExponent(o, index, high);
  setFull(o, index);
  o.setState32(S.ftop, index);
}

/** Empties ST(0) and moves the top of stack. */
export function pop(o: Ops): void {
  const top = o.state32(S.ftop);
  setEmpty(o, top);
  o.setState32(S.ftop, o.and(32, o.add(32, top, o.i32(1)), o.i32(7)));
}
