import type { Opcode, WasmType } from "./opcodes.js";

/** Where finished instructions go: bytes for the engine, text for people and golden tests. */
export interface Sink {
  /** A plain instruction, or one with a lane number. */
  plain(opcode: Opcode, lane?: number): void;
  /** A load or store at a constant offset (bytes) from its address operand. */
  memory(opcode: Opcode, offset: number): void;
  constant(type: WasmType, value: number | bigint | Uint8Array): void;
  shuffle(lanes: Uint8Array): void;
  local(kind: "get" | "set" | "tee", index: number): void;
  block(kind: "block" | "loop" | "if", result?: WasmType): void;
  otherwise(): void;
  end(): void;
  branch(kind: "br" | "br_if", depth: number): void;
  branchTable(depths: readonly number[], otherwise: number): void;
  control(kind: "return" | "drop" | "select" | "unreachable"): void;
  call(functionIndex: number): void;
  callIndirect(typeIndex: number): void;
}
