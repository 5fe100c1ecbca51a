import { expect, test } from "vitest";
import { rows } from "../src/instructions/index.js";
import { generateInterpreter } from "../src/interpreter/generate.js";
import { handlerFunction, handlerName } from "../src/interpreter/handlers.js";
import type { RuntimeFunctions } from "../src/semantics/ops.js";
import { variantsOf } from "../src/table/variants.js";
import { Module } from "../src/wasm/module.js";

/** A module with one function, which is one variant of one row. */
function moduleOf(build: (module: Module, functions: RuntimeFunctions) => void): Uint8Array<ArrayBuffer> {
  const module = new Module();
  const i32s = (count: number) => new Array<"i32">(count).fill("i32");
  const functions: RuntimeFunctions = {
    helper: module.import("helper", i32s(2), ["i32"]),
    slowLoad: module.import("slowLoad", i32s(4), ["i32"]),
    slowStore: module.import("slowStore", i32s(4), ["i32"]),
    slowLoadForWrite: module.import("slowLoadForWrite", i32s(4), ["i32"]),
    raise: module.import("raise", i32s(3), []),
    link: module.import("link", i32s(1), ["i32"]),
    lookup: module.import("lookup", [], ["i32"]),
    segment: module.import("segment", ["i32", "i64", "i32", "i32"], ["i64", "i32"]),
  };
  build(module, functions);
  return module.finish();
}

test("every variant of every row is valid WebAssembly", () => {
  const invalid: string[] = [];
  let variants = 0;
  for (const row of rows) {
    for (const variant of variantsOf(row)) {
      variants++;
      try {
        const bytes = moduleOf((module, functions) => {
          const index = module.declare("handler", ["i32"], ["i32"]);
          module.defineCode(index, handlerFunction(row, variant, functions));
        });
        new WebAssembly.Module(bytes);
      } catch (error) {
        invalid.push(`${handlerName(row, variant)}: ${(error as Error).message}`);
      }
    }
  }
  expect(invalid).toEqual([]);
  expect(variants).toBeGreaterThan(1500);
});

test("rows are numbered without gaps", () => {
  expect(rows.map((row) => row.id).sort((a, b) => a - b)).toEqual(rows.map((_, index) => index));
});

test("the interpreter is valid WebAssembly", () => {
  const { module, names } = generateInterpreter();
  expect(WebAssembly.validate(module)).toBe(true);
  expect(new Set(names).size).toBe(names.length);
});
