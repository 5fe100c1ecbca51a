import { expect, test } from "vitest";
import { FEATURES, MODEL_NAMES, ModelError, parseModel } from "../../src/index.js";
import { gpr, type Machine, makeCpu, run, setGpr } from "./machine.js";

function cpuid(machine: Machine, leaf: number, subleaf = 0): number[] {
  setGpr(machine, 0, BigInt(leaf));
  setGpr(machine, 1, BigInt(subleaf));
  run(machine, [0x0f, 0xa2]);
  return [0, 3, 1, 2].map((index) => Number(gpr(machine, index)));
}
const text = (words: number[]): string =>
  words.flatMap((word) => [0, 8, 16, 24].map((shift) => String.fromCharCode((word >>> shift) & 0xff))).join("");

test("descriptions of models add and take away features, with what depends on them", () => {
  const model = parseModel("x86-64-v2, +aes, -sse4.1");
  expect(model.has("aes")).toBe(true);
  expect(model.has("sse4.1")).toBe(false);
  expect(model.has("sse4.2")).toBe(false);
  expect(model.has("ssse3")).toBe(true);
  expect(FEATURES.filter((feature) => !parseModel("max").has(feature))).toEqual(["erms"]);
  expect(parseModel("max,+erms").has("erms")).toBe(true);
  expect(parseModel("pentium3").has("lm")).toBe(false);
});

test.each([
  ["i386", "unknown-model", "i386"],
  ["max,sha", "bad-syntax", "sha"],
  ["max,+avx512", "unknown-feature", "+avx512"],
  ["max,", "bad-syntax", ""],
  ["pentium3,+pcid", "missing-dependency", "+pcid"],
  ["constructor", "unknown-model", "constructor"],
])("the description %s is refused as %s", (description, code, part) => {
  expect(() => parseModel(description)).toThrow(ModelError);
  try {
    parseModel(description);
  } catch (error) {
    expect(error).toMatchObject({ code, part });
  }
});

test.each(MODEL_NAMES)("CPUID of %s names vendor, brand and hypervisor", (name) => {
  const machine = makeCpu(name);
  const [, ebx, ecx, edx] = cpuid(machine, 0);
  expect(text([ebx, edx, ecx])).toBe("GenuineIntel");
  const brand = [2, 3, 4].flatMap((leaf) => cpuid(machine, 0x80000000 + leaf));
  expect(text(brand).replace(/\0+$/, "")).toBe(`Softmetal CPU (${name})`);
  const hypervisor = cpuid(machine, 0x40000000);
  expect(text(hypervisor.slice(1))).toBe("SoftmetalVMM");
  // Bits 27-20, 19-16, 11-8, 7-4, 3-0: family and model.
  const [signature] = cpuid(machine, 1);
  expect((signature >> 8) & 15).toBe(6);
  const model = parseModel(name);
  expect(((signature >> 12) & 0xf0) | ((signature >> 4) & 15)).toBe(model.model);
});

test("feature bits follow the model and CR4", () => {
  const machine = makeCpu("max,-sha");
  expect(cpuid(machine, 7)[1] & (1 << 29)).toBe(0);
  expect(cpuid(makeCpu(), 7)[1] & (1 << 29)).not.toBe(0);
  expect(cpuid(machine, 1)[2] & (1 << 27)).toBe(0);
  // MOV EAX, CR4; OR EAX, OSXSAVE; MOV CR4, EAX
  run(machine, [0x66, 0x0f, 0x20, 0xe0, 0x66, 0x0d, 0, 0, 4, 0, 0x0f, 0x22, 0xe0]);
  expect(cpuid(machine, 1)[2] & (1 << 27)).not.toBe(0);
  // Leaves that do not exist give the highest basic one.
  expect(cpuid(machine, 0x12345)).toEqual(cpuid(machine, 0x16));
  expect(cpuid(machine, 0x15)).toEqual([1, 1, 2_000_000_000, 0]);
  expect(cpuid(machine, 0xd)).toEqual([3, 576, 576, 0]);
  // No core beside this one.
  expect(cpuid(machine, 0xb, 1)).toEqual([0, 1, 0x201, 0]);
  expect(cpuid(machine, 4, 3)[0] & 31).toBe(0);
});
