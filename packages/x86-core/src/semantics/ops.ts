import {
  CS,
  type DS,
  type ES,
  FS,
  GS,
  gprOffset,
  LINK_LOOKUP,
  type RECORD,
  S,
  SEGMENT,
  SS,
  STATE,
  segmentOffset,
  TLB_ENTRIES,
  TLB_ENTRY,
  TLB_ENTRY_SIZE,
  xmmOffset,
} from "../state/layout.js";
import type { Code, Val, Variable } from "../wasm/code.js";
import type { WasmType } from "../wasm/opcodes.js";
import { FLAG, Flags } from "./flags.js";
import { type HelperName, helperNumber } from "./helpers.js";
import type { Width } from "./values.js";

/** Exception vectors (SDM vol. 3, 6.3.1). */
export const VECTOR = {
  DE: 0,
  DB: 1,
  NMI: 2,
  BP: 3,
  OF: 4,
  BR: 5,
  UD: 6,
  NM: 7,
  DF: 8,
  TS: 10,
  NP: 11,
  SS: 12,
  GP: 13,
  PF: 14,
  MF: 16,
  AC: 17,
  MC: 18,
  XM: 19,
} as const;

/** Bits of the `size` argument of the slow memory path beside the number of bytes. */
export const ACCESS = { size: 0xff, write: 0x100, stack: 0x200 } as const;

/** The variants of one instruction that are separate pieces of code. */
export interface Variant {
  /** Operand size in effect: 16, 32 or 64. */
  readonly operandSize: 16 | 32 | 64;
  /** Address size in effect: 16, 32 or 64. Only string instructions and the like depend on it. */
  readonly addressSize: 16 | 32 | 64;
  /** 64-bit mode; otherwise every other mode, with segmentation. */
  readonly long: boolean;
  /** The r/m operand is in memory. */
  readonly memory: boolean;
}

/** What surrounds the code of an instruction: an interpreter's handler or a translated block. */
export interface Surroundings {
  /** Address of the decoded record. */
  readonly record: Val;
  /** A field of the record, as an i32 (`immediate`: i64): read from memory or known while translating. */
  field(name: keyof typeof RECORD): Val;
  /** Ends the instruction: goes on at the record whose address is given (0: leaves execution). */
  goto(record: Val): void;
  /** Ends the instruction: goes on behind it. */
  next(): void;
  /** Function indices of the runtime. */
  readonly functions: RuntimeFunctions;
}

/** Functions that generated code calls; all but the last three are imports. */
export interface RuntimeFunctions {
  /** (helper number, record) -> 1 when the instruction is over and RIP (or the whole state) is set anew, else 0. */
  readonly helper: number;
  /** (low, high half of the linear address, size and ACCESS bits, record) -> 1 after a fault; the data is in `S.result`. */
  readonly slowLoad: number;
  /** As slowLoad, with the data in `S.arguments`. */
  readonly slowStore: number;
  /** Checks that a store will succeed and loads, as slowLoad. */
  readonly slowLoadForWrite: number;
  /** (vector, error code, record): raises an exception. */
  readonly raise: number;
  /** (record) -> record: resolves and remembers the target of a direct jump; `S.rip` is the target. */
  readonly link: number;
  /** () -> record for `S.rip`, or 0 to leave execution. */
  readonly lookup: number;
  /** (segment, offset i64, size and ACCESS bits, record) -> (linear address i64, ok i32). */
  readonly segment: number;
}

/** A memory operand that is read, then written. */
export interface Place {
  readonly value: Val;
  store(value: Val): void;
}

export type SegmentRegister = typeof ES | typeof CS | typeof SS | typeof DS | typeof FS | typeof GS;

/**
 * What the semantics of an instruction are written in: arithmetic (`Values`), flags (`Flags`), registers, memory,
 * control flow, exceptions and calls to helpers. Each use appends WebAssembly to `code`; the interpreter's handlers and
 * translated blocks differ only in their `Surroundings`.
 *
 * An instruction is precise when it does everything that can fault before it changes registers.
 */
