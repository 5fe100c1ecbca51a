/** WebAssembly features that the translator's code uses, each with the smallest module that needs it. */

export type WasmFeature = "simd" | "threads" | "tail calls" | "bulk memory" | "multi-value" | "saturating conversions";

const HEADER = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];

/** A module with one function of the given type and body, and a memory when `memory` says what kind. */
function module(type: number[], body: number[], memory?: number[]): Uint8Array {
  const section = (id: number, contents: number[]) => [id, contents.length, ...contents];
  return Uint8Array.from([
    ...HEADER,
    ...section(1, [1, 0x60, ...type]),
    ...section(3, [1, 0]),
    ...(memory ? section(5, [1, ...memory]) : []),
    ...section(10, [1, body.length + 2, 0, ...body, 0x0b]),
  ]);
}

const I32 = 0x7f;

const MODULES: Record<WasmFeature, Uint8Array> = {
  // i8x16.splat (i32.const 0); drop
  simd: module([0, 0], [0x41, 0, 0xfd, 0x0f, 0x1a]),
  // i32.atomic.load (i32.const 0) of a shared memory; drop
  threads: module([0, 0], [0x41, 0, 0xfe, 0x10, 2, 0, 0x1a], [3, 1, 1]),
  // return_call 0
  "tail calls": module([0, 0], [0x12, 0]),
  // memory.fill (0, 0, 0)
  "bulk memory": module([0, 0], [0x41, 0, 0x41, 0, 0x41, 0, 0xfc, 0x0b, 0], [0, 1]),
  // a function with two results
  "multi-value": module([0, 2, I32, I32], [0x41, 0, 0x41, 0]),
  // i32.trunc_sat_f32_s (f32.const 0); drop
  "saturating conversions": module([0, 0], [0x43, 0, 0, 0, 0, 0xfc, 0x00, 0x1a]),
};

export function wasmFeatures(): Record<WasmFeature, boolean> {
  return Object.fromEntries(
    Object.entries(MODULES).map(([feature, bytes]) => [
      feature,
      WebAssembly.validate(bytes as Uint8Array<ArrayBuffer>),
    ]),
  ) as Record<WasmFeature, boolean>;
}
