import { rows } from "../../src/instructions/index.js";
import { operandWidth } from "../../src/semantics/instruction.js";
import type { Feature } from "../../src/table/features.js";
import type { Row } from "../../src/table/row.js";
import { SEQUENCE, STATUS_FLAGS } from "./compare.js";
import type { CaseSource } from "./comparison.js";
import { type Encoding, encode } from "./encode.js";
import type { Pool } from "./generate.js";
import { type CaseBuffer, CODE_ADDRESS, CODE_BYTES, FIELD, FX, RECORD_BYTES, WINDOW_MIDDLE } from "./layout.js";
import type { Random } from "./random.js";
import { type Shape, shapesOf } from "./shapes.js";
import { INTEGERS, integer64 } from "./values.js";

const PLACE = CODE_ADDRESS + 0x800;
const MOST = 12;
/** Holds an address in the window throughout; nothing writes it. */
const BASE = 15;
const RSP = 4;
const FREE = [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14];

const READS_FLAGS = /^(ADC|SBB|RCL|RCR|CMOV|SET|LAHF|CMC|ADCX|ADOX|DA[AS]|AA[AS]|STC|CLC|SALC)/;
/** A count of 0 changes no flag. */
const MAY_KEEP_FLAGS = /^(SH[LR]|SA[LR]|RO[LR]|RC[LR])/;

/** Straight-line instructions that need no address of their own. */
function isSuitable(row: Row): boolean {
  const { options } = row;
  if (row.opcode < 0 || options.endsBlock || options.size || options.test || options.addressSized) return false;
  if (options.mode === "not64" || options.privileged || (options.unit && options.unit !== "sse")) return false;
  if (
    /^(LDMXCSR|RCP|RSQRT|FX|CLI|STI|IN|OUT|INT|XSETBV|RDMSR|WRMSR|HLT|SWAPGS|CLTS|INV|WBINVD|L.DT|LTR|CL|STAC|UD|IDIV|DIV)/.test(
      row.mnemonic,
    )
  ) {
    return false;
  }
  return row.operands.every(
    ({ file, form, place }) =>
      (file === "gpr" || file === "xmm") && form !== "address" && place !== "relative" && place !== "moffs",
  );
}

/** Makes cases of several instructions, which pass flags and registers to each other. */
export class SequenceMaker implements CaseSource {
  readonly #shapes: Shape[];

  constructor(
    readonly random: Random,
    readonly pool: Pool,
    has: (feature: Feature) => boolean,
    /** Cases in a row that have the same code. */
    readonly run: number,
  ) {
    this.#shapes = rows
      .filter(isSuitable)
      .flatMap((row) => shapesOf(row, has))
      .filter((shape) => shape.long);
  }

  readonly #code = new Uint8Array(CODE_BYTES + 16);
  #length = 0;
  #made = 0;
  #shape: Shape | undefined;

  make(cases: CaseBuffer, number: number): Shape {
    const { random } = this;
    const { bytes, u32 } = cases;
    const at = number * RECORD_BYTES;
    if (!this.#shape || this.#made++ % this.run === 0) this.#shape = this.#sequence();
    bytes.set(this.#code.subarray(0, this.#length), at + FIELD.code);
    u32[(at + FIELD.codeLength) >> 2] = this.#length;
    u32[(at + FIELD.compatibility) >> 2] = 0;
    for (let i = 0; i < 16; i++) integer64(random, bytes, at + i * 8);
    cases.set64(at + RSP * 8, WINDOW_MIDDLE, 0);
    cases.set64(at + BASE * 8, WINDOW_MIDDLE, 0);
    cases.set64(at + FIELD.rip, PLACE, 0);
    cases.set64(at + FIELD.rflags, 0x202 | (random.u32() & 0x8d5), 0);
    bytes.set(this.pool.window(random), at + FIELD.window);
    bytes.set(this.pool.fx, at + FIELD.fx);
    u32[(at + FIELD.fx + FX.mxcsr) >> 2] = random.oneIn(2) ? 0x1fa0 : 0x1f80;
    return this.#shape;
  }

  #sequence(): Shape {
    const { random } = this;
    const undefinedNow = new Set<string>();
    const undefinedEver = new Set<string>();
    this.#length = 0;
    for (let count = 2 + random.below(MOST - 1); count > 0; count--) {
      const shape = random.pick(this.#shapes);
      const { row } = shape;
      if (undefinedNow.size > 0 && READS_FLAGS.test(row.mnemonic)) continue;
      const length = encode(row, this.#encoding(shape), this.#code, this.#length);
      if (this.#length + length > CODE_BYTES) break;
      this.#length += length;
      STATUS_FLAGS.forEach((flag, index) => {
        if (row.flags[index] === "U") {
          undefinedNow.add(flag);
          undefinedEver.add(flag);
        } else if (row.flags[index] !== "-" && !MAY_KEEP_FLAGS.test(row.mnemonic)) undefinedNow.delete(flag);
      });
    }
    const flags = STATUS_FLAGS.map((flag) => (undefinedEver.has(flag) ? "U" : "M")).join("");
    const row = { mnemonic: SEQUENCE, text: SEQUENCE, flags, operands: [], options: {} } as unknown as Row;
    return { row, long: true, operandSize: 32, memory: true };
  }

  #encoding(shape: Shape): Encoding {
    const { random } = this;
    const { row } = shape;
    const rm = row.operands.find((operand) => operand.place === "rm");
    const bytes = rm && rm.form !== "offset" ? operandWidth(rm.size, shape.operandSize) / 8 : 16;
    const immediates = row.operands
      .filter((operand) => operand.place === "immediate")
      .map(({ size }) => ({
        value: random.pick(INTEGERS),
        bytes:
          size === "b"
            ? 1
            : size === "w"
              ? 2
              : size === "v"
                ? shape.operandSize / 8
                : Math.min(shape.operandSize / 8, 4),
      }));
    const displacement = bytes * (random.below(192 / bytes) - 96 / bytes);
    return {
      long: true,
      operandSize: shape.operandSize,
      short: false,
      prefixes: [],
      reg: random.pick(FREE),
      rm: random.pick(FREE),
      opcodeRegister: row.options.withoutRexB ? random.below(4) : random.pick(FREE),
      vvvv: row.operands.some((operand) => operand.place === "vvvv") ? random.pick(FREE) : 0,
      memory: shape.memory
        ? { base: BASE, index: -1, scale: 0, displacement, ripRelative: false, target: 0 }
        : undefined,
      bareRex: random.oneIn(3),
      immediates,
    };
  }
}
