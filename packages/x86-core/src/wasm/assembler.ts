import { ByteWriter } from "./bytes.js";
import type { Opcode, WasmType } from "./opcodes.js";
import type { Sink } from "./sink.js";

export const TYPE_CODE: Record<WasmType, number> = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b };

const BLOCK = { block: 0x02, loop: 0x03, if: 0x04 } as const;
const LOCAL = { get: 0x20, set: 0x21, tee: 0x22 } as const;
const CONTROL = { return: [0x0f], drop: [0x1a], select: [0x1b], unreachable: [0x00] } as const;

/** log2 of the bytes a load or store moves: the largest alignment that its encoding may claim. */
function naturalAlignment(name: string): number {
  if (name.startsWith("v128.load32")) return 2;
  if (name.startsWith("v128.load64")) return 3;
  const narrow = /(8|16|32)(_[su])?$/.exec(name.slice(name.indexOf(".") + 1));
  const bits = narrow ? Number(narrow[1]) : name.startsWith("v128") ? 128 : Number(name.slice(1, 3));
  return Math.log2(bits / 8);
}
const alignments = new Map<string, number>();

/** Writes one function body in the binary format. */
export class Assembler implements Sink {
  readonly code = new ByteWriter();

  plain(opcode: Opcode, lane?: number): void {
    this.code.bytes(opcode.bytes);
    if (lane !== undefined) this.code.byte(lane);
  }

  memory(opcode: Opcode, offset: number): void {
    let alignment = alignments.get(opcode.name);
    if (alignment === undefined) {
      alignment = naturalAlignment(opcode.name);
      alignments.set(opcode.name, alignment);
    }
    this.code.bytes(opcode.bytes);
    this.code.unsigned(alignment);
    this.code.unsigned(offset);
  }

  constant(type: WasmType, value: number | bigint | Uint8Array): void {
    switch (type) {
      case "i32":
        this.code.byte(0x41);
        return this.code.signed32(Number(value));
      case "i64":
        this.code.byte(0x42);
        return this.code.signed64(BigInt(value as bigint));
      case "f32":
        this.code.byte(0x43);
        return this.code.bytes(new Uint8Array(Float32Array.of(Number(value)).buffer));
      case "f64":
        this.code.byte(0x44);
        return this.code.bytes(new Uint8Array(Float64Array.of(Number(value)).buffer));
      case "v128":
        this.code.bytes([0xfd, 0x0c]);
        return this.code.bytes(value as Uint8Array);
    }
  }

  shuffle(lanes: Uint8Array): void {
    this.code.bytes([0xfd, 0x0d]);
    this.code.bytes(lanes);
  }

  local(kind: "get" | "set" | "tee", index: number): void {
    this.code.byte(LOCAL[kind]);
    this.code.unsigned(index);
  }

  block(kind: "block" | "loop" | "if", result?: WasmType): void {
    this.code.byte(BLOCK[kind]);
    this.code.byte(result ? TYPE_CODE[result] : 0x40);
  }

  otherwise(): void {
    this.code.byte(0x05);
  }

  end(): void {
    this.code.byte(0x0b);
  }

  branch(kind: "br" | "br_if", depth: number): void {
    this.code.byte(kind === "br" ? 0x0c : 0x0d);
    this.code.unsigned(depth);
  }

  branchTable(depths: readonly number[], otherwise: number): void {
    this.code.byte(0x0e);
    this.code.unsigned(depths.length);
    for (const depth of depths) this.code.unsigned(depth);
    this.code.unsigned(otherwise);
  }

  control(kind: "return" | "drop" | "select" | "unreachable"): void {
    this.code.bytes(CONTROL[kind]);
  }

  call(functionIndex: number): void {
    this.code.byte(0x10);
    this.code.unsigned(functionIndex);
  }

  callIndirect(typeIndex: number): void {
    this.code.byte(0x11);
    this.code.unsigned(typeIndex);
    this.code.byte(0);
  }
}
