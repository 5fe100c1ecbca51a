import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MachineError } from "../../src/api.js";
import { loadBoot } from "../../src/boot/index.js";
import { elf, environment, pvhNotes } from "./images.js";

const MiB = 2 ** 20;
const code = Uint8Array.from({ length: 100 }, (_, i) => i);
const kernel = (entry = MiB + 16, virtual = 0xffff800000000, more: Parameters<typeof elf>[2] = []) =>
  elf(64, virtual, [
    { virtual, physical: MiB, data: code, memorySize: 0x3000 },
    { type: 4, virtual: 0, physical: 0, data: pvhNotes(entry) },
    ...more,
  ]);
const codeOf = (action: () => unknown): string => {
  try {
    action();
  } catch (error) {
    if (error instanceof MachineError && /^[^\n]+\.$/.test(error.message)) return error.code;
    throw error;
  }
  return "no error";
};

describe.each([32, 64] as const)("an ELF%i kernel with a PVH entry", (elfClass) => {
  const image = elf(elfClass, 0, [
    { type: 4, virtual: 0, physical: 0, data: pvhNotes(MiB + 16, elfClass === 32 ? 4 : 8) },
    { virtual: 0xc0100000, physical: MiB, data: code, memorySize: 0x3000 },
  ]);
  const env = environment();
  const initrd = new Uint8Array(777).fill(0x77);
  const { cpu, protocol } = loadBoot(env, { kind: "linux", kernel: image, initrd, commandLine: "hello" });
  const { ram } = env;
  const info = cpu.registers.rbx!;

  it("is entered in 32-bit protected mode", () => {
    expect(protocol).toBe("pvh");
    expect(cpu).toMatchObject({ mode: "protected", rip: MiB + 16, cr0: 0x11, cr4: 0, efer: 0 });
    expect(cpu.segments.tr).toEqual({ selector: 0x20, base: 0, limit: 0x67, access: 0x8b });
  });

  it("lies in memory with its bss cleared", () => {
    expect(ram.bytes.subarray(MiB, MiB + 100)).toEqual(code);
    expect(ram.bytes.subarray(MiB + 100, MiB + 0x3000).every((byte) => byte === 0)).toBe(true);
    expect(ram.bytes[MiB + 0x3000]).toBe(0xcc);
  });

  it("gets the start info", () => {
    expect([ram.u32(info), ram.u32(info + 4), ram.u32(info + 12)]).toEqual([0x336ec578, 1, 1]);
    expect(ram.text(ram.u64(info + 24))).toBe("hello");
    expect(ram.u64(info + 32)).toBe(0xe0000);
    const module = ram.u64(info + 16);
    expect(ram.u64(module + 8)).toBe(777);
    expect(ram.bytes.subarray(ram.u64(module), ram.u64(module) + 777)).toEqual(initrd);
    const map = ram.u64(info + 40);
    expect(ram.u32(info + 48)).toBe(5);
    expect([ram.u64(map + 24), ram.u64(map + 32), ram.u32(map + 40), ram.u32(map + 44)]).toEqual([
      0x9fc00, 0x400, 2, 0,
    ]);
  });
});

describe("an ELF kernel that cannot be loaded", () => {
  const small = environment(16);
  const load = (image: Uint8Array) => loadBoot(small, { kind: "linux", kernel: image });

  it.each<[string, Uint8Array, string]>([
    ["has no PVH note", elf(64, 0, [{ virtual: MiB, physical: MiB, data: code }]), "bad-boot-image"],
    ["has its entry elsewhere", kernel(2 * MiB), "bad-boot-image"],
    ["is for another processor", kernel().fill(0xb7, 18, 19), "bad-boot-image"],
    ["is big-endian", kernel().fill(2, 5, 6), "bad-boot-image"],
    ["has no program headers", kernel().fill(0, 56, 58), "bad-boot-image"],
    ["is truncated", kernel().subarray(0, 220), "bad-boot-image"],
    ["ends in its headers", kernel().subarray(0, 70), "bad-boot-image"],
    ["ends in its first header", kernel().subarray(0, 40), "bad-boot-image"],
    [
      "has segments that overlap",
      kernel(undefined, undefined, [{ virtual: 0, physical: MiB + 0x1000, data: code }]),
      "bad-boot-image",
    ],
    [
      "has a segment in a hole",
      kernel(undefined, undefined, [{ virtual: 0, physical: 0x9f000, data: new Uint8Array(0x2000) }]),
      "does-not-fit",
    ],
    [
      "has a segment beyond the memory",
      kernel(undefined, undefined, [{ virtual: 0, physical: 2 ** 51, data: code }]),
      "does-not-fit",
    ],
    [
      "has a segment larger than the memory",
      kernel(undefined, undefined, [{ virtual: 0, physical: 2 * MiB, data: code, memorySize: 2 ** 50 }]),
      "does-not-fit",
    ],
    [
      "has a segment smaller than its data",
      kernel(undefined, undefined, [{ virtual: 0, physical: 2 * MiB, data: code, memorySize: 5 }]),
      "bad-boot-image",
    ],
  ])("because it %s gets a typed error", (_, image, expected) => {
    expect(codeOf(() => load(image))).toBe(expected);
  });

  it("never makes the loader fail otherwise, whatever its headers say", () => {
    const good = kernel();
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 0, max: 255 })), { maxLength: 5 }),
        fc.integer({ min: 0, max: good.length }),
        (changes, length) => {
          const image = good.slice(0, length);
          for (const [at, value] of changes) if (at < length) image[at] = value;
          expect(["no error", "bad-boot-image", "does-not-fit"]).toContain(codeOf(() => load(image)));
        },
      ),
      { numRuns: 1000 },
    );
  });
});
