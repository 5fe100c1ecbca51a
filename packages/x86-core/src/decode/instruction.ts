import { FS, GS, S, SEGMENT, segmentOffset } from "../state/layout.js";
import type { Row } from "../table/row.js";
import { MODE } from "./mode.js";
import { type OpcodeTables, PREFIX } from "./opcode-tables.js";

/** Bytes past which an instruction raises #GP (SDM vol. 2, 2.3.11). */
const MAX_LENGTH = 15;

/** Where the bytes come from: `byte` may throw to say that there are no more. */
export interface CodeBytes {
  bytes: Uint8Array;
  position: number;
  /** First position that must not be read. */
  limit: number;
}

/** Thrown by `decode` when the bytes end before the instruction does. */
export const OUT_OF_BYTES = { reason: "out of bytes" };
/** Thrown inside `decode` for bytes that are no instruction. */
const UNDEFINED = { reason: "undefined" };
const TOO_LONG = { reason: "too long" };

/** One decoded instruction. The object is reused. */
export class Instruction {
  row!: Row;
  length = 0;
  operandSize: 16 | 32 | 64 = 32;
  addressSize: 16 | 32 | 64 = 32;
  memory = false;
  /** State offsets of register operands, by field. */
  a = 0;
  b = 0;
  c = 0;
  /** Parts of the memory operand: state offsets of base and index, shift, displacement. */
  base: number = S.zero;
  index: number = S.zero;
  scale = 0;
  displacement = 0;
  /** The address is relative to the next instruction (64-bit mode). */
  ripRelative = false;
  /** Segment of the memory operand. */
  segment = 3;
  immediate = 0n;
  /** `c` holds a second immediate. */
  secondImmediate = false;
  /** 6, 13 or 0: the exception that decoding found. */
  vector = 0;
}

/** Decodes single instructions against a set of opcode tables. */
export class InstructionDecoder {
  readonly result = new Instruction();
  #code!: CodeBytes;
  #start = 0;
  #rex = 0;
  #modrm = -1;
  #mode = 0;

  constructor(readonly tables: OpcodeTables) {}

