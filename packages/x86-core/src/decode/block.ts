import {
  address16,
  address32,
  address64,
  addressChecked16,
  addressChecked32,
  fault,
  goOn,
} from "../instructions/micro.js";
import { accessBytes } from "../semantics/instruction.js";
import { ACCESS } from "../semantics/ops.js";
import { FS, GS, S, STACK_SEGMENT } from "../state/layout.js";
import type { Row } from "../table/row.js";
import { variantFor } from "../table/variants.js";
import {
  type CodeBytes,
  type Instruction,
  type InstructionDecoder,
  longModeBase,
  OUT_OF_BYTES,
} from "./instruction.js";
import { MODE } from "./mode.js";
import type { RecordArena } from "./records.js";

/** Instructions in one block at most; longer ones go on in a block of their own. */
const MAX_INSTRUCTIONS = 48;
/** Records that a block may need: an address and an instruction each, and the end. */
export const MAX_RECORDS = MAX_INSTRUCTIONS * 2 + 2;

/** Finds the handler of a variant of a row. */
export interface HandlerNumbers {
  number(row: Row, variant: number): number;
}

/** Turns the bytes of straight-line code into records. */
export class BlockDecoder {
  constructor(
    readonly decoder: InstructionDecoder,
    readonly arena: RecordArena,
    readonly handlers: HandlerNumbers,
  ) {}

  /**
   * Decodes from `code.position` up to a jump, `code.limit` or `most` instructions. Positions are bytes from the start
   * of the page. Returns the first record and the end position, or undefined when not even one instruction is complete.
   */
  decode(code: CodeBytes, mode: number, most = MAX_INSTRUCTIONS): { first: number; end: number } | undefined {
    const { arena } = this;
    const first = arena.next;
    let count = 0;
    for (;;) {
      const start = code.position;
      if (count === Math.min(most, MAX_INSTRUCTIONS) || (count > 0 && start >= code.limit)) break;
      let i: Instruction;
      try {
        i = this.decoder.decode(code, mode);
      } catch (error) {
        if (error !== OUT_OF_BYTES) throw error;
        code.position = start;
        if (count === 0) return undefined;
        break;
      }
      count++;
      if (i.vector) {
        const record = arena.add(this.#number(fault, mode), start, i.length, count);
        arena.setImmediate(record, BigInt(i.vector));
        return { first, end: code.position };
      }
      this.#write(i, start, count, mode);
      if (i.row.options.endsBlock) return { first, end: code.position };
    }
    arena.add(this.#number(goOn, mode), code.position, 0, count);
    return { first, end: code.position };
  }

  #number(row: Row, mode: number): number {
    const long = (mode & MODE.LONG) !== 0;
    const size = long ? 64 : 32;
    return this.handlers.number(row, variantFor(row, size, size, long, false));
  }

  #write(i: Instruction, start: number, count: number, mode: number): void {
    const { arena } = this;
    const { row } = i;
    const long = (mode & MODE.LONG) !== 0;
    let base = i.base;
    let index = i.index;
    let scale = i.scale;
    let { displacement } = i;

    if (i.memory) {
      // POP computes its address with the stack pointer already moved (SDM vol. 2, POP).
      if (row.mnemonic === "POP" && base === S.gpr + 4 * 8) displacement += i.operandSize / 8;
      const { offsetOnly } = row.traits;
      const computed = long
        ? this.#longAddress(i, start, count, mode, displacement, offsetOnly)
        : this.#legacyAddress(i, start, count, mode, displacement, offsetOnly);
      if (computed) {
        base = S.address;
        index = S.zero;
        scale = i.segment === 2 ? STACK_SEGMENT : 0;
        displacement = 0;
      } else {
        // One record holds a base, an index and a displacement; a segment's base takes a free place.
        const segmentBase = offsetOnly ? S.zero : longModeBase(i.segment);
        if (i.ripRelative) {
          base = S.page;
          displacement += start + i.length;
        }
        if (segmentBase !== S.zero) {
          if (base === S.zero) base = segmentBase;
          else index = segmentBase;
        } else if (i.segment === 2) scale |= STACK_SEGMENT;
      }
    } else if (long) {
      // String instructions and memory offsets find the base of their source segment here.
      base = longModeBase(i.segment);
    }

    const handler = this.handlers.number(row, variantFor(row, i.operandSize, i.addressSize, long, i.memory));
    const record = arena.add(handler, start, i.length, count);
    arena.setAddress(record, base, index, scale, displacement);
    arena.setImmediate(record, i.immediate);
    arena.setField(record, "a", i.a);
    arena.setField(record, "b", i.b);
    // The immediate is sign-extended into it: a second one of 0 must be written, too.
    if (i.c || i.secondImmediate) arena.setField(record, "c", i.c);
    // Outside 64-bit mode the same instructions find their source segment's number in b.
    if (!long && !i.memory && row.options.addressSized) arena.setField(record, "b", i.segment);
  }

  /** Writes a record that computes the address where one is needed; false when the instruction's own record suffices. */
  #longAddress(
    i: Instruction,
    start: number,
    count: number,
    mode: number,
    displacement: number,
    offsetOnly: boolean,
  ): boolean {
    const { arena } = this;
    const segmentBase = offsetOnly ? S.zero : longModeBase(i.segment);
    const relative = i.ripRelative ? displacement + start + i.length : displacement;
    const short = i.addressSize === 32;
    const fits = relative === (relative | 0) && (segmentBase === S.zero || i.base === S.zero || i.index === S.zero);
    if (!short && fits) return false;
    const record = arena.add(this.#number(short ? address32 : address64, mode), start, i.length, count);
    const base = i.ripRelative ? S.page : i.base;
    const rest = relative - (relative | 0);
    arena.setAddress(record, base, i.index, i.scale, relative | 0);
    arena.setImmediate(record, BigInt(rest));
    arena.setField(record, "a", segmentBase);
    return true;
  }

  /** Outside 64-bit mode every address is computed, and checked unless the segment is flat, by a record of its own. */
  #legacyAddress(
    i: Instruction,
    start: number,
    count: number,
    mode: number,
    displacement: number,
    offsetOnly: boolean,
  ): boolean {
    const { arena } = this;
    const wide = i.addressSize === 32;
    const flat = (mode & MODE.FLAT) !== 0 && i.segment !== FS && i.segment !== GS && i.segment !== 1;
    let row: Row;
    if (offsetOnly) row = wide ? address32 : address16;
    else if (flat && wide) row = address32;
    else row = wide ? addressChecked32 : addressChecked16;
    const record = arena.add(this.#number(row, mode), start, i.length, count);
    arena.setAddress(record, i.base, i.index, i.scale, displacement);
    arena.setField(record, "a", S.zero);
    if (row === addressChecked32 || row === addressChecked16) {
      const operand = i.row.operands.find((other) => other.place === "rm")!;
      const bytes = accessBytes(operand, i.operandSize);
      arena.setField(record, "b", i.segment);
      arena.setField(record, "c", bytes | (operand.write ? ACCESS.write : 0));
    }
    return true;
  }
}
