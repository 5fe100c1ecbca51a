import { Cpuid } from "@softmetal/kvm-binding";
import { parseModel } from "@softmetal/x86-core";
import { describe, expect, it } from "vitest";
import { guestCpuid } from "../../src/kvm/cpuid.js";
import { modelCpuid } from "../../src/kvm/model-cpuid.js";

const ALL = 0xffffffff;
const all = { eax: ALL, ebx: ALL, ecx: ALL, edx: ALL };
/** "AuthenticAMD". */
const amd = { ebx: 0x68747541, ecx: 0x444d4163, edx: 0x69746e65 };

/** A host with every feature. */
const host = [
  { function: 0, eax: 0x20, ...amd },
  { function: 1, ...all, eax: 0x00a20f10 },
  { function: 7, flags: 1, ...all },
  { function: 0xd, flags: 1, ...all },
  { function: 0xd, index: 1, flags: 1, ...all },
  { function: 0x40000000, eax: 0x40000001, ebx: 0x4b4d564b },
  { function: 0x40000001, eax: 0x01007efb },
  { function: 0x80000001, ...all },
  { function: 0x80000007, ...all },
  { function: 0x80000008, ...all, eax: 0x3030 },
];

function leaves(
  model: string,
  options: { cpus?: number; apicId?: number; interpreted?: boolean; supported?: typeof host },
) {
  const { cpus = 1, apicId = 0, interpreted = false, supported = host } = options;
  const parsed = parseModel(model);
  const list = Cpuid.from(supported);
  const result = guestCpuid({
    ...{ model: parsed, ask: modelCpuid(parsed), supported: list, cpus, apicId, interpreted },
  });
  return (leaf: number, subleaf = 0) => result.find((entry) => entry.function === leaf && entry.index === subleaf);
}

describe("CPUID under KVM", () => {
  it("shows what the model has when the host has it too", () => {
    const ask = modelCpuid(parseModel("max"));
    const leaf = leaves("max", {});
    expect(leaf(1)?.ecx).toBe(ask(1).ecx >>> 0);
    expect(leaf(7)?.ebx).toBe(ask(7).ebx >>> 0);
    expect(leaf(1)?.edx).toBe(ask(1).edx >>> 0);
    // SYSCALL, which processors show in 64-bit mode only and KVM always takes.
    expect(leaf(0x80000001)?.edx).toBe((ask(0x80000001).edx | 0x800) >>> 0);
    const without = leaves("max,-sse4.2", {});
    expect(((without(1)?.ecx ?? 0) >>> 20) & 1).toBe(0);
  });

  it("shows nothing that the host lacks", () => {
    const poor = host.map((entry) => (entry.function === 1 ? { ...entry, ecx: 1, edx: 0x1ff } : entry));
    const leaf = leaves("max", { supported: poor as typeof host });
    expect([leaf(1)?.ecx, leaf(1)?.edx]).toEqual([1, 0x1ff]);
    expect(leaf(0xd)).toBeUndefined();
  });

  it("has the host's identity and defences for 64-bit models, and KVM's clock", () => {
    const leaf = leaves("x86-64-v2", {});
    expect(leaf(0)).toMatchObject(amd);
    expect(leaf(1)?.eax).toBe(0x00a20f10);
    expect(leaf(7)?.edx).toBe(0xfc000400);
    expect(leaf(0x40000001)?.eax).toBe(0x01007efb);
    expect(leaves("pentium3", {})(1)?.eax).toBe(modelCpuid(parseModel("pentium3"))(1).eax);
    expect(leaves("pentium3", {})(7)).toBeUndefined();
  });

  it("numbers the processors", () => {
    const leaf = leaves("x86-64-v2", { cpus: 6, apicId: 5 });
    expect((leaf(1)?.ebx ?? 0) >>> 16).toBe(0x0506);
    expect(leaf(0xb, 1)).toMatchObject({ eax: 3, ebx: 6, edx: 5 });
    expect(leaf(0x80000008)?.ecx).toBe(5);
  });

  it("never shows AVX, which saved machines do not hold", () => {
    // The host has all of it.
    const leaf = leaves("max", {});
    const [FMA, AVX, F16C] = [12, 28, 29].map((bit) => 1 << bit);
    expect((leaf(1)?.ecx ?? -1) & (FMA | AVX | F16C)).toBe(0);
    const [AVX2, AVX512F] = [5, 16].map((bit) => 1 << bit);
    expect((leaf(7)?.ebx ?? -1) & (AVX2 | AVX512F)).toBe(0);
    // XCR0 can have x87 and SSE only.
    expect(leaf(0xd)).toMatchObject({ eax: 3, edx: 0 });
    expect(leaf(0xd, 2)).toBeUndefined();
  });

  it("leaves out what a host cannot interpret", () => {
    const leaf = leaves("max", { interpreted: true });
    expect((leaf(1)?.ecx ?? 0) & ((1 << 13) | (1 << 26))).toBe(0);
    expect(leaf(0xd)).toBeUndefined();
  });
});
