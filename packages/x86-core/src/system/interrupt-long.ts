import type { CpuContext } from "../cpu/context.js";
import { raise } from "../cpu/fault.js";
import { FLAG } from "../semantics/flags.js";
import { VECTOR } from "../semantics/ops.js";
import { CS, gprOffset, S, SS } from "../state/layout.js";
import { checkHandler } from "./interrupt-protected.js";
import { checkIdtLimit, type Delivery, idtError, setDeliveredFlags } from "./interrupts.js";
import { isCanonical } from "./modes.js";
import { ATTRIBUTE, TYPE } from "./registers.js";
import { descriptorDpl, isConforming, markAccessed, selectorError, setCode, setNullStack } from "./segmentation.js";
import { longStack, Stack } from "./stack.js";

/** IA-32e mode: 16-byte gates to 64-bit code, stacks from the interrupt stack table (SDM vol. 3, 6.14). */
export function deliverLong(cpu: CpuContext, delivery: Delivery): void {
  const { state } = cpu;
  const { vector } = delivery.event;
  checkIdtLimit(cpu, vector, 16);
  const gate = BigInt.asUintN(64, state.get64(S.idtBase) + BigInt(vector * 16));
  const low = cpu.readSystem(gate, 4) >>> 0;
  const high = cpu.readSystem(gate + 4n, 4) >>> 0;
  const upper = cpu.readSystem(gate + 8n, 4) >>> 0;
  const type = (high >> 8) & 0x1f;
  if (type !== TYPE.INTERRUPT32 && type !== TYPE.TRAP32) raise(VECTOR.GP, idtError(vector));
  if (delivery.software && ((high >> 13) & 3) < state.cpl) raise(VECTOR.GP, idtError(vector));
  if (!(high & ATTRIBUTE.P)) raise(VECTOR.NP, idtError(vector));
  const code = checkHandler(cpu, low >>> 16);
  if ((code.high & (ATTRIBUTE.L | ATTRIBUTE.DB)) !== ATTRIBUTE.L) raise(VECTOR.GP, selectorError(code.selector));
  const target = (BigInt(upper) << 32n) | BigInt(((high & 0xffff0000) | (low & 0xffff)) >>> 0);

  const dpl = descriptorDpl(code);
  const inner = !isConforming(code) && dpl < state.cpl;
  const cpl = inner ? dpl : state.cpl;
  const ist = high & 7;
  const oldPointer = state.get64(gprOffset(4));
  const top = ist ? longStack(cpu, ist + 3) : inner ? longStack(cpu, dpl) : oldPointer;
  const stack = Stack.flat(cpu, top & ~15n & 0xffffffffffffffffn, cpl);
  stack.reserve(delivery.errorCode === undefined ? 5 : 6, 8);
  if (!isCanonical(target)) raise(VECTOR.GP, 0);
  stack.push(8, state.selector(SS));
  stack.push(8, oldPointer);
  stack.push(8, delivery.flags);
  stack.push(8, state.selector(CS));
  stack.push(8, delivery.returnIp);
  if (delivery.errorCode !== undefined) stack.push(8, delivery.errorCode);
  markAccessed(cpu, code);
  if (inner) setNullStack(state, cpl, cpl);
  setCode(cpu, code, cpl);
  stack.commit();
  setDeliveredFlags(cpu, FLAG.TF | FLAG.NT | FLAG.RF | FLAG.VM | (type === TYPE.INTERRUPT32 ? FLAG.IF : 0));
  cpu.modeChanged();
  cpu.jump(target);
}
