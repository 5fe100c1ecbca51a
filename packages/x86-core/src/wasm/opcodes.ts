/**
 * The WebAssembly instructions that generated code uses: name, opcode and signature, from the core specification
 * (binary format, "Instructions") and its SIMD appendix. One table serves the binary encoder and the text printer.
 */
export type WasmType = "i32" | "i64" | "f32" | "f64" | "v128";

/** What follows the opcode: nothing, a lane index, or a memory argument. */
type Immediate = "none" | "lane" | "memory";

export interface Opcode {
  readonly name: string;
  readonly bytes: readonly number[];
  readonly parameters: readonly WasmType[];
  readonly result: WasmType | undefined;
  readonly immediate: Immediate;
}

const table = new Map<string, Opcode>();

/** Registers consecutive opcodes; "-" leaves a gap. */
function add(
  first: number,
  names: string,
  signature: (name: string) => [WasmType[], WasmType | undefined],
  immediate: Immediate = "none",
  prefix?: number,
): void {
  names
    .trim()
    .split(/\s+/)
    .forEach((name, index) => {
      if (name === "-") return;
      const [parameters, result] = signature(name);
      const code = first + index;
      const bytes =
        prefix === undefined ? [code] : code < 128 ? [prefix, code] : [prefix, (code & 0x7f) | 0x80, code >> 7];
      table.set(name, { name, bytes, parameters, result, immediate });
    });
}

const of = (name: string) => name.slice(0, name.indexOf(".")) as WasmType;
const unary = (name: string): [WasmType[], WasmType] => [[of(name)], of(name)];
const binary = (name: string): [WasmType[], WasmType] => [[of(name), of(name)], of(name)];
const compare = (name: string): [WasmType[], WasmType] => [[of(name), of(name)], "i32"];
const convert = (name: string): [WasmType[], WasmType] => {
  const source = /_(i32|i64|f32|f64)(_[su])?$/.exec(name);
  return [[(source?.[1] ?? of(name)) as WasmType], of(name)];
};
const load = (name: string): [WasmType[], WasmType] => [["i32"], of(name)];
const store = (name: string): [WasmType[], undefined] => [["i32", of(name)], undefined];

const perType = (type: string, names: string) =>
  names
    .trim()
    .split(/\s+/)
    .map((name) => (name === "-" ? name : `${type}.${name}`))
    .join(" ");

const integerCompares = "eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u";
const floatCompares = "eq ne lt gt le ge";
const integerBinary = "add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u rotl rotr";
const floatUnary = "abs neg ceil floor trunc nearest sqrt";
const floatBinary = "add sub mul div min max copysign";

add(0x45, "i32.eqz", () => [["i32"], "i32"]);
add(0x46, perType("i32", integerCompares), compare);
add(0x50, "i64.eqz", () => [["i64"], "i32"]);
add(0x51, perType("i64", integerCompares), compare);
add(0x5b, perType("f32", floatCompares), compare);
add(0x61, perType("f64", floatCompares), compare);
add(0x67, perType("i32", "clz ctz popcnt"), unary);
add(0x6a, perType("i32", integerBinary), binary);
add(0x79, perType("i64", "clz ctz popcnt"), unary);
add(0x7c, perType("i64", integerBinary), binary);
add(0x8b, perType("f32", floatUnary), unary);
add(0x92, perType("f32", floatBinary), binary);
add(0x99, perType("f64", floatUnary), unary);
add(0xa0, perType("f64", floatBinary), binary);
add(
  0xa7,
  `i32.wrap_i64 i32.trunc_f32_s i32.trunc_f32_u i32.trunc_f64_s i32.trunc_f64_u i64.extend_i32_s i64.extend_i32_u
   i64.trunc_f32_s i64.trunc_f32_u i64.trunc_f64_s i64.trunc_f64_u f32.convert_i32_s f32.convert_i32_u
   f32.convert_i64_s f32.convert_i64_u f32.demote_f64 f64.convert_i32_s f64.convert_i32_u f64.convert_i64_s
   f64.convert_i64_u f64.promote_f32 i32.reinterpret_f32 i64.reinterpret_f64 f32.reinterpret_i32 f64.reinterpret_i64`,
  convert,
);
add(0xc0, "i32.extend8_s i32.extend16_s i64.extend8_s i64.extend16_s i64.extend32_s", unary);
add(0x00, perType("i32", "trunc_sat_f32_s trunc_sat_f32_u trunc_sat_f64_s trunc_sat_f64_u"), convert, "none", 0xfc);
add(0x04, perType("i64", "trunc_sat_f32_s trunc_sat_f32_u trunc_sat_f64_s trunc_sat_f64_u"), convert, "none", 0xfc);

