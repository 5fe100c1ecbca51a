import type { FlagsCodec } from "./flags-codec.js";
import { CS, S, SEGMENT, STATE, STATE_SIZE, segmentOffset } from "./layout.js";

/**
 * The architectural state of a CPU, as it lies in WebAssembly memory: typed access by the offsets in `S`.
 *
 * 64-bit values are bigints, unsigned; 32-bit values are unsigned numbers.
 */
export class State {
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  readonly i32: Int32Array;
  readonly u64: BigUint64Array;

  constructor(
    readonly buffer: ArrayBufferLike,
    /** Arithmetic flags are kept in pieces that generated code defines; this converts them. */
    readonly flags: FlagsCodec,
  ) {
    this.u8 = new Uint8Array(buffer);
    this.u16 = new Uint16Array(buffer);
    this.u32 = new Uint32Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.u64 = new BigUint64Array(buffer);
  }

  get32(offset: number): number {
    return this.u32[(STATE + offset) >> 2];
  }
  set32(offset: number, value: number): void {
    this.u32[(STATE + offset) >> 2] = value;
  }
  get64(offset: number): bigint {
    return this.u64[(STATE + offset) >> 3];
  }
  set64(offset: number, value: bigint): void {
    this.u64[(STATE + offset) >> 3] = value;
  }
  /** The low and high halves of a 64-bit field, for code that must not allocate. */
  low(offset: number): number {
    return this.u32[(STATE + offset) >> 2];
  }
  high(offset: number): number {
    return this.u32[(STATE + offset + 4) >> 2];
  }

  /** RFLAGS as software sees it. */
  get rflags(): number {
    return (this.flags.get() | this.get32(S.systemFlags) | 2) >>> 0;
  }
  /** Sets all of RFLAGS; reserved bits are ignored. The caller updates whatever depends on it (mode, interrupts). */
  set rflags(value: number) {
    this.flags.set(value);
    this.set32(S.systemFlags, value & SYSTEM_FLAGS);
  }

  selector(segment: number): number {
    return this.get32(segmentOffset(segment) + SEGMENT.selector);
  }
  base(segment: number): bigint {
    return this.get64(segmentOffset(segment) + SEGMENT.base);
  }
  limit(segment: number): number {
    return this.get32(segmentOffset(segment) + SEGMENT.limit);
  }
  /** Attributes as in the second word of a descriptor: bits 8-15 (type, S, DPL, P) and 20-23 (AVL, L, D/B, G). */
  attributes(segment: number): number {
    return this.get32(segmentOffset(segment) + SEGMENT.attributes);
  }
  setSegment(segment: number, selector: number, base: bigint, limit: number, attributes: number): void {
    const offset = segmentOffset(segment);
    this.set32(offset + SEGMENT.selector, selector);
    this.set64(offset + SEGMENT.base, BigInt.asUintN(64, base));
    this.set32(offset + SEGMENT.limit, limit);
    this.set32(offset + SEGMENT.attributes, attributes);
  }

  /** Current privilege level: DPL of SS, which the processor keeps equal to CPL (SDM vol. 3, 5.5). */
  get cpl(): number {
    return (this.attributes(2) >> 13) & 3;
  }
  get codeIs64(): boolean {
    return (this.get32(S.efer) & 0x400) !== 0 && (this.attributes(CS) & (1 << 21)) !== 0;
  }

  /** A copy of the whole state. */
  save(): Uint8Array {
    return this.u8.slice(STATE, STATE + STATE_SIZE);
  }
  /** Puts a saved state back. The caller flushes what was derived from the old one. */
  load(saved: Uint8Array): void {
    if (saved.length !== STATE_SIZE) throw new RangeError(`a CPU state has ${STATE_SIZE} bytes, not ${saved.length}`);
    this.u8.set(saved, STATE);
  }
}

/** RFLAGS bits kept in `S.systemFlags`: TF IF DF IOPL NT RF VM AC VIF VIP ID. */
export const SYSTEM_FLAGS = 0x003f7700;
