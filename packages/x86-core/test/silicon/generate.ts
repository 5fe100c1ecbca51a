import { accessBytes } from "../../src/semantics/instruction.js";
import type { Operand } from "../../src/table/operands.js";
import type { Row } from "../../src/table/row.js";
import { type Address, type Encoding, encode } from "./encode.js";
import {
  type CaseBuffer,
  CODE_ADDRESS,
  FIELD,
  FX,
  GS_BASE,
  READ_ONLY_ADDRESS,
  RECORD_BYTES,
  UNMAPPED_ADDRESS,
  WINDOW_ADDRESS,
  WINDOW_MIDDLE,
  WINDOW_SIZE,
} from "./layout.js";
import type { Random } from "./random.js";
import type { Shape } from "./shapes.js";
import { double, extended, type Filler, INTEGERS, integer64, single, vector } from "./values.js";

/** Where instructions stand: away from the page's ends, and a few so that they cross into the next page. */
const PLACE = CODE_ADDRESS + 0x800;
const CROSSING = CODE_ADDRESS + 0x1000;

const GS_PREFIX = 0x65;

const RAX = 0;
const RCX = 1;
const RDX = 2;
const RBX = 3;
const RSP = 4;
const RBP = 5;
const RSI = 6;
const RDI = 7;

/** What the elements of a row's vectors and memory operands are. */
function fillerOf(row: Row): Filler {
  const name = row.mnemonic;
  const source = /^CVTT?(..)2/.exec(name)?.[1];
  const kind = source ?? name.slice(-2);
  if (row.options.unit === "x87") return /^FI|^FB/.test(name) ? vector.integer : x87Memory(row);
  if (name.startsWith("PCMP") && name.includes("STR")) return vector.bytes;
  if (row.options.unit === "sse" && /^(PS|SS)$/.test(kind) && !/^P/.test(name)) return vector.single;
  if (row.options.unit === "sse" && /^(PD|SD)$/.test(kind) && !/^P/.test(name)) return vector.double;
  return (random, u8, offset) => random.pick([vector.bytes, vector.integer])(random, u8, offset);
}
function x87Memory(row: Row): Filler {
  const size = row.operands.find((operand) => operand.place === "rm")?.size;
  if (size === "d") return single;
  if (size === "q") return double;
  return extended;
}

/** Makes cases of one shape. */
export class CaseMaker {
  readonly #row: Row;
  readonly #filler: Filler;
  readonly #accessBytes: number;
  readonly #rm: Operand | undefined;
  readonly #usesFx: boolean;
  /** The last case's instruction, and where it stood. */
  #last: { encoding: Encoding; rip: number } | undefined;

  constructor(
    readonly shape: Shape,
    readonly random: Random,
    readonly pool: Pool,
  ) {
    this.#row = shape.row;
    this.#filler = fillerOf(shape.row);
    this.#rm = shape.row.operands.find((operand) => operand.place === "rm");
    const known = this.#rm && this.#rm.form !== "offset" && !(this.#rm.form === "address" && this.#rm.size === "none");
    this.#accessBytes = known ? accessBytes(this.#rm!, shape.operandSize) : 0;
    this.#usesFx = shape.row.options.unit !== undefined || shape.row.operands.some((operand) => operand.file !== "gpr");
  }

