import type { CpuContext } from "../cpu/context.js";
import { raise } from "../cpu/fault.js";
import { FLAG } from "../semantics/flags.js";
import { VECTOR } from "../semantics/ops.js";
import { CS, S } from "../state/layout.js";
import { checkIdtLimit, type Delivery, setDeliveredFlags } from "./interrupts.js";
import { wrapLinear } from "./modes.js";
import { setRealSegment } from "./segmentation.js";
import { Stack } from "./stack.js";

/** Real-address mode: far pointers at the base of the interrupt table; error codes are not pushed. */
export function deliverReal(cpu: CpuContext, delivery: Delivery): void {
  const { state } = cpu;
  const { vector } = delivery.event;
  checkIdtLimit(cpu, vector, 4);
  const entry = cpu.readSystem(wrapLinear(state, state.get64(S.idtBase) + BigInt(vector * 4)), 4) >>> 0;
  enterRealHandler(cpu, entry, delivery.flags, delivery.returnIp);
  setDeliveredFlags(cpu, FLAG.IF | FLAG.TF | FLAG.AC | FLAG.RF);
}

/** Pushes FLAGS, CS and IP and goes to a far pointer. */
export function enterRealHandler(cpu: CpuContext, entry: number, flags: number, returnIp: bigint): void {
  const { state } = cpu;
  if ((entry & 0xffff) > state.limit(CS)) raise(VECTOR.GP, 0);
  const stack = Stack.current(cpu);
  stack.reserve(3, 2);
  stack.push(2, flags);
  stack.push(2, state.selector(CS));
  stack.push(2, returnIp);
  stack.commit();
  setRealSegment(state, CS, entry >>> 16);
  cpu.modeChanged();
  cpu.jump(BigInt(entry & 0xffff));
}