add(
  0x28,
  `i32.load i64.load f32.load f64.load i32.load8_s i32.load8_u i32.load16_s i32.load16_u i64.load8_s i64.load8_u
   i64.load16_s i64.load16_u i64.load32_s i64.load32_u`,
  load,
  "memory",
);
add(
  0x36,
  "i32.store i64.store f32.store f64.store i32.store8 i32.store16 i64.store8 i64.store16 i64.store32",
  store,
  "memory",
);
add(0x00, "v128.load", load, "memory", 0xfd);
add(0x0b, "v128.store", store, "memory", 0xfd);
add(0x5c, "v128.load32_zero v128.load64_zero", load, "memory", 0xfd);

const vUnary = (): [WasmType[], WasmType] => [["v128"], "v128"];
const vBinary = (): [WasmType[], WasmType] => [["v128", "v128"], "v128"];
const vTernary = (): [WasmType[], WasmType] => [["v128", "v128", "v128"], "v128"];
const vTest = (): [WasmType[], WasmType] => [["v128"], "i32"];
const vShift = (): [WasmType[], WasmType] => [["v128", "i32"], "v128"];
const laneType = (name: string): WasmType =>
  name.startsWith("i64") ? "i64" : name.startsWith("f64") ? "f64" : name.startsWith("f32") ? "f32" : "i32";
const splat = (name: string): [WasmType[], WasmType] => [[laneType(name)], "v128"];
const extract = (name: string): [WasmType[], WasmType] => [["v128"], laneType(name)];
const replace = (name: string): [WasmType[], WasmType] => [["v128", laneType(name)], "v128"];
const simd = (first: number, names: string, signature: typeof vUnary | typeof splat, immediate: Immediate = "none") =>
  add(first, names, signature, immediate, 0xfd);

simd(0x0e, "i8x16.swizzle", vBinary);
simd(0x0f, "i8x16.splat i16x8.splat i32x4.splat i64x2.splat f32x4.splat f64x2.splat", splat);
simd(0x15, "i8x16.extract_lane_s i8x16.extract_lane_u", extract, "lane");
simd(0x17, "i8x16.replace_lane", replace, "lane");
simd(0x18, "i16x8.extract_lane_s i16x8.extract_lane_u", extract, "lane");
simd(0x1a, "i16x8.replace_lane", replace, "lane");
for (const [code, shape] of [
  [0x1b, "i32x4"],
  [0x1d, "i64x2"],
  [0x1f, "f32x4"],
  [0x21, "f64x2"],
] as const) {
  simd(code, `${shape}.extract_lane`, extract, "lane");
  simd(code + 1, `${shape}.replace_lane`, replace, "lane");
}
simd(0x23, perType("i8x16", integerCompares), vBinary);
simd(0x2d, perType("i16x8", integerCompares), vBinary);
simd(0x37, perType("i32x4", integerCompares), vBinary);
simd(0x41, perType("f32x4", floatCompares), vBinary);
simd(0x47, perType("f64x2", floatCompares), vBinary);
simd(0x4d, "v128.not", vUnary);
simd(0x4e, "v128.and v128.andnot v128.or v128.xor", vBinary);
simd(0x52, "v128.bitselect", vTernary);
simd(0x53, "v128.any_true", vTest);
simd(0x5e, "f32x4.demote_f64x2_zero f64x2.promote_low_f32x4", vUnary);
simd(0x60, "i8x16.abs i8x16.neg i8x16.popcnt", vUnary);
simd(0x63, "i8x16.all_true i8x16.bitmask", vTest);
simd(0x65, "i8x16.narrow_i16x8_s i8x16.narrow_i16x8_u", vBinary);
simd(0x67, perType("f32x4", "ceil floor trunc nearest"), vUnary);
simd(0x6b, perType("i8x16", "shl shr_s shr_u"), vShift);
simd(0x6e, perType("i8x16", "add add_sat_s add_sat_u sub sub_sat_s sub_sat_u"), vBinary);
simd(0x74, "f64x2.ceil f64x2.floor", vUnary);
simd(0x76, perType("i8x16", "min_s min_u max_s max_u"), vBinary);
simd(0x7a, "f64x2.trunc", vUnary);
simd(0x7b, "i8x16.avgr_u", vBinary);
simd(
  0x7c,
  `i16x8.extadd_pairwise_i8x16_s i16x8.extadd_pairwise_i8x16_u i32x4.extadd_pairwise_i16x8_s
   i32x4.extadd_pairwise_i16x8_u i16x8.abs i16x8.neg`,
  vUnary,
);
simd(0x82, "i16x8.q15mulr_sat_s", vBinary);
simd(0x83, "i16x8.all_true i16x8.bitmask", vTest);
simd(0x85, "i16x8.narrow_i32x4_s i16x8.narrow_i32x4_u", vBinary);
const extend = (narrow: string) =>
  `extend_low_${narrow}_s extend_high_${narrow}_s extend_low_${narrow}_u extend_high_${narrow}_u`;
