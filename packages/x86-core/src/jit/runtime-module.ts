import { importRuntime, lookupFunction, segmentFunction } from "../interpreter/runtime.js";
import type { RuntimeFunctions } from "../semantics/ops.js";
import { Module } from "../wasm/module.js";

/** The functions that the module of a block imports, by the names of `RuntimeFunctions`. */
export function importFunctions(module: Module): RuntimeFunctions {
  const { resolve, segmentFault, ...imports } = importRuntime(module);
  return {
    ...imports,
    lookup: module.import("lookup", [], ["i32"]),
    segment: module.import("segment", ["i32", "i64", "i32", "i32"], ["i64", "i32"]),
  };
}

/**
 * Adds `lookup` and `segment`, which the interpreter has inside, to a CPU's imports: all blocks of the CPU import them
 * from here.
 */
export function withRuntime(env: WebAssembly.ModuleImports): WebAssembly.ModuleImports {
  const module = new Module();
  const { resolve, segmentFault } = importRuntime(module);
  const lookup = module.declare("lookup", [], ["i32"], true);
  const segment = module.declare("segment", ["i32", "i64", "i32", "i32"], ["i64", "i32"], true);
  module.defineCode(lookup, lookupFunction(resolve));
  module.defineCode(segment, segmentFunction(segmentFault));
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module.finish()), { env });
  return { ...env, ...exports };
}
