import { describe, expect, it } from "vitest";
import { MachineError } from "../../src/api.js";
import { loadBoot } from "../../src/boot/index.js";
import { environment } from "./images.js";

const MiB = 2 ** 20;
const image = Uint8Array.from({ length: 512 }, (_, i) => i);
const load = (loadAddress: number, mode: "real" | "protected" | "long", entry?: number, bytes = image) => {
  const env = environment(16);
  return { ...loadBoot(env, { kind: "flat", image: bytes, loadAddress, mode, entry }), ram: env.ram };
};
const codeOf = (action: () => unknown): string => {
  try {
    action();
  } catch (error) {
    if (error instanceof MachineError) return error.code;
    throw error;
  }
  return "no error";
};

describe("a flat image", () => {
  it("starts as a boot sector does", () => {
    const { cpu, ram } = load(0x7c00, "real");
    expect(cpu).toMatchObject({ mode: "real", rip: 0x7c00, cr0: 0x10, registers: { rdx: 0x80, rsp: 0x7c00 } });
    expect(cpu.segments.cs).toEqual({ selector: 0, base: 0, limit: 0xffff, access: 0x9b });
    expect(cpu.idtr).toEqual({ base: 0, limit: 0x3ff });
    expect(ram.bytes.subarray(0x7c00, 0x7e00)).toEqual(image);
  });

  it("may start anywhere in the first MiB, as firmware does", () => {
    const { cpu } = load(0xffe00, "real", 0xffff4);
    expect([cpu.segments.cs.selector, cpu.segments.cs.base, cpu.rip]).toEqual([0xffff, 0xffff0, 4]);
  });

  it("starts in 32-bit mode with flat segments", () => {
    const { cpu } = load(MiB, "protected", MiB + 8);
    expect(cpu).toMatchObject({ mode: "protected", rip: MiB + 8, registers: { rsp: MiB } });
    expect(cpu.segments.ss.limit).toBe(0xffffffff);
  });

  it("starts in 64-bit mode with page tables that it does not cover", () => {
    const low = load(0x1000, "long", 0x1000, new Uint8Array(0x8000).fill(0x90));
    expect(low.cpu).toMatchObject({ mode: "long", rip: 0x1000, efer: 0x500 });
    expect(low.cpu.cr3).toBeGreaterThanOrEqual(0x9000);
    expect(low.cpu.gdtr.base).toBeGreaterThanOrEqual(0x9000);
    expect(low.ram.bytes.subarray(0x1000, 0x9000).every((byte) => byte === 0x90)).toBe(true);
  });

  it("is refused when it makes no sense", () => {
    expect(codeOf(() => load(0x7c00, "real", 0x7c00, new Uint8Array()))).toBe("bad-boot-image");
    expect(codeOf(() => load(-1, "real"))).toBe("bad-config");
    expect(codeOf(() => load(0.5, "real"))).toBe("bad-config");
    expect(codeOf(() => load(Number.NaN, "long"))).toBe("bad-config");
    expect(codeOf(() => load(0x7c00, "real", 0x7000))).toBe("bad-config");
    expect(codeOf(() => load(0x7c00, "real", 0x7e00))).toBe("bad-config");
    expect(codeOf(() => load(2 * MiB, "real"))).toBe("bad-config");
    expect(codeOf(() => load(16 * MiB - 100, "protected"))).toBe("does-not-fit");
    expect(codeOf(() => load(0xffffffff, "protected"))).toBe("does-not-fit");
  });
});
