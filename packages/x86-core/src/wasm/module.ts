import { Assembler, TYPE_CODE } from "./assembler.js";
import { ByteWriter } from "./bytes.js";
import { type Code, LocalPool } from "./code.js";
import type { WasmType } from "./opcodes.js";
import type { Sink } from "./sink.js";

interface FunctionType {
  readonly parameters: readonly WasmType[];
  readonly results: readonly WasmType[];
}

/** A WebAssembly module under construction that works on one imported shared memory (`env.memory`). */
export class Module {
  readonly #types: string[] = [];
  readonly #typeList: FunctionType[] = [];
  readonly #imports: { name: string; type: number }[] = [];
  readonly #functions: { type: number; body: Uint8Array | undefined; export?: string; name: string }[] = [];
  #table: number[] = [];

  /** `maximumPages` is the largest size in 64 KiB pages that the memory given at instantiation may have. */
  constructor(readonly maximumPages = 65536) {}

  type(parameters: readonly WasmType[], results: readonly WasmType[]): number {
    const key = `${parameters.join(",")}:${results.join(",")}`;
    const found = this.#types.indexOf(key);
    if (found >= 0) return found;
    this.#types.push(key);
    return this.#typeList.push({ parameters, results }) - 1;
  }

  /** Imports `env.<name>`. All imports come before the first declared function. */
  import(name: string, parameters: readonly WasmType[], results: readonly WasmType[]): number {
    if (this.#functions.length > 0) throw new Error("imports come first");
    return this.#imports.push({ name, type: this.type(parameters, results) }) - 1;
  }

  /** Reserves a function's index; `define` gives it its body later. */
  declare(name: string, parameters: readonly WasmType[], results: readonly WasmType[], exported = false): number {
    const type = this.type(parameters, results);
    this.#functions.push({ type, body: undefined, name, ...(exported ? { export: name } : {}) });
    return this.#imports.length + this.#functions.length - 1;
  }

  define(index: number, build: (sink: Sink, locals: LocalPool) => void): void {
    const entry = this.#functions[index - this.#imports.length];
    const assembler = new Assembler();
    const locals = new LocalPool(this.#typeList[entry.type].parameters.length);
    build(assembler, locals);
    assembler.end();
    const writer = new ByteWriter();
    const groups: { type: WasmType; count: number }[] = [];
    for (const type of locals.types) {
      const last = groups.at(-1);
      if (last?.type === type) last.count++;
      else groups.push({ type, count: 1 });
    }
    writer.unsigned(groups.length);
    for (const { type, count } of groups) {
      writer.unsigned(count);
      writer.byte(TYPE_CODE[type]);
    }
    writer.bytes(assembler.code.finish());
    entry.body = writer.finish();
  }

  /** Defines a function from a finished `Code` that always returns by itself. */
  defineCode(index: number, code: Code): void {
    this.define(index, (sink, locals) => {
      code.emit(sink, locals);
      sink.control("unreachable");
    });
  }

  /** Forgets the function that was declared last. */
  drop(index: number): void {
    if (index !== this.#imports.length + this.#functions.length - 1) throw new Error("only the last function can go");
    this.#functions.pop();
  }

  bodyOf(index: number): Uint8Array | undefined {
    return this.#functions[index - this.#imports.length]?.body;
  }

  /** The functions that `call_indirect` reaches, by element number. */
  setTable(functions: readonly number[]): void {
    this.#table = [...functions];
  }

  nameOf(index: number): string {
    return index < this.#imports.length
      ? this.#imports[index].name
      : this.#functions[index - this.#imports.length].name;
  }

  finish(): Uint8Array<ArrayBuffer> {
    const out = new ByteWriter();
    out.bytes([0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]);
    const section = (id: number, build: (writer: ByteWriter) => void) => {
      const writer = new ByteWriter();
      build(writer);
      out.byte(id);
      out.unsigned(writer.length);
      out.bytes(writer.finish());
    };
    section(1, (writer) => {
      writer.unsigned(this.#typeList.length);
      for (const { parameters, results } of this.#typeList) {
        writer.byte(0x60);
        for (const list of [parameters, results]) {
          writer.unsigned(list.length);
          for (const type of list) writer.byte(TYPE_CODE[type]);
        }
      }
    });
    section(2, (writer) => {
      writer.unsigned(this.#imports.length + 1);
      for (const { name, type } of this.#imports) {
        writer.text("env");
        writer.text(name);
        writer.byte(0);
        writer.unsigned(type);
      }
      writer.text("env");
      writer.text("memory");
      writer.bytes([2, 3]);
      writer.unsigned(1);
      writer.unsigned(this.maximumPages);
    });
    section(3, (writer) => {
      writer.unsigned(this.#functions.length);
      for (const { type } of this.#functions) writer.unsigned(type);
    });
    if (this.#table.length > 0) {
      section(4, (writer) => {
        writer.unsigned(1);
        writer.bytes([0x70, 0x00]);
        writer.unsigned(this.#table.length);
      });
    }
    section(7, (writer) => {
      const exported = this.#functions.map((entry, index) => ({ entry, index })).filter(({ entry }) => entry.export);
      writer.unsigned(exported.length);
      for (const { entry, index } of exported) {
        writer.text(entry.export!);
        writer.byte(0);
        writer.unsigned(this.#imports.length + index);
      }
    });
    if (this.#table.length > 0) {
      section(9, (writer) => {
        writer.unsigned(1);
        writer.unsigned(0);
        writer.byte(0x41);
        writer.signed32(0);
        writer.byte(0x0b);
        writer.unsigned(this.#table.length);
        for (const index of this.#table) writer.unsigned(index);
      });
    }
    section(10, (writer) => {
      writer.unsigned(this.#functions.length);
      for (const { body, name } of this.#functions) {
        if (!body) throw new Error(`function ${name} has no body`);
        writer.unsigned(body.length);
        writer.bytes(body);
      }
    });
    return out.finish();
  }
}