const extendedMultiply = (narrow: string) =>
  `extmul_low_${narrow}_s extmul_high_${narrow}_s extmul_low_${narrow}_u extmul_high_${narrow}_u`;
simd(0x87, perType("i16x8", extend("i8x16")), vUnary);
simd(0x8b, perType("i16x8", "shl shr_s shr_u"), vShift);
simd(0x8e, perType("i16x8", "add add_sat_s add_sat_u sub sub_sat_s sub_sat_u"), vBinary);
simd(0x94, "f64x2.nearest", vUnary);
simd(0x95, perType("i16x8", "mul min_s min_u max_s max_u - avgr_u"), vBinary);
simd(0x9c, perType("i16x8", extendedMultiply("i8x16")), vBinary);
simd(0xa0, "i32x4.abs i32x4.neg", vUnary);
simd(0xa3, "i32x4.all_true i32x4.bitmask", vTest);
simd(0xa7, perType("i32x4", extend("i16x8")), vUnary);
simd(0xab, perType("i32x4", "shl shr_s shr_u"), vShift);
simd(0xae, perType("i32x4", "add - - sub - - - mul min_s min_u max_s max_u dot_i16x8_s"), vBinary);
simd(0xbc, perType("i32x4", extendedMultiply("i16x8")), vBinary);
simd(0xc0, "i64x2.abs i64x2.neg", vUnary);
simd(0xc3, "i64x2.all_true i64x2.bitmask", vTest);
simd(0xc7, perType("i64x2", extend("i32x4")), vUnary);
simd(0xcb, perType("i64x2", "shl shr_s shr_u"), vShift);
simd(0xce, perType("i64x2", "add - - sub - - - mul eq ne lt_s gt_s le_s ge_s"), vBinary);
simd(0xdc, perType("i64x2", extendedMultiply("i32x4")), vBinary);
simd(0xe0, perType("f32x4", "abs neg - sqrt"), vUnary);
simd(0xe4, perType("f32x4", "add sub mul div min max pmin pmax"), vBinary);
simd(0xec, perType("f64x2", "abs neg - sqrt"), vUnary);
simd(0xf0, perType("f64x2", "add sub mul div min max pmin pmax"), vBinary);
simd(
  0xf8,
  `i32x4.trunc_sat_f32x4_s i32x4.trunc_sat_f32x4_u f32x4.convert_i32x4_s f32x4.convert_i32x4_u
   i32x4.trunc_sat_f64x2_s_zero i32x4.trunc_sat_f64x2_u_zero f64x2.convert_low_i32x4_s f64x2.convert_low_i32x4_u`,
  vUnary,
);

/** Looks an instruction up by its name in the text format; throws on an unknown name (a mistake in this package). */
export function opcode(name: string): Opcode {
  const found = table.get(name);
  if (!found) throw new Error(`no WebAssembly instruction ${name}`);
  return found;
}
