import type { Opcode, WasmType } from "./opcodes.js";
import type { Sink } from "./sink.js";

/** Writes the same instructions as text, one a line, indented by block. */
export class Printer implements Sink {
  readonly #lines: string[] = [];
  #indent = 0;

  constructor(readonly functionName: (index: number) => string) {}

  get text(): string {
    return `${this.#lines.join("\n")}\n`;
  }

  #line(text: string): void {
    this.#lines.push("  ".repeat(this.#indent) + text);
  }

  plain(opcode: Opcode, lane?: number): void {
    this.#line(lane === undefined ? opcode.name : `${opcode.name} ${lane}`);
  }
  memory(opcode: Opcode, offset: number): void {
    this.#line(`${opcode.name} offset=${offset}`);
  }
  constant(type: WasmType, value: number | bigint | Uint8Array): void {
    this.#line(`${type}.const ${value instanceof Uint8Array ? `i8x16 ${value.join(" ")}` : value}`);
  }
  shuffle(lanes: Uint8Array): void {
    this.#line(`i8x16.shuffle ${lanes.join(" ")}`);
  }
  local(kind: "get" | "set" | "tee", index: number): void {
    this.#line(`local.${kind} ${index}`);
  }
  block(kind: "block" | "loop" | "if", result?: WasmType): void {
    this.#line(result ? `${kind} (result ${result})` : kind);
    this.#indent++;
  }
  otherwise(): void {
    this.#indent--;
    this.#line("else");
    this.#indent++;
  }
  end(): void {
    this.#indent = Math.max(0, this.#indent - 1);
    this.#line("end");
  }
  branch(kind: "br" | "br_if", depth: number): void {
    this.#line(`${kind} ${depth}`);
  }
  branchTable(depths: readonly number[], otherwise: number): void {
    this.#line(`br_table ${depths.join(" ")} ${otherwise}`);
  }
  control(kind: "return" | "drop" | "select" | "unreachable"): void {
    this.#line(kind);
  }
  call(functionIndex: number): void {
    this.#line(`call $${this.functionName(functionIndex)}`);
  }
  callIndirect(typeIndex: number): void {
    this.#line(`call_indirect (type ${typeIndex})`);
  }
}
