import { FLAG } from "../semantics/flags.js";
import { type Ops, VECTOR } from "../semantics/ops.js";
import { S, SEGMENT, SS, segmentOffset } from "../state/layout.js";
import type { Val } from "../wasm/code.js";

/** Current privilege level. */
export function cpl(o: Ops): Val {
  return o.and(32, o.shrU(32, o.state32(segmentOffset(SS) + SEGMENT.attributes), 13), o.i32(3));
}
export function iopl(o: Ops): Val {
  return o.and(32, o.shrU(32, o.state32(S.systemFlags), 12), o.i32(3));
}
/** Raises #GP(0) above CPL 0. */
export function privileged(o: Ops): void {
  o.raiseIf(cpl(o), VECTOR.GP, 0);
}
/** A bit of a control register, as a value that is not 0 when it is set. */
export function controlBit(o: Ops, register: number, bit: number): Val {
  return o.and(32, o.state32(register), o.i32(bit));
}
export function isVirtual8086(o: Ops): Val {
  return o.and(32, o.state32(S.systemFlags), o.i32(FLAG.VM));
}
/** The linear address `bytes` further on. */
export function after(o: Ops, address: Val, bytes: number): Val {
  return o.wrapAddress(o.add(64, address, o.i64(bytes)));
}
