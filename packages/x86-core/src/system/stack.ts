import type { CpuContext } from "../cpu/context.js";
import { raise } from "../cpu/fault.js";
import { VECTOR } from "../semantics/ops.js";
import { gprOffset, SS, TR } from "../state/layout.js";
import { isCanonical, wrapLinear } from "./modes.js";
import { ATTRIBUTE } from "./registers.js";

/** Whether `bytes` at an offset lie within a data segment (SDM vol. 3, 5.3). */
export function withinLimit(attributes: number, limit: number, offset: number, bytes: number): boolean {
  const last = offset + bytes - 1;
  const expandDown = (attributes & (ATTRIBUTE.CODE | ATTRIBUTE.DC)) === ATTRIBUTE.DC;
  if (!expandDown) return last <= limit;
  return offset > limit && last <= (attributes & ATTRIBUTE.DB ? 0xffffffff : 0xffff);
}

/** What a stack is in: a segment, or in 64-bit mode the whole address space. */
export interface StackSegment {
  readonly base: bigint;
  readonly limit: number;
  readonly attributes: number;
}
const FLAT: StackSegment = { base: 0n, limit: 0xffffffff, attributes: 0 };

/**
 * Pushes and pops of far transfers, on the current stack or one that is about to become current. Memory changes at
 * once (below the stack pointer, where nobody looks), the stack pointer only with `commit`.
 */
export class Stack {
  readonly mask: bigint;

  /** `errorCode` goes with #SS: 0, or the selector of a stack that is not current yet. */
  constructor(
    private readonly cpu: CpuContext,
    private readonly segment: StackSegment,
    public pointer: bigint,
    private readonly privilege: number,
    private readonly wide: boolean,
    private readonly errorCode = 0,
  ) {
    this.mask = wide ? 0xffffffffffffffffn : segment.attributes & ATTRIBUTE.DB ? 0xffffffffn : 0xffffn;
    this.pointer &= this.mask;
  }

  /** The stack in use. */
  static current(cpu: CpuContext): Stack {
    const { state } = cpu;
    const wide = state.codeIs64;
    const segment = wide ? FLAT : { base: state.base(SS), limit: state.limit(SS), attributes: state.attributes(SS) };
    return new Stack(cpu, segment, state.get64(gprOffset(4)), state.cpl, wide);
  }
  /** A stack of 64-bit mode. */
  static flat(cpu: CpuContext, pointer: bigint, privilege: number): Stack {
    return new Stack(cpu, FLAT, pointer, privilege, true);
  }

  #linear(offset: bigint, bytes: number): bigint {
    if (this.wide) {
      if (!isCanonical(offset) || !isCanonical((offset + BigInt(bytes - 1)) & this.mask)) {
        raise(VECTOR.SS, this.errorCode);
      }
      return offset;
    }
    const { segment } = this;
    if (!withinLimit(segment.attributes, segment.limit, Number(offset), bytes)) raise(VECTOR.SS, this.errorCode);
    return wrapLinear(this.cpu.state, segment.base + offset);
  }

  /** Raises what pushing `count` values of `bytes` would raise. */
  reserve(count: number, bytes: number): void {
    // 64-bit stacks have no limit to be checked value by value: the ends of the frame show both of its pages.
    const step = this.wide ? Math.max(count - 1, 1) : 1;
    for (let index = 1; index <= count; index += step) {
      const linear = this.#linear((this.pointer - BigInt(index * bytes)) & this.mask, bytes);
      // One page table look-up is enough while the values stay within a page.
      if (index === 1 || index === count || (Number(linear & 0xfffn) + bytes) & ~0xfff) {
        this.cpu.probeWriteAt(this.privilege, linear, bytes);
      }
    }
  }
  push(bytes: 2 | 4 | 8, value: bigint | number): void {
    const pointer = (this.pointer - BigInt(bytes)) & this.mask;
    this.cpu.writeAt(this.privilege, this.#linear(pointer, bytes), bytes, BigInt.asUintN(bytes * 8, BigInt(value)));
    this.pointer = pointer;
  }

  /** Raises what writing a value at the stack pointer would raise. */
  probe(bytes: number): void {
    this.cpu.probeWriteAt(this.privilege, this.#linear(this.pointer, bytes), bytes);
  }

  /** The value at an offset in the stack segment. */
  readAt(bytes: 2 | 4 | 8, offset: bigint): bigint {
    const linear = this.#linear(offset & this.mask, bytes);
    return bytes === 8 ? this.cpu.read64(linear) : BigInt(this.cpu.read(linear, bytes) >>> 0);
  }
  /** The value `depth` bytes above the stack pointer; with the privilege of the running code. */
  peek(bytes: 2 | 4 | 8, depth = 0): bigint {
    return this.readAt(bytes, this.pointer + BigInt(depth));
  }
  pop(bytes: 2 | 4 | 8): bigint {
    const value = this.peek(bytes);
    this.drop(bytes);
    return value;
  }
  drop(bytes: number): void {
    this.pointer = (this.pointer + BigInt(bytes)) & this.mask;
  }

  /** Makes the stack pointer of the state this one. SS is the caller's. */
  commit(): void {
    setStackPointer(this.cpu, this.pointer, this.mask);
  }
}

/** Writes the part of RSP that a stack of this width uses. */
export function setStackPointer(cpu: CpuContext, pointer: bigint, mask: bigint): void {
  const { state } = cpu;
  const old = state.get64(gprOffset(4));
  state.set64(gprOffset(4), (old & ~mask & 0xffffffffffffffffn) | (pointer & mask));
}

/** Whether the task register holds a 32-bit (or 64-bit) TSS. */
export const isTss32 = (cpu: CpuContext): boolean => (cpu.state.attributes(TR) & (1 << 11)) !== 0;

/** Raises #TS naming the current TSS. */
const badTss = (cpu: CpuContext): never => raise(VECTOR.TS, cpu.state.selector(TR) & 0xfffc);

/** SS and (E)SP for privilege level `dpl` from the current 16- or 32-bit TSS (SDM vol. 3, 8.2.1). */
export function innerStack(cpu: CpuContext, dpl: number): { selector: number; pointer: bigint } {
  const { state } = cpu;
  const wide = isTss32(cpu);
  const size = wide ? 8 : 4;
  const offset = dpl * size + size / 2;
  if (offset + (wide ? 5 : 3) > state.limit(TR)) badTss(cpu);
  const base = state.base(TR) + BigInt(offset);
  const read = (at: number, bytes: 2 | 4) => cpu.readSystem(wrapLinear(state, base + BigInt(at)), bytes) >>> 0;
  return { pointer: BigInt(read(0, wide ? 4 : 2)), selector: read(size / 2, 2) };
}

/** RSP0-2 (`index` 0-2) or IST1-7 (`index` 4-10) from the 64-bit TSS. */
export function longStack(cpu: CpuContext, index: number): bigint {
  const { state } = cpu;
  // RSP0 is at 4, IST1 at 36: a gap of eight bytes lies between.
  const offset = index * 8 + 4;
  if (offset + 7 > state.limit(TR)) badTss(cpu);
  const pointer = cpu.readSystem64(wrapLinear(state, state.base(TR) + BigInt(offset)));
  if (!isCanonical(pointer)) raise(VECTOR.SS, 0);
  return pointer;
}
