import { rows } from "../instructions/index.js";
import type { RuntimeFunctions, Variant } from "../semantics/ops.js";
import { RECORD } from "../state/layout.js";
import { fingerprint, type Row } from "../table/row.js";
import { VARIANT_SLOTS, variantIndex, variantsOf } from "../table/variants.js";
import { Code, type Label } from "../wasm/code.js";
import { Module } from "../wasm/module.js";
import { handlerFunction, handlerName, inlineHandler } from "./handlers.js";
import { HOT } from "./hot.js";
import { getFlagsFunction, importRuntime, lookupFunction, segmentFunction, setFlagsFunction } from "./runtime.js";

/** The interpreter: its module, and which handler executes which variant of which row. */
export interface GeneratedInterpreter {
  readonly module: Uint8Array<ArrayBuffer>;
  /** Handler number by row id times `VARIANT_SLOTS` plus variant index; 0xffff where there is none. */
  readonly numbers: Uint16Array;
  /** Names of the handlers by number, for profiles. */
  readonly names: readonly string[];
  /** Of the rows it was generated from. */
  readonly fingerprint: number;
}

interface Handler {
  readonly row: Row;
  readonly variant: Variant;
  readonly name: string;
  readonly function: number;
}

/**
 * Generates the interpreter from the rows. Every variant becomes a function; variants with the same code share one. The
 * hottest ones are also written into the dispatch loop itself, behind one `br_table`.
 *
 * With `counters`, an address, executions are counted there by handler number (u32); see scripts/hot-handlers.mjs of the workspace.
 */
export function generateInterpreter(options: { counters?: number } = {}): GeneratedInterpreter {
  const module = new Module();
  const { resolve, segmentFault, ...imports } = importRuntime(module);
  const lookup = module.declare("lookup", [], ["i32"]);
  const segment = module.declare("segment", ["i32", "i64", "i32", "i32"], ["i64", "i32"]);
  module.defineCode(lookup, lookupFunction(resolve));
  module.defineCode(segment, segmentFunction(segmentFault));
  const getFlags = module.declare("getFlags", [], ["i32"], true);
  module.defineCode(getFlags, getFlagsFunction());
  const setFlags = module.declare("setFlags", ["i32"], [], true);
  module.defineCode(setFlags, setFlagsFunction());
  const functions: RuntimeFunctions = { ...imports, lookup, segment };

  const numbers = new Uint16Array(rows.length * VARIANT_SLOTS).fill(0xffff);
  const unique = new Map<string, Handler>();
  const users: { slot: number; handler: Handler }[] = [];
  for (const row of rows) {
    for (const variant of variantsOf(row)) {
      const name = handlerName(row, variant);
      const index = module.declare(name, ["i32"], ["i32"]);
      module.defineCode(index, handlerFunction(row, variant, functions));
      const key = String.fromCharCode(...module.bodyOf(index)!);
      let handler = unique.get(key);
      if (handler) module.drop(index);
      else {
        handler = { row, variant, name, function: index };
        unique.set(key, handler);
      }
      users.push({ slot: row.id * VARIANT_SLOTS + variantIndex(variant), handler });
    }
  }

  const rank = new Map(HOT.map((name, index) => [name, index]));
  const handlers = [...unique.values()].sort(
    (a, b) => (rank.get(a.name) ?? HOT.length) - (rank.get(b.name) ?? HOT.length),
  );
  const hotCount = handlers.filter((handler) => rank.has(handler.name)).length;
  const numberOf = new Map(handlers.map((handler, index) => [handler, index]));
  for (const { slot, handler } of users) numbers[slot] = numberOf.get(handler)!;
  if (handlers.length >= 0xffff) throw new Error("too many handlers for 16 bits");

  module.setTable(handlers.map((handler) => handler.function));
  defineRun(module, handlers.slice(0, hotCount), functions, options.counters);
  return {
    module: module.finish(),
    numbers,
    names: handlers.map((handler) => handler.name),
    fingerprint: fingerprint(rows),
  };
}

/**
 * `run(record)`: executes records until one gives 0. A `br_table` on the handler number reaches the hot handlers, each
 * of which jumps back to it; all others are called through the table.
 */
function defineRun(
  module: Module,
  hot: readonly Handler[],
  functions: RuntimeFunctions,
  counters: number | undefined,
): void {
  const handlerType = module.type(["i32"], ["i32"]);
  const run = module.declare("run", ["i32"], [], true);
  const again: Label = { kind: "loop" };
  module.define(run, (sink, locals) => {
    sink.block("block");
    sink.block("loop");
    // The blocks that the table jumps out of: the innermost belongs to the first hot handler.
    for (let index = 0; index <= hot.length; index++) sink.block("block");
    const fetch = new Code();
    const record = fetch.parameterVariable("i32", 0);
    // Depths from here: hot handlers 0 .. n-1, the call n, the loop n+1, leaving n+2.
    const leave: Label = { kind: "block" };
    fetch.branch(leave, fetch.op("i32.eqz", record.get()));
    fetch.emit(sink, locals, () => hot.length + 2);
    const number = new Code();
    const kept = number.parameter("i32", 0);
    const value = number.variable("i32", number.load("i32.load16_u", kept, RECORD.handler));
    if (counters !== undefined) {
      const slot = number.op("i32.shl", value.get(), number.constant("i32", 2));
      const count = number.load("i32.load", slot, counters);
      number.store("i32.store", slot, number.op("i32.add", count, number.constant("i32", 1)), counters);
    }
    number.emit(sink, locals);
    sink.local("get", value.index);
    sink.branchTable(
      hot.map((_, index) => index),
      hot.length,
    );
    sink.end();
    hot.forEach((handler, index) => {
      locals.release();
      // Behind the end of block `index`: the loop is as many blocks out as there are handlers left, and the call's.
      const depth = hot.length - index;
      inlineHandler(handler.row, handler.variant, functions, again).emit(sink, locals, () => depth);
      sink.control("unreachable");
      sink.end();
    });
    locals.release();
    const call = new Code();
    const current = call.parameterVariable("i32", 0);
    const element = call.load("i32.load16_u", current.get(), RECORD.handler);
    current.set(call.callIndirect(handlerType, ["i32"], element, current.get())[0]);
    call.branch(again);
    call.emit(sink, locals, () => 0);
    sink.end();
    sink.end();
  });
}
