import type { RecordArena } from "../decode/records.js";
import { rows } from "../instructions/index.js";
import { buildInstruction } from "../semantics/instruction.js";
import type { RuntimeFunctions, Surroundings } from "../semantics/ops.js";
import { RECORD, RECORD_SIZE } from "../state/layout.js";
import { Code, LocalPool, type Val } from "../wasm/code.js";
import { Module } from "../wasm/module.js";
import { Printer } from "../wasm/printer.js";
import type { Sink } from "../wasm/sink.js";
import { type Handled, handlerTable } from "./handler-table.js";
import { importFunctions, withRuntime } from "./runtime-module.js";

/** Executes one block; gives the record to go on with, 0: leave execution. */
export type Block = () => number;

/**
 * Makes one WebAssembly module of one decoded block: the code of its instructions one behind the other, with what
 * their records say as constants. There is no optimisation beyond that; it shows that the rows carry a second
 * execution.
 *
 * A block is valid while its records are; see `RecordArena.dropped`.
 */
export class BlockEmitter {
  readonly #table: readonly Handled[];
  #env: WebAssembly.ModuleImports | undefined;

  constructor(
    readonly arena: RecordArena,
    /** See `GeneratedInterpreter.numbers`. */
    numbers: Uint16Array,
    /** What the interpreter's module imports, the memory of the arena included. */
    readonly imports: WebAssembly.ModuleImports,
  ) {
    this.#table = handlerTable(rows, numbers);
  }

  /** The block that starts with a record. */
  compile(first: number): Block {
    this.#env ??= withRuntime(this.imports);
    const module = new Module();
    const functions = importFunctions(module);
    const index = module.declare("block", [], ["i32"], true);
    module.define(index, (sink, locals) => this.#emit(first, functions, sink, locals));
    const instance = new WebAssembly.Instance(new WebAssembly.Module(module.finish()), { env: this.#env });
    return instance.exports.block as Block;
  }

  /** The same as text, without the types of its locals. */
  print(first: number): string {
    const module = new Module();
    const functions = importFunctions(module);
    const printer = new Printer((index) => module.nameOf(index));
    this.#emit(first, functions, printer, new LocalPool(0));
    return printer.text;
  }

  /** The records of a block, up to the one that always goes elsewhere. */
  #records(first: number): number[] {
    const records: number[] = [];
    for (let record = first; record < this.arena.next; record += RECORD_SIZE) {
      records.push(record);
      if (this.#handled(record).endsBlock) break;
    }
    return records;
  }

  #handled(record: number): Handled {
    const handled = this.#table[this.arena.handler(record)];
    if (!handled) throw new Error(`record ${record} has no handler`);
    return handled;
  }

  #emit(first: number, functions: RuntimeFunctions, sink: Sink, locals: LocalPool): void {
    const records = this.#records(first);
    records.forEach((record, index) => {
      this.#instruction(record, index === records.length - 1, functions).emit(sink, locals);
      locals.release();
    });
    sink.control("unreachable");
  }

  #instruction(record: number, last: boolean, functions: RuntimeFunctions): Code {
    const code = new Code();
    const { row, variant } = this.#handled(record);
    const goto = (target: Val) => code.return(target);
    const observed = observe(functions);
    const surroundings: Surroundings = {
      record: code.constant("i32", record),
      functions: observed.functions,
      field: (name) => this.#field(code, record, name),
      goto,
      next: () => {
        const behind = code.constant("i32", record + RECORD_SIZE);
        if (last) goto(behind);
        // Code outside may have overwritten the instructions that follow.
        else if (observed.called()) code.if(this.#changed(code, record + RECORD_SIZE), () => goto(behind));
      },
    };
    buildInstruction(code, row, variant, surroundings);
    return code;
  }

  /** A field as a constant, but for the link, which is set later. */
  #field(code: Code, record: number, name: keyof typeof RECORD): Val {
    if (name === "link") return code.load("i32.load", code.constant("i32", record), RECORD.link);
    return code.constant(name === "immediate" ? "i64" : "i32", this.arena.field(record, name));
  }

  #changed(code: Code, record: number): Val {
    const handler = code.load("i32.load16_u", code.constant("i32", record), RECORD.handler);
    return code.op("i32.ne", handler, code.constant("i32", this.arena.handler(record)));
  }
}

/** The same functions, and whether any of them was used. */
function observe(functions: RuntimeFunctions): { functions: RuntimeFunctions; called(): boolean } {
  let called = false;
  const watched = new Proxy(functions, {
    get(target, name) {
      called = true;
      return target[name as keyof RuntimeFunctions];
    },
  });
  return { functions: watched, called: () => called };
}