  /**
   * Decodes the instruction at `code.position`. The result's `vector` is not 0 when it raises an exception instead;
   * throws `OUT_OF_BYTES` when the limit comes first.
   */
  decode(code: CodeBytes, mode: number): Instruction {
    const i = this.result;
    this.#code = code;
    this.#start = code.position;
    this.#mode = mode;
    i.vector = 0;
    try {
      this.#decode();
    } catch (error) {
      if (error === UNDEFINED) i.vector = 6;
      else if (error === TOO_LONG) i.vector = 13;
      else throw error;
    }
    i.length = Math.min(code.position - this.#start, MAX_LENGTH);
    return i;
  }

  #byte(): number {
    const code = this.#code;
    if (code.position - this.#start >= MAX_LENGTH) throw TOO_LONG;
    if (code.position >= code.limit) throw OUT_OF_BYTES;
    return code.bytes[code.position++];
  }

  #decode(): void {
    const i = this.result;
    const long = (this.#mode & MODE.LONG) !== 0;
    let operandPrefix = false;
    let addressPrefix = false;
    let repeat = 0;
    let lock = false;
    let segment = -1;
    let rex = 0;
    let byte: number;
    for (;;) {
      byte = this.#byte();
      if (byte === 0x66) operandPrefix = true;
      else if (byte === 0x67) addressPrefix = true;
      else if (byte === 0xf2 || byte === 0xf3) repeat = byte;
      else if (byte === 0xf0) lock = true;
      else if (byte === 0x26 || byte === 0x2e || byte === 0x36 || byte === 0x3e) {
        // ES, CS, SS and DS prefixes are ignored in 64-bit mode, also after FS or GS.
        if (!long) segment = (byte >> 3) & 3;
      } else if (byte === 0x64 || byte === 0x65) segment = byte - 0x60;
      else if (long && (byte & 0xf0) === 0x40) {
        rex = byte;
        continue;
      } else break;
      // REX counts only directly before the opcode.
      rex = 0;
    }

    let map = 0;
    let vex = false;
    let vexW = 0;
    let vvvv = 0;
    let prefixClass =
      repeat === 0xf3 ? PREFIX.xF3 : repeat === 0xf2 ? PREFIX.xF2 : operandPrefix ? PREFIX.x66 : PREFIX.none;
    if ((byte === 0xc4 || byte === 0xc5) && !(this.#mode & MODE.NO_VEX) && (long || this.#peek() >= 0xc0)) {
      if (rex || operandPrefix || repeat || lock) throw UNDEFINED;
      vex = true;
      const first = this.#byte();
      let second = first & 0x7f;
      map = 1;
      rex = 0x40 | (first & 0x80 ? 0 : 4);
      if (byte === 0xc4) {
        map = first & 0x1f;
        if (map < 1 || map > 3) throw UNDEFINED;
        rex |= (first & 0x40 ? 0 : 2) | (first & 0x20 ? 0 : 1);
        second = this.#byte();
        vexW = second >> 7;
      }
      if (!long) rex = 0x40;
      vvvv = (~second >> 3) & (long ? 15 : 7);
      // Vector length 1 belongs to AVX, which no model has.
      if (second & 4) throw UNDEFINED;
      prefixClass = [PREFIX.none, PREFIX.x66, PREFIX.xF3, PREFIX.xF2][second & 3];
      byte = this.#byte();
    } else if (byte === 0x0f) {
      map = 1;
      byte = this.#byte();
      if (byte === 0x38 || byte === 0x3a) {
        map = byte === 0x38 ? 2 : 3;
        byte = this.#byte();
      }
    }

    this.#rex = rex;
    this.#modrm = -1;
    const row = this.#choose(this.tables.find(map, vex, prefixClass, byte), long, vexW, vvvv);
    i.row = row;
    const rexW = vex ? vexW && long : rex & 8;
    const { size } = row.options;
    i.operandSize = long
      ? size === "f64"
        ? 64
        : rexW
          ? 64
          : operandPrefix && !vex
            ? 16
            : size === "d64"
              ? 64
              : 32
      : ((this.#mode & MODE.CODE32) !== 0) !== (operandPrefix && !vex)
        ? 32
        : 16;
    i.addressSize = long ? (addressPrefix ? 32 : 64) : ((this.#mode & MODE.CODE32) !== 0) !== addressPrefix ? 32 : 16;
    i.base = S.zero;
    i.index = S.zero;
    i.scale = 0;
    i.displacement = 0;
    i.ripRelative = false;
    i.segment = 3;
    i.a = i.b = i.c = 0;
    i.secondImmediate = false;
    i.immediate = 0n;
    i.memory = false;

    if (row.modrm) {
      const modrm = this.#modrm >= 0 ? this.#modrm : this.#byte();
      this.#modrm = modrm;
      const { traits } = row;
      if (modrm < 0xc0 && (traits.memory || !traits.hasRm) && !traits.ignoresMod) {
        i.memory = traits.memory;
        this.#memoryOperand(modrm, long);
      }
    }
    if (segment >= 0) i.segment = segment;
    if (lock && !(row.options.lock && i.memory)) throw UNDEFINED;
    this.#operands(row, byte, vvvv);
    this.#checkUnit(row);
  }

  #peek(): number {
    const code = this.#code;
    if (code.position >= code.limit) throw OUT_OF_BYTES;
    return code.bytes[code.position];
  }

  #choose(candidates: readonly Row[] | undefined, long: boolean, vexW: number, vvvv: number): Row {
    if (!candidates) throw UNDEFINED;
    for (const row of candidates) {
      const { mode } = row.options;
      if (mode && (mode === "only64") !== long) continue;
      if (row.options.withoutRexB && this.#rex & 1) continue;
      if (row.vex && row.vex.w !== undefined && row.vex.w !== vexW) continue;
      if (row.vex && vvvv !== 0 && !row.traits.usesVvvv) continue;
      if (row.modrm) {
        if (this.#modrm < 0) this.#modrm = this.#byte();
        const modrm = this.#modrm;
        if (row.digit !== undefined && row.digit !== ((modrm >> 3) & 7)) continue;
        if (row.fixedModrm !== undefined && row.fixedModrm !== modrm) continue;
        const { traits } = row;
        if (traits.hasRm && !traits.ignoresMod && !(modrm >= 0xc0 ? traits.register : traits.memory)) continue;
      }
      return row;
    }
    throw UNDEFINED;
  }

  /** ModRM, SIB and displacement (SDM vol. 2, 2.1.5). */
  #memoryOperand(modrm: number, long: boolean): void {
    const i = this.result;
    const mod = modrm >> 6;
    if (i.addressSize === 16) return this.#memoryOperand16(mod, modrm & 7);
    let base = modrm & 7;
    let displacementSize = mod === 1 ? 1 : mod === 2 ? 4 : 0;
    let hasBase = true;
    if (base === 4) {
      const sib = this.#byte();
      base = sib & 7;
      const index = ((sib >> 3) & 7) | (this.#rex & 2 ? 8 : 0);
      if (index !== 4) {
        i.index = S.gpr + index * 8;
        i.scale = sib >> 6;
      }
      if (base === 5 && mod === 0) {
        hasBase = false;
        displacementSize = 4;
      }
    } else if (base === 5 && mod === 0) {
      hasBase = false;
      displacementSize = 4;
      i.ripRelative = long;
    }
    if (hasBase) {
      if (this.#rex & 1) base |= 8;
      i.base = S.gpr + base * 8;
      if (base === 4 || base === 5) i.segment = 2;
    }
    if (displacementSize === 1) i.displacement = (this.#byte() << 24) >> 24;
    else if (displacementSize === 4) i.displacement = Number(this.#signed(4));
  }

  #memoryOperand16(mod: number, rm: number): void {
    const i = this.result;
    const register = (index: number) => S.gpr + index * 8;
    if (mod === 0 && rm === 6) {
      i.displacement = Number(this.#signed(2));
      return;
    }
    const [base, index] = SIXTEEN[rm];
    i.base = register(base);
    if (index >= 0) i.index = register(index);
    if (base === 5) i.segment = 2;
    if (mod === 1) i.displacement = (this.#byte() << 24) >> 24;
    else if (mod === 2) i.displacement = Number(this.#signed(2));
  }

  /** A little-endian signed number. */
  #signed(bytes: number): bigint {
    let low = 0;
    let high = 0;
    for (let index = 0; index < bytes; index++) {
      if (index < 4) low |= this.#byte() << (index * 8);
      else high |= this.#byte() << ((index - 4) * 8);
    }
    if (bytes === 8) return BigInt.asIntN(64, (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0));
    const unused = 32 - bytes * 8;
    return BigInt((low << unused) >> unused);
  }

  #operands(row: Row, opcode: number, vvvv: number): void {
    const i = this.result;
    const rex = this.#rex;
    const modrm = this.#modrm;
    let immediates = 0;
    for (const operand of row.operands) {
      let index: number;
      switch (operand.place) {
        case "fixed":
        case "one":
          continue;
        case "immediate": {
          const bytes =
            operand.size === "b"
              ? 1
              : operand.size === "w"
                ? 2
                : operand.size === "v"
                  ? i.operandSize / 8
                  : Math.min(i.operandSize / 8, 4);
          const value = this.#signed(bytes);
          if (immediates++ === 0) i.immediate = value;
          else {
            i.c = Number(value & 0xffffn);
            i.secondImmediate = true;
          }
          continue;
        }
        case "relative": {
          const bytes = operand.size === "b" ? 1 : i.operandSize === 16 ? 2 : 4;
          const distance = this.#signed(bytes);
          i.immediate = distance + BigInt(this.#code.position - this.#start);
          continue;
        }
        case "moffs":
          i.immediate = BigInt.asUintN(i.addressSize, this.#signed(i.addressSize / 8));
          continue;
        case "opcode":
          index = (opcode & 7) | (rex & 1 ? 8 : 0);
          break;
        case "vvvv":
          index = vvvv;
          break;
        case "reg":
          index = ((modrm >> 3) & 7) | (rex & 4 ? 8 : 0);
          break;
        case "rm":
          if (i.memory) continue;
          index = (modrm & 7) | (rex & 1 ? 8 : 0);
          break;
      }
      let value: number;
      switch (operand.file) {
        case "gpr":
          // Without REX, byte registers 4-7 are AH CH DH BH.
          value =
            operand.size === "b" && index >= 4 && index < 8 && !rex ? S.gpr + (index - 4) * 8 + 1 : S.gpr + index * 8;
          break;
        case "xmm":
          value = S.xmm + index * 16;
          break;
        case "mmx":
          value = S.fpr + (index & 7) * 16;
          break;
        case "segment":
          value = index & 7;
          // Before the segment of a memory operand is looked at.
          if (value > GS) throw UNDEFINED;
          break;
        case "control":
        case "debug":
          value = index;
          break;
        case "x87":
          value = modrm & 7;
          break;
      }
      if (operand.field === "a") i.a = value;
      else if (operand.field === "b") i.b = value;
      else i.c = value;
    }
    if (row.options.unit === "x87") this.#x87(modrm, opcode);
  }

  /**
   * What x87 instructions leave in the instruction and data pointers: the immediate is the 11-bit opcode, `a` and `b`
   * the offsets of the operand's segment base and selector.
   */
  #x87(modrm: number, opcode: number): void {
    const i = this.result;
    i.immediate = BigInt(((opcode & 7) << 8) | modrm);
    if (!i.memory) return;
    i.a = this.#mode & MODE.LONG ? longModeBase(i.segment) : segmentOffset(i.segment) + SEGMENT.base;
    i.b = segmentOffset(i.segment) + SEGMENT.selector;
  }

  #checkUnit(row: Row): void {
    const { unit } = row.options;
    if (!unit) return;
    const mode = this.#mode;
    if (unit === "x87") {
      if (mode & MODE.X87_NM) this.result.vector = 7;
    } else if (mode & (unit === "mmx" ? MODE.MMX_UD : MODE.SSE_UD)) this.result.vector = 6;
    else if (mode & MODE.TASK_SWITCHED) this.result.vector = 7;
  }
}

/** Base and index of the 16-bit addressing forms: BX+SI BX+DI BP+SI BP+DI SI DI BP BX. */
const SIXTEEN: readonly (readonly [number, number])[] = [
  [3, 6],
  [3, 7],
  [5, 6],
  [5, 7],
  [6, -1],
  [7, -1],
  [5, -1],
  [3, -1],
];

/** State offset of the base of a segment that has one in 64-bit mode, else of the zero register. */
export function longModeBase(segment: number): number {
  return segment === FS || segment === GS ? segmentOffset(segment) + SEGMENT.base : S.zero;
}