  /** Fills case `number` of the buffer; unless `fresh`, with the instruction of the last case and other values. */
  make(cases: CaseBuffer, number: number, fresh = true): void {
    const { random, shape } = this;
    const row = this.#row;
    const { bytes, u32 } = cases;
    const at = number * RECORD_BYTES;
    const gpr = at + FIELD.gpr;
    const registers = shape.long ? 16 : 8;
    for (let i = 0; i < 16; i++) {
      if (i < registers) integer64(random, bytes, gpr + i * 8);
      if (!shape.long) u32[((gpr + i * 8) >> 2) + 1] = 0;
      if (i >= registers) u32[(gpr + i * 8) >> 2] = 0;
    }
    const set = (register: number, value: number, high = value < 0 ? 0xffffffff : 0) =>
      cases.set64(gpr + register * 8, value, shape.long ? high : 0);
    set(RSP, WINDOW_ADDRESS + 64 + 8 * random.below(48) + (random.oneIn(8) ? random.below(8) : 0));

    bytes.set(this.pool.window(random), at + FIELD.window);
    const again = fresh ? undefined : this.#last;
    const rip = again ? again.rip : random.oneIn(64) ? CROSSING - 1 - random.below(4) : PLACE;
    cases.set64(at + FIELD.rip, rip, 0);
    const flags =
      0x202 |
      (random.u32() & 0x8d5) |
      (random.oneIn(4) ? 0x400 : 0) |
      (random.oneIn(40) ? 0x40000 : 0) |
      (random.oneIn(80) ? 0x100 : 0);
    cases.set64(at + FIELD.rflags, flags, 0);
    u32[(at + FIELD.compatibility) >> 2] = shape.long ? 0 : 1;

    const encoding = again?.encoding ?? this.#encoding(registers);
    if (row.operands.length === 0 || row.options.addressSized) this.#implicitAddresses(set);
    if (shape.memory) {
      const bitTest = /^BT/.test(row.mnemonic) && !row.operands.some((operand) => operand.place === "immediate");
      const target = bitTest ? WINDOW_MIDDLE - 64 + random.below(128) : this.#target();
      encoding.memory ??= this.#address(encoding, target);
      this.#aim(encoding.memory, encoding, target, set);
      this.#fillOperand(cases, at, encoding.memory.target);
    }
    this.#special(cases, at, encoding, set);
    if (!again) this.#immediates(encoding);
    this.#last = { encoding, rip };
    const length = encode(row, encoding, bytes, at + FIELD.code);
    u32[(at + FIELD.codeLength) >> 2] = length;
    if (encoding.memory?.ripRelative) {
      // The encoder aimed from its own position in the buffer: aim from where the instruction will stand.
      encode(
        row,
        { ...encoding, memory: { ...encoding.memory, target: encoding.memory.target - rip } },
        bytes,
        at + FIELD.code,
      );
    }
    this.#floating(cases, at, encoding);
  }