export class Ops extends Flags {
  /**
   * Width of the instruction's first general operand (8 for the byte forms), else the operand size in effect. `w` is
   * what width-polymorphic semantics work in.
   */
  constructor(
    code: Code,
    readonly variant: Variant,
    readonly around: Surroundings,
    readonly w: Width = variant.operandSize,
  ) {
    super(code);
  }

  /** Operand size in effect, as chosen by mode and prefixes. */
  get operandSize(): 16 | 32 | 64 {
    return this.variant.operandSize;
  }
  get long(): boolean {
    return this.variant.long;
  }

  // --- state ---

  /** A 64-bit field of the state, by its offset in `S`. */
  state64(offset: number): Val {
    return this.stateLoad("i64.load", offset);
  }
  state32(offset: number): Val {
    return this.stateLoad("i32.load", offset);
  }
  setState64(offset: number, value: Val): void {
    this.stateStore("i64.store", offset, value);
  }
  setState32(offset: number, value: Val): void {
    this.stateStore("i32.store", offset, value);
  }

  // --- registers ---

  /** A general register by number (0 RAX .. 15 R15); width 8 gives the low byte. */
  gpr(w: Width, index: number): Val {
    return this.stateLoad(LOAD[w], gprOffset(index));
  }
  /** Writes a general register; a 32-bit write clears the upper half, narrower ones keep the rest. */
  setGpr(w: Width, index: number, value: Val): void {
    this.#writeRegister(w, this.i32(gprOffset(index)), value);
  }
  /** The register operand whose offset stands in the record. */
  register(w: Width, field: "a" | "b" | "c"): Val {
    return this.code.load(LOAD[w], this.around.field(field), STATE);
  }
  setRegister(w: Width, field: "a" | "b" | "c", value: Val): void {
    this.#writeRegister(w, this.around.field(field), value);
  }
  #writeRegister(w: Width, address: Val, value: Val): void {
    if (w === 32) this.code.store("i64.store", address, this.zext(32, 64, value), STATE);
    else this.code.store(STORE[w], address, value, STATE);
  }

  /** AH CH DH BH by the number of the register they are part of. */
  highByte(index: number): Val {
    return this.stateLoad("i32.load8_u", gprOffset(index) + 1);
  }
  setHighByte(index: number, value: Val): void {
    this.stateStore("i32.store8", gprOffset(index) + 1, value);
  }
  /** Writes the low `w` bits of a vector or MMX register and leaves the rest. */
  setLane(w: Width, field: "a" | "b" | "c", value: Val): void {
    this.code.store(STORE[w], this.around.field(field), value, STATE);
  }

  /** An XMM register by number, or the whole vector register whose offset stands in the record. */
  xmm(index: number): Val {
    return this.stateLoad("v128.load", xmmOffset(index));
  }
  setXmm(index: number, value: Val): void {
    this.stateStore("v128.store", xmmOffset(index), value);
  }
  vector(field: "a" | "b" | "c"): Val {
    return this.code.load("v128.load", this.around.field(field), STATE);
  }
  setVector(field: "a" | "b" | "c", value: Val): void {
    this.code.store("v128.store", this.around.field(field), value, STATE);
  }

  /** The immediate, at any width. */
  immediate(w: Width): Val {
    const value = this.around.field("immediate");
    return w === 64 ? value : this.trunc(64, w, value);
  }

  // --- addresses ---

  /** The linear address of the r/m operand; outside 64-bit mode the micro-operation before has computed it. */
  effectiveAddress(): Val {
    const { around } = this;
    const base = this.code.load("i64.load", around.field("base"), STATE);
    const index = this.code.load("i64.load", around.field("index"), STATE);
    const scaled = this.shl(64, index, this.#scale());
    const displacement = this.code.op("i64.extend_i32_s", around.field("displacement"));
    return this.add(64, this.add(64, base, scaled), displacement);
  }
  #scale(): Val {
    // i64.shl ignores all but the low six bits, hence the stack-segment bit.
    return this.zext(32, 64, this.around.field("scale"));
  }

  /**
   * The linear address of an offset in a segment, checked for an access of `bytes`. In 64-bit mode only FS and GS have
   * a base and nothing is checked here.
   */
  linear(segment: SegmentRegister, offset: Val, bytes: number, write: boolean): Val {
    if (this.long) {
      if (segment !== FS && segment !== GS) return offset;
      return this.add(64, this.state64(segmentOffset(segment) + SEGMENT.base), offset);
    }
    const flags = bytes | (write ? ACCESS.write : 0);
    return this.#checkedLinear(this.i32(segment), offset, flags);
  }

  /** As `linear` for the source segment of a string instruction or moffs, whose number stands in field `b`. */
  linearInSource(offset: Val, bytes: number, write = false): Val {
    if (this.long) {
      // The decoder put the offset of the base's field into `base`.
      return this.add(64, this.code.load("i64.load", this.around.field("base"), STATE), offset);
    }
    return this.#checkedLinear(this.around.field("b"), offset, bytes | (write ? ACCESS.write : 0));
  }

  #checkedLinear(segment: Val, offset: Val, flags: number): Val {
    const { functions, record } = this.around;
    const [linear, ok] = this.code.call(functions.segment, ["i64", "i32"], segment, offset, this.i32(flags), record);
    this.exitIf(this.isNot(ok));
    return linear;
  }

  /** Outside 64-bit mode linear addresses have 32 bits. */
  wrapAddress(linear: Val): Val {
    return this.long ? linear : this.and(64, linear, this.i64(0xffffffffn));
  }
  /** Cuts an offset to the address size. */
  offset(value: Val): Val {
    const size = this.variant.addressSize;
    return size === 64 ? value : this.and(64, value, this.i64(size === 32 ? 0xffffffffn : 0xffffn));
  }
  /** A general register as an address: 64 bits, cut to the address size. */
  addressRegister(index: number): Val {
    return this.offset(this.gpr(64, index));
  }
  setAddressRegister(index: number, value: Val): void {
    const size = this.variant.addressSize;
    this.setGpr(size, index, this.trunc(64, size, value));
  }

  // --- memory ---

  /** Address of the TLB entry for a linear address. */
  #tlbEntry(linear: Val): Val {
    const { code } = this;
    const page = code.op("i32.and", code.op("i32.wrap_i64", this.shrU(64, linear, 12)), this.i32(TLB_ENTRIES - 1));
    return code.op("i32.add", this.state32(S.tlb), code.op("i32.mul", page, this.i32(TLB_ENTRY_SIZE)));
  }
  /** An access hits when the page of its last byte stands in the entry that its first byte selects. */
  #hits(linear: Val, entry: Val, bytes: number, tag: number): Val {
    const last = bytes === 1 ? linear : this.add(64, linear, this.i64(bytes - 1));
    return this.code.op("i64.eq", this.and(64, last, this.i64(-4096)), this.code.load("i64.load", entry, tag));
  }
  #host(linear: Val, entry: Val): Val {
    return this.code.op(
      "i32.add",
      this.code.op("i32.wrap_i64", linear),
      this.code.load("i32.load", entry, TLB_ENTRY.addend),
    );
  }
  #slow(index: number, linear: Val, flags: number): void {
    const low = this.code.op("i32.wrap_i64", linear);
    const high = this.code.op("i32.wrap_i64", this.shrU(64, linear, 32));
    const [fault] = this.code.call(index, ["i32"], low, high, this.i32(flags), this.around.record);
    this.exitIf(fault);
  }
  /** Reads `bytes` (1-16) at a linear address by any load instruction of that size. */
  #read(load: string, type: WasmType, bytes: number, linear: Val, stack: boolean): Val {
    const { code } = this;
    const result = code.variable(type);
    const entry = this.#tlbEntry(linear);
    code.if(
      this.#hits(linear, entry, bytes, TLB_ENTRY.read),
      () => result.set(code.load(load, this.#host(linear, entry))),
      () => {
        this.#slow(this.around.functions.slowLoad, linear, bytes | (stack ? ACCESS.stack : 0));
        result.set(this.stateLoad(load, S.result));
      },
    );
    return result.get();
  }
  #write(store: string, bytes: number, linear: Val, value: Val, stack: boolean): void {
    const { code } = this;
    const entry = this.#tlbEntry(linear);
    code.if(
      this.#hits(linear, entry, bytes, TLB_ENTRY.write),
      () => code.store(store, this.#host(linear, entry), value),
      () => {
        this.stateStore(store, S.arguments, value);
        this.#slow(this.around.functions.slowStore, linear, bytes | ACCESS.write | (stack ? ACCESS.stack : 0));
      },
    );
  }
  #readForWrite(load: string, store: string, type: WasmType, bytes: number, linear: Val): Place {
    const { code } = this;
    const result = code.variable(type);
    const host = code.variable("i32", this.i32(0));
    const entry = this.#tlbEntry(linear);
    code.if(
      this.#hits(linear, entry, bytes, TLB_ENTRY.write),
      () => {
        const address = this.#host(linear, entry);
        host.set(address);
        result.set(code.load(load, address));
      },
      () => {
        this.#slow(this.around.functions.slowLoadForWrite, linear, bytes | ACCESS.write);
        result.set(this.stateLoad(load, S.result));
      },
    );
    return {
      value: result.get(),
      store: (value) => {
        const address = host.get();
        code.if(
          address,
          () => code.store(store, address, value),
          () => {
            this.stateStore(store, S.arguments, value);
            this.#slow(this.around.functions.slowStore, linear, bytes | ACCESS.write);
          },
        );
      },
    };
  }

  load(w: Width, linear: Val, stack = false): Val {
    return this.#read(LOAD[w], this.type(w), w / 8, linear, stack);
  }
  store(w: Width, linear: Val, value: Val, stack = false): void {
    this.#write(STORE[w], w / 8, linear, value, stack);
  }
  /** Reads a value that will be written back: faults as a write does, before anything has changed. */
  loadForWrite(w: Width, linear: Val): Place {
    return this.#readForWrite(LOAD[w], STORE[w], this.type(w), w / 8, linear);
  }
  loadVectorForWrite(linear: Val): Place {
    return this.#readForWrite("v128.load", "v128.store", "v128", 16, linear);
  }
  /** 16 bytes; `aligned` raises #GP(0) for an address that is no multiple of 16. */
  loadVector(linear: Val, aligned: boolean): Val {
    if (aligned) this.requireAlignment(linear, 16);
    return this.#read("v128.load", "v128", 16, linear, false);
  }
  storeVector(linear: Val, value: Val, aligned: boolean): void {
    if (aligned) this.requireAlignment(linear, 16);
    this.#write("v128.store", 16, linear, value, false);
  }
  requireAlignment(linear: Val, bytes: number): void {
    this.raiseIf(this.nez(64, this.and(64, linear, this.i64(bytes - 1))), VECTOR.GP, 0);
  }

  // --- the stack ---

  /** The stack pointer cut to the stack's address size. */
  stackPointer(): Val {
    return this.long ? this.gpr(64, 4) : this.and(64, this.gpr(64, 4), this.state64(S.stackMask));
  }
  setStackPointer(value: Val): void {
    if (this.long) return this.setGpr(64, 4, value);
    const mask = this.state64(S.stackMask);
    const kept = this.andNot(64, this.gpr(64, 4), mask);
    this.setGpr(64, 4, this.or(64, kept, this.and(64, value, mask)));
  }
  /** Pushes; RSP changes only after the store has succeeded. */
  push(w: Width, value: Val): void {
    const pointer = this.#stackOffset(this.stackPointer(), -w / 8);
    this.store(w, this.linear(SS, pointer, w / 8, true), value, true);
    this.setStackPointer(pointer);
  }
  /** The value `depth` bytes above the stack pointer. */
  peek(w: Width, depth = 0): Val {
    const pointer = depth ? this.#stackOffset(this.stackPointer(), depth) : this.stackPointer();
    return this.load(w, this.linear(SS, pointer, w / 8, false), true);
  }
  pop(w: Width): Val {
    const value = this.peek(w);
    this.dropStack(this.i64(w / 8));
    return value;
  }
  dropStack(bytes: Val): void {
    this.setStackPointer(this.add(64, this.stackPointer(), bytes));
  }
  /** Stores `depth` bytes below the stack pointer, which stays. */
  storeBelowStack(w: Width, depth: number, value: Val): void {
    this.store(w, this.linear(SS, this.#stackOffset(this.stackPointer(), -depth), w / 8, true), value, true);
  }
  /** Loads from an offset in the stack segment. */
  loadStack(w: Width, offset: Val): Val {
    return this.load(w, this.linear(SS, offset, w / 8, false), true);
  }
  /** Cuts an offset to the stack's address size. */
  stackOffset(offset: Val): Val {
    return this.long ? offset : this.and(64, offset, this.state64(S.stackMask));
  }
  #stackOffset(pointer: Val, delta: number): Val {
    return this.stackOffset(this.add(64, pointer, this.i64(delta)));
  }

  // --- control flow ---

  /** RIP of this instruction plus `bytes`, as an i64 (relative to CS, cut to the operand size outside 64-bit mode). */
  #ip(bytes: Val): Val {
    const start = this.add(64, this.state64(S.page), this.zext(32, 64, this.around.field("ip")));
    const linear = this.add(64, start, bytes);
    if (this.long) return linear;
    return this.and(64, this.sub(64, linear, this.state64(segmentOffset(CS) + SEGMENT.base)), this.i64(0xffffffffn));
  }
  /** RIP of the instruction after this one. */
  nextIp(): Val {
    return this.#ip(this.zext(32, 64, this.around.field("length")));
  }
  /** RIP of this instruction. */
  ip(): Val {
    return this.#ip(this.i64(0));
  }

  /** Takes so many instructions from the budget; gives what is left of it. */
  #spend(instructions: Val): Val {
    const left = this.code.op("i32.sub", this.state32(S.budget), instructions);
    this.setState32(S.budget, left);
    return left;
  }

  /** Counts the instructions of the block before this one, for those who leave it here. */
  countBefore(): void {
    this.#spend(this.code.op("i32.sub", this.around.field("count"), this.i32(1)));
  }

  /** Counts the instructions of the block up to this one; leaves execution at `S.rip` when the budget is used up. */
  #account(): void {
    const left = this.#spend(this.around.field("count"));
    this.code.if(this.code.op("i32.lt_s", left, this.i32(0)), () => this.around.goto(this.i32(0)));
  }

  /** Goes on at RIP = `target`, unchecked, and ends the instruction. */
  jumpUnchecked(target: Val): void {
    this.setState64(S.rip, target);
    this.#account();
    this.around.goto(this.code.call(this.around.functions.lookup, ["i32"])[0]);
  }

  /** A near jump to an address from a register or memory: cut to the operand size and checked. */
  jump(target: Val): void {
    this.checkTarget(target);
    this.jumpUnchecked(target);
  }

  /** Raises #GP(0) for a RIP that is not canonical or lies beyond the limit of CS. */
  checkTarget(target: Val): void {
    if (this.long) {
      const canonical = this.shrS(64, this.shl(64, target, 16), 16);
      this.raiseIf(this.ne(64, canonical, target), VECTOR.GP, 0);
    } else {
      const limit = this.zext(32, 64, this.state32(segmentOffset(CS) + SEGMENT.limit));
      this.raiseIf(this.ltU(64, limit, target), VECTOR.GP, 0);
    }
  }

  /**
   * Between two elements of a repeated instruction: counts one, and leaves execution with RIP at this instruction when
   * the budget is used up.
   */
  leaveWhenOverBudget(): void {
    const left = this.#spend(this.i32(1));
    this.code.if(this.code.op("i32.lt_s", left, this.i32(0)), () => {
      this.countBefore();
      this.setState64(S.rip, this.ip());
      this.around.goto(this.i32(0));
    });
  }

  /** DF as a condition; setting it. */
  direction(): Val {
    return this.bit(32, this.state32(S.systemFlags), 10);
  }
  setDirection(value: 0 | 1): void {
    const flags = this.state32(S.systemFlags);
    const bit = this.i32(FLAG.DF);
    this.setState32(S.systemFlags, value ? this.or(32, flags, bit) : this.andNot(32, flags, bit));
  }

  /** The target of a relative jump: the immediate is its distance from the start of this instruction. */
  relativeTarget(): Val {
    const target = this.#ip(this.immediate(64));
    return this.operandSize === 16 ? this.and(64, target, this.i64(0xffff)) : target;
  }

  /** Jumps to the relative target and ends the instruction. The decoder linked records within a page directly. */
  jumpRelative(): void {
    const { code, around } = this;
    const target = this.relativeTarget();
    if (!this.long) this.checkTarget(target);
    const left = this.#spend(around.field("count"));
    const link = around.field("link");
    code.if(
      code.op("i32.lt_s", left, this.i32(0)),
      () => {
        this.setState64(S.rip, target);
        around.goto(this.i32(0));
      },
      () => {
        code.if(code.op("i32.gt_u", link, this.i32(LINK_LOOKUP)), () => around.goto(link));
        this.setState64(S.rip, target);
        code.if(
          link,
          () => around.goto(code.call(around.functions.lookup, ["i32"])[0]),
          () => around.goto(code.call(around.functions.link, ["i32"], around.record)[0]),
        );
      },
    );
  }

  /** Runs `body` when the condition holds. Values made inside must not be used outside. */
  if(condition: Val, body: () => void, otherwise?: () => void): void {
    this.code.if(condition, body, otherwise);
  }
  variable(w: Width, initial: Val): Variable {
    return this.code.variable(this.type(w), initial);
  }

  /** Leaves the instruction when a callee has already set the new state. */
  exitIf(condition: Val): void {
    this.code.if(condition, () => this.exit());
  }
  exit(): void {
    this.around.goto(this.code.call(this.around.functions.lookup, ["i32"])[0]);
  }

  /** Raises an exception at this instruction, with an error code where the vector has one. */
  raise(vector: number, errorCode = 0): void {
    this.code.call(this.around.functions.raise, [], this.i32(vector), this.i32(errorCode), this.around.record);
    this.exit();
  }
  raiseIf(condition: Val, vector: number, errorCode = 0): void {
    this.code.if(condition, () => this.raise(vector, errorCode));
  }

  // --- helpers ---

  /**
   * Calls a helper written in TypeScript. Arguments of any type go through `S.arguments`, 16 bytes each. When the helper
   * raised an exception or set a new RIP, the instruction ends here.
   */
  call(name: HelperName, ...inputs: Val[]): void {
    inputs.forEach((input, index) => {
      this.stateStore(`${input.type}.store`, S.arguments + index * 16, input);
    });
    const [over] = this.code.call(
      this.around.functions.helper,
      ["i32"],
      this.i32(helperNumber(name)),
      this.around.record,
    );
    this.exitIf(over);
  }
  /** What the last helper left in `S.result`, 16 bytes each. */
  result(w: Width, index = 0): Val {
    return this.stateLoad(LOAD[w], S.result + index * 16);
  }
  resultVector(index = 0): Val {
    return this.stateLoad("v128.load", S.result + index * 16);
  }

  /** Goes to the next record of the block. */
  next(): void {
    this.around.next();
  }
}

const LOAD: Record<Width, string> = { 8: "i32.load8_u", 16: "i32.load16_u", 32: "i32.load", 64: "i64.load" };
const STORE: Record<Width, string> = { 8: "i32.store8", 16: "i32.store16", 32: "i32.store", 64: "i64.store" };
