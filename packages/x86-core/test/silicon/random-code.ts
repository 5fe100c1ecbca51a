import { type CodeBytes, InstructionDecoder, OUT_OF_BYTES } from "../../src/decode/instruction.js";
import { MODE } from "../../src/decode/mode.js";
import { OpcodeTables } from "../../src/decode/opcode-tables.js";
import { rows } from "../../src/instructions/index.js";
import type { Feature } from "../../src/table/features.js";
import type { Row } from "../../src/table/row.js";
import type { CaseSource } from "./comparison.js";
import type { Pool } from "./generate.js";
import { type CaseBuffer, CODE_ADDRESS, FIELD, RECORD_BYTES, WINDOW_MIDDLE } from "./layout.js";
import type { Random } from "./random.js";
import type { Shape } from "./shapes.js";

const PREFIXES = [0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x2e, 0x36, 0x3e, 0x26, 0x65];
const PLACE = CODE_ADDRESS + 0x800;

/** FS holds what the C library needs. */
const isPrefix = (byte: number) => PREFIXES.includes(byte) || byte === 0x64 || byte === 0x0f || (byte & 0xf0) === 0x40;

/** Stands for bytes that are no instruction here. */
const UNDEFINED = { mnemonic: "undefined", text: "undefined", flags: "", operands: [], options: {} } as unknown as Row;

/**
 * Opcodes by map that the host may have and this CPU has not: AVX, AVX-512 and XOP by their prefixes, AMD's SSE4a and
 * 3DNow!, virtualization, shadow stacks, protection keys, GFNI, direct stores and the like.
 */
const HOST_ONLY: Record<number, (repeated: boolean, locked: boolean, opcode: number) => boolean> = {
  0: (_repeated, _locked, opcode) => [0xc4, 0xc5, 0x62, 0x8f, 0xd5].includes(opcode) || isPrefix(opcode),
  1: (repeated, locked, opcode) =>
    // The other maps, and: 0F 01 holds system instructions of every kind, 0F C7 and 0F AE some; F3 0F 1E reads the shadow stack.
    [0x38, 0x3a, 0x01, 0x09, 0x0d, 0x0e, 0x0f, 0x1e, 0x78, 0x79, 0xae, 0xb8, 0xc7].includes(opcode) ||
    (opcode === 0x2b && repeated) ||
    // LOCK means MOV CR8 on AMD processors, and is ignored by descriptor instructions.
    (locked && (opcode === 0x00 || opcode === 0x20 || opcode === 0x22)),
  2: (_repeated, _locked, opcode) => opcode >= 0xcf || opcode === 0x82,
  3: (_repeated, _locked, opcode) => opcode === 0xce || opcode === 0xcf,
};

/** System calls must not happen by chance, wherever execution begins. */
function isDangerous(bytes: Uint8Array, length: number): boolean {
  for (let i = 0; i + 1 < length; i++) {
    const pair = (bytes[i] << 8) | bytes[i + 1];
    if (pair === 0x0f05 || pair === 0x0f34 || pair === 0xcd80) return true;
  }
  return false;
}

/** Makes cases from random bytes: what matters is how they are decoded. */
export class RandomCodeMaker implements CaseSource {
  readonly #decoder: InstructionDecoder;
  readonly #code: CodeBytes = { bytes: new Uint8Array(32), position: 0, limit: 15 };

  constructor(
    readonly random: Random,
    readonly pool: Pool,
    readonly has: (feature: Feature) => boolean,
  ) {
    this.#decoder = new InstructionDecoder(new OpcodeTables(rows, () => true));
  }

  make(cases: CaseBuffer, number: number): Shape {
    const { random } = this;
    const { bytes, u32 } = cases;
    const at = number * RECORD_BYTES;
    const long = !random.oneIn(3);
    let shape: Shape | undefined;
    while (!shape) shape = this.#instruction(long);
    const length = this.#code.position;
    bytes.set(this.#code.bytes.subarray(0, length), at + FIELD.code);
    u32[(at + FIELD.codeLength) >> 2] = length;
    u32[(at + FIELD.compatibility) >> 2] = long ? 0 : 1;
    for (let i = 0; i < 16; i++) {
      const value = i === 1 ? random.below(8) : WINDOW_MIDDLE - 128 + 16 * random.below(16);
      cases.set64(at + i * 8, long || i < 8 ? value : 0, 0);
    }
    cases.set64(at + FIELD.rip, PLACE, 0);
    cases.set64(at + FIELD.rflags, 0x202 | (random.u32() & 0x8d5), 0);
    bytes.set(this.pool.window(random), at + FIELD.window);
    bytes.set(this.pool.fx, at + FIELD.fx);
    return shape;
  }

  /** Puts random bytes into `#code`, its position behind the instruction; undefined when they are not to be run. */
  #instruction(long: boolean): Shape | undefined {
    const { random } = this;
    const code = this.#code;
    const { bytes } = code;
    let end = 0;
    while (random.oneIn(3) && end < 5) {
      bytes[end++] = random.pick(PREFIXES);
    }
    const prefixes = bytes.slice(0, end);
    if (long && random.oneIn(3)) bytes[end++] = 0x40 | random.below(16);
    const map = random.pick([0, 0, 0, 1, 1, 1, 2, 3]);
    if (map > 0) bytes[end++] = 0x0f;
    if (map > 1) bytes[end++] = map === 2 ? 0x38 : 0x3a;
    const opcode = random.below(256);
    bytes[end++] = opcode;
    while (end < 15) bytes[end++] = random.u32();
    if (isDangerous(bytes, 15)) return undefined;
    if (HOST_ONLY[map](prefixes.includes(0xf2) || prefixes.includes(0xf3), prefixes.includes(0xf0), opcode))
      return undefined;
    code.position = 0;
    code.limit = 15;
    let decoded: ReturnType<InstructionDecoder["decode"]>;
    try {
      decoded = this.#decoder.decode(code, MODE.USER | (long ? MODE.LONG : MODE.CODE32 | MODE.FLAT));
    } catch (error) {
      if (error === OUT_OF_BYTES) return undefined;
      throw error;
    }
    if (decoded.vector) {
      // With more prefixes the processor may find it too long before it finds it undefined.
      if (prefixes.length > 3) return undefined;
      code.position = 15;
      return { row: UNDEFINED, long, operandSize: 32, memory: false };
    }
    const { row } = decoded;
    if (row.options.test === "skip" || (row.options.feature && !this.has(row.options.feature))) return undefined;
    // A jump into itself need not end.
    const relative = row.operands.some((operand) => operand.place === "relative");
    if (relative && decoded.immediate >= 0n && decoded.immediate < 16n) return undefined;
    // AMD processors take 66 for 16-bit operands here, and would run the rest of the bytes.
    if (relative && long && prefixes.includes(0x66)) return undefined;
    return { row, long, operandSize: decoded.operandSize, memory: decoded.memory };
  }
}