  #encoding(registers: number): Encoding {
    const { random, shape } = this;
    const row = this.#row;
    const register = () => random.below(registers);
    const lockable = row.options.lock && shape.memory;
    const prefixes: number[] = [];
    if (lockable ? random.oneIn(3) : random.oneIn(200)) prefixes.push(0xf0);
    if (shape.long && random.oneIn(40)) prefixes.push(random.pick([0x2e, 0x36, 0x3e, 0x26]));
    const segment = row.operands.some((operand) => operand.file === "segment");
    return {
      long: shape.long,
      operandSize: shape.operandSize,
      short: (shape.memory || row.options.addressSized === true) && random.oneIn(shape.long ? 10 : 20),
      prefixes,
      reg: segment ? random.below(8) : register(),
      rm: register(),
      opcodeRegister: row.options.withoutRexB ? random.below(8) : register(),
      vvvv: row.operands.some((operand) => operand.place === "vvvv") ? register() : 0,
      memory: undefined,
      bareRex: shape.long && random.oneIn(3),
      immediates: [],
    };
  }

  /** An address for an access of this row: mostly in the window, sometimes where it faults. */
  #target(): number {
    const { random } = this;
    const size = this.#accessBytes;
    const kind = random.below(100);
    if (size > 0) {
      // A smaller distance than the access has bytes, so that it crosses the edge.
      if (kind < 2) return READ_ONLY_ADDRESS - random.below(size);
      if (kind < 4) return UNMAPPED_ADDRESS - random.below(size);
      if (kind === 4) return UNMAPPED_ADDRESS + random.below(4000);
      if (kind < 10) return WINDOW_MIDDLE - random.below(size + 1);
    }
    const room = Math.max(size, 16);
    if (this.#rm?.form === "address" && size === 0)
      return WINDOW_ADDRESS + (random.oneIn(2) ? 0 : 16 * random.below(24));
    const offset = random.below(WINDOW_SIZE - room);
    const aligned = this.#row.options.aligned ? !random.oneIn(12) : random.oneIn(2);
    return WINDOW_ADDRESS + (aligned ? offset & ~15 : offset);
  }

  /** Chooses a form of address. One without registers points at the target already. */
  #address(encoding: Encoding, target: number): Address {
    const { random, shape } = this;
    // Nothing is mapped where 16-bit addresses reach: the address in CR2 is what is compared.
    if (encoding.short && !shape.long) {
      const sixteen = random.below(8);
      return { base: -1, index: -1, scale: 0, displacement: random.u32(), ripRelative: false, target: 0, sixteen };
    }
    const gs = random.oneIn(20) && shape.long;
    if (gs) encoding.prefixes.push(GS_PREFIX);
    const wanted = gs ? target - GS_BASE : target;
    const none = { base: -1, index: -1, scale: 0, displacement: 0, ripRelative: false, target };
    const kind = random.below(20);
    if (kind === 0) return { ...none, displacement: wanted | 0 };
    if (kind <= 2 && shape.long && !encoding.short && !gs) return { ...none, ripRelative: true };
    const registers = shape.long ? 16 : 8;
    const base = random.below(registers);
    const displacement = kind < 8 ? 0 : kind < 14 ? random.below(256) - 128 : random.u32() | 0;
    const address: Address = { ...none, base, displacement };
    if (random.oneIn(3)) {
      const index = random.below(registers);
      if (index !== RSP && index !== base) {
        address.index = index;
        address.scale = random.below(4);
      }
    }
    return address;
  }

  /** Gives the registers of an address the values that make it point at a target. */
  #aim(
    address: Address,
    encoding: Encoding,
    target: number,
    set: (register: number, value: number, high?: number) => void,
  ): void {
    const { random, shape } = this;
    if (address.base < 0) return;
    address.target = target;
    let rest = (encoding.prefixes.includes(GS_PREFIX) ? target - GS_BASE : target) - address.displacement;
    if (address.index >= 0) {
      const value = random.oneIn(2) ? random.below(64) : -random.below(64);
      set(address.index, value);
      rest -= value * 2 ** address.scale;
    }
    // With 32-bit addresses the upper halves do not matter.
    if (encoding.short) set(address.base, rest, random.u32());
    else if (random.oneIn(60) && shape.long) set(address.base, rest, 0x12345678);
    else set(address.base, rest, Math.floor(rest / 4294967296) >>> 0);
  }

  /** Puts a value of the row's kind where the memory operand is, if that is in the window. */
  #fillOperand(cases: CaseBuffer, at: number, target: number): void {
    const inWindow = target >= WINDOW_ADDRESS && target + 16 <= WINDOW_ADDRESS + WINDOW_SIZE;
    if (inWindow) this.#filler(this.random, cases.bytes, at + FIELD.window + target - WINDOW_ADDRESS);
  }

  /** Registers of instructions that address memory without a ModRM byte. */
  #implicitAddresses(set: (register: number, value: number, high?: number) => void): void {
    const { random } = this;
    const place = () => {
      const kind = random.below(30);
      if (kind === 0) return READ_ONLY_ADDRESS - random.below(9);
      if (kind === 1) return WINDOW_MIDDLE - random.below(17);
      return WINDOW_ADDRESS + 120 + random.below(WINDOW_SIZE - 376);
    };
    for (const register of [RBX, RBP, RSI, RDI]) set(register, place());
    if (/^REP/.test(this.#row.mnemonic) || random.oneIn(3)) set(RCX, random.below(8));
    if (this.#row.mnemonic.includes("PUSH")) set(RBP, random.u32());
  }

  /** Values without which an instruction would nearly always do the same thing. */
  #special(
    cases: CaseBuffer,
    at: number,
    encoding: Encoding,
    set: (register: number, value: number, high?: number) => void,
  ): void {
    const { random, shape } = this;
    const { bytes, u32 } = cases;
    const name = this.#row.mnemonic;
    const gpr = at + FIELD.gpr;
    const { memory } = encoding;
    const window = at + FIELD.window;
    const operandAt = memory && memory.target >= WINDOW_ADDRESS ? memory.target - WINDOW_ADDRESS : -1;
    const inWindow = operandAt >= 0 && operandAt <= WINDOW_SIZE - 16;
    const codeTarget = PLACE + 64 + random.below(128);
    const uses = (register: number) => memory && (memory.base === register || memory.index === register);

    if (/^BT/.test(name) && memory && !uses(encoding.reg)) {
      const bits = shape.operandSize;
      const value = random.below(1200) - 600;
      if (!this.#row.operands.some((operand) => operand.place === "immediate")) {
        cases.set64(gpr + encoding.reg * 8, value, shape.long ? value >> 31 : 0);
        if (bits === 16 && shape.long) u32[((gpr + encoding.reg * 8) >> 2) + 1] = random.u32();
      }
    } else if (/^I?DIV$/.test(name) && !random.oneIn(3) && !uses(RDX) && !uses(RAX)) {
      set(RDX, random.oneIn(2) ? 0 : random.below(16));
      if (random.oneIn(2)) set(RAX, random.below(0x7fff));
    } else if (name.startsWith("CMPXCHG") && random.oneIn(2)) {
      const wide = name !== "CMPXCHG";
      const half = wide && shape.operandSize !== 64 ? 4 : 8;
      if (inWindow && !uses(RAX) && !uses(RDX)) {
        bytes.copyWithin(gpr, window + operandAt, window + operandAt + half);
        if (wide) bytes.copyWithin(gpr + RDX * 8, window + operandAt + half, window + operandAt + 2 * half);
      } else if (!memory) bytes.copyWithin(gpr, gpr + encoding.rm * 8, gpr + encoding.rm * 8 + 8);
      if (!shape.long) u32[(gpr >> 2) + 1] = u32[((gpr + RDX * 8) >> 2) + 1] = 0;
    } else if (name.startsWith("PCMPESTR") && !random.oneIn(4)) {
      if (!uses(RAX)) set(RAX, random.below(40) - 20);
      if (!uses(RDX)) set(RDX, random.below(40) - 20);
    } else if (/^(LOOP|JCXZ)/.test(name) && random.oneIn(2)) set(RCX, random.below(3));
    else if (/^(JMP|CALL|RET)$/.test(name) && !random.oneIn(6)) {
      if (inWindow) {
        new DataView(bytes.buffer).setUint32(window + operandAt, codeTarget, true);
        new DataView(bytes.buffer).setUint32(window + operandAt + 4, 0, true);
      } else if (this.#rm && !memory && encoding.rm !== RSP) set(encoding.rm, codeTarget);
      if (name === "RET") this.#putOnStack(cases, at, codeTarget);
    } else if (name === "LEAVE") set(RBP, WINDOW_ADDRESS + 64 + random.below(300));
  }

  #putOnStack(cases: CaseBuffer, at: number, value: number): void {
    const offset = cases.u32[(at + FIELD.gpr + RSP * 8) >> 2] - WINDOW_ADDRESS;
    const view = new DataView(cases.bytes.buffer);
    view.setUint32(at + FIELD.window + offset, value, true);
    view.setUint32(at + FIELD.window + offset + 4, 0, true);
  }

  #immediates(encoding: Encoding): void {
    const { random, shape } = this;
    const row = this.#row;
    for (const operand of row.operands) {
      if (operand.place === "immediate") {
        const bytes =
          operand.size === "b"
            ? 1
            : operand.size === "w"
              ? 2
              : operand.size === "v"
                ? shape.operandSize / 8
                : Math.min(shape.operandSize / 8, 4);
        let value = random.oneIn(2) ? random.pick(INTEGERS) : BigInt(random.u32()) * 0x100000001n;
        if (row.mnemonic === "ENTER") value = BigInt(random.below(bytes === 1 ? 5 : 48));
        if (row.mnemonic === "RET" && random.oneIn(2)) value = BigInt(random.below(64));
        // 0x80 is a system call.
        if (row.mnemonic === "INT" && (value & 0xffn) === 0x80n) value = 0x81n;
        encoding.immediates.push({ value, bytes });
      } else if (operand.place === "relative") {
        const bytes = operand.size === "b" ? 1 : shape.operandSize === 16 ? 2 : 4;
        const far = bytes === 4 && random.oneIn(20);
        // Neither to itself nor into itself: that would not end, or run something else.
        const distance = far ? random.u32() | 0 : random.oneIn(2) ? random.below(112) : -20 - random.below(100);
        encoding.immediates.push({ value: BigInt(distance), bytes });
      } else if (operand.place === "moffs") {
        const bytes = !shape.long ? (encoding.short ? 2 : 4) : encoding.short ? 4 : 8;
        encoding.immediates.push({ value: BigInt(this.#target()), bytes });
      }
    }
  }

  /** x87, MMX and SSE state. */
  #floating(cases: CaseBuffer, at: number, encoding: Encoding): void {
    const { random } = this;
    const row = this.#row;
    const { bytes, u16, u32 } = cases;
    const fx = at + FIELD.fx;
    bytes.set(this.pool.fx, fx);
    if (!this.#usesFx) return;
    const unit = row.options.unit;
    const kind = random.below(10);
    let mxcsr =
      kind < 4 ? 0x1fa0 : kind < 6 ? 0x1f80 : kind < 8 ? 0x1f80 | (random.u32() & 0xe07f) : random.u32() & 0xffff;
    // Unmasked exceptions on one case in ten only: they end the instruction early.
    if (kind === 9 && random.oneIn(2)) mxcsr |= 0x1f80;
    u32[(fx + FX.mxcsr) >> 2] = mxcsr;
    for (const register of [0, encoding.reg, encoding.rm]) {
      this.#filler(random, bytes, fx + FX.xmm + register * 16);
      if (!this.#fillsVectors()) vector.integer(random, bytes, fx + FX.xmm + register * 16);
    }
    if (unit !== "x87" && unit !== "mmx") return;
    const top = random.below(8);
    let fcw = 0x37f;
    if (unit === "x87") {
      fcw = (random.u32() & 0xf00) | (random.oneIn(4) ? random.u32() & 0x3f : 0x3f) | 0x40;
      // Precision control 1 is reserved.
      if ((fcw & 0x300) === 0x100) fcw |= 0x300;
    }
    let fsw = (random.u32() & 0x4700) | (top << 11);
    if (random.oneIn(2)) fsw |= random.u32() & 0x7f & (random.oneIn(12) ? 0x7f : fcw | 0x40);
    if (fsw & ~fcw & 0x3f) fsw |= 0x8080;
    u16[(fx + FX.fcw) >> 1] = fcw;
    u16[(fx + FX.fsw) >> 1] = fsw;
    bytes[fx + FX.ftw] = random.oneIn(3) ? random.u32() : 0xff;
    if (unit === "x87") {
      for (const slot of [0, 1, 2, encoding.rm & 7]) extended(random, bytes, fx + FX.st + slot * 16);
    } else {
      for (const register of [encoding.reg, encoding.rm]) {
        const slot = ((register & 7) - top) & 7;
        this.#filler(random, bytes, fx + FX.st + slot * 16);
        bytes.fill(0, fx + FX.st + slot * 16 + 10, fx + FX.st + slot * 16 + 16);
      }
    }
  }

  /** Whether the filler writes all 16 bytes of a vector. */
  #fillsVectors(): boolean {
    return this.#row.options.unit !== "x87";
  }
}

/** Ready-made windows and an x87/SSE image, so that a case need not make all of its bytes. */
export class Pool {
  readonly #windows: Uint8Array[] = [];
  readonly fx = new Uint8Array(512);

  constructor(random: Random) {
    for (const fill of [vector.integer, vector.bytes, vector.single, vector.double, extended]) {
      for (let i = 0; i < 12; i++) {
        const window = new Uint8Array(WINDOW_SIZE);
        for (let offset = 0; offset < WINDOW_SIZE; offset += 16) fill(random, window, offset);
        this.#windows.push(window);
      }
    }
    const view = new DataView(this.fx.buffer);
    view.setUint16(FX.fcw, 0x37f, true);
    view.setUint32(FX.mxcsr, 0x1f80, true);
    view.setUint32(FX.mxcsrMask, 0xffff, true);
    for (let register = 0; register < 16; register++) vector.integer(random, this.fx, FX.xmm + register * 16);
    for (let slot = 0; slot < 8; slot++) extended(random, this.fx, FX.st + slot * 16);
  }

  window(random: Random): Uint8Array {
    return random.pick(this.#windows);
  }
}
