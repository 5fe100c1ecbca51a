import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MachineError } from "../../src/api.js";
import { loadBoot } from "../../src/boot/index.js";
import { elf, environment, multibootHeader } from "./images.js";

const MiB = 2 ** 20;
const join = (...parts: Uint8Array[]) => Uint8Array.from(parts.flatMap((part) => [...part]));
const body = Uint8Array.from({ length: 64 }, (_, i) => 0x40 + i);

const load = (
  kernel: Uint8Array,
  more: { commandLine?: string; modules?: { data: Uint8Array; commandLine?: string }[] } = {},
) => {
  const env = environment(16);
  return { ...loadBoot(env, { kind: "multiboot", kernel, ...more }), ram: env.ram };
};
const codeOf = (action: () => unknown): string => {
  try {
    action();
  } catch (error) {
    if (error instanceof MachineError && /^[^\n]+\.$/.test(error.message)) return error.code;
    throw error;
  }
  return "no error";
};

describe("a Multiboot ELF kernel", () => {
  const data = join(multibootHeader(3), body);
  const kernel = elf(32, 0xc0100010, [{ virtual: 0xc0100000, physical: MiB, data, memorySize: 0x5000 }]);
  const modules = [{ data: new Uint8Array(10).fill(1), commandLine: "first" }, { data: new Uint8Array(5000).fill(2) }];
  const { cpu, ram, protocol } = load(kernel, { commandLine: "kernel a=b", modules });
  const info = cpu.registers.rbx!;

  it("is entered at its physical address with the magic number", () => {
    expect(protocol).toBe("multiboot");
    expect(cpu).toMatchObject({ mode: "protected", rip: MiB + 0x10, cr0: 0x11, registers: { rax: 0x2badb002 } });
    expect(ram.bytes.subarray(MiB, MiB + data.length)).toEqual(data);
    expect(ram.bytes[MiB + 0x4fff]).toBe(0);
  });

  it("is told of memory, command line and modules", () => {
    expect(ram.u32(info)).toBe(0x24d);
    expect([ram.u32(info + 4), ram.u32(info + 8)]).toEqual([639, 15 * 1024 - 64]);
    expect(ram.text(ram.u32(info + 16))).toBe("kernel a=b");
    expect(ram.text(ram.u32(info + 64))).toBe("Softmetal");
    expect(ram.u32(info + 20)).toBe(2);
    const list = ram.u32(info + 24);
    const first = ram.u32(list);
    expect([first % 0x1000, ram.u32(list + 4) - first, ram.text(ram.u32(list + 8))]).toEqual([0, 10, "first"]);
    expect(first).toBeGreaterThanOrEqual(MiB + 0x5000);
    const second = ram.u32(list + 16);
    expect([second % 0x1000, ram.u32(list + 20) - second, ram.text(ram.u32(list + 24))]).toEqual([0, 5000, ""]);
    expect(ram.bytes.subarray(second, second + 5000)).toEqual(modules[1].data);
    const map = ram.u32(info + 48);
    expect(ram.u32(info + 44)).toBe(5 * 24);
    expect([ram.u32(map + 24), ram.u64(map + 28), ram.u64(map + 36), ram.u32(map + 44)]).toEqual([
      20, 0x9fc00, 0x400, 2,
    ]);
  });
});

describe("a Multiboot kernel with address fields", () => {
  // The header stands 8 bytes into the loaded part, which begins 4 bytes into the file.
  const header = (loadEnd: number, bssEnd: number, entry = 2 * MiB + 40) =>
    join(new Uint8Array(12), multibootHeader(0x10003, 2 * MiB + 8, 2 * MiB, loadEnd, bssEnd, entry), body);

  it("is loaded as they say", () => {
    const kernel = header(2 * MiB + 60, 2 * MiB + 100);
    const { cpu, ram } = load(kernel);
    expect(cpu.rip).toBe(2 * MiB + 40);
    expect(ram.bytes.subarray(2 * MiB, 2 * MiB + 60)).toEqual(kernel.subarray(4, 64));
    expect([...ram.bytes.subarray(2 * MiB + 60, 2 * MiB + 101)]).toEqual([...new Array(40).fill(0), 0xcc]);
  });

  it("reaches to the end of the file when no end is given", () => {
    const kernel = header(0, 0);
    const { ram } = load(kernel);
    expect(ram.bytes.subarray(2 * MiB, 2 * MiB + kernel.length - 4)).toEqual(kernel.subarray(4));
  });

  it("is refused when they contradict each other", () => {
    expect(codeOf(() => load(header(2 * MiB + 9000, 0)))).toBe("bad-boot-image");
    expect(codeOf(() => load(header(MiB, 0)))).toBe("bad-boot-image");
    expect(codeOf(() => load(header(2 * MiB + 60, 2 * MiB + 10)))).toBe("bad-boot-image");
    expect(codeOf(() => load(header(0, 0, 64)))).toBe("bad-boot-image");
    expect(codeOf(() => load(header(0, 0xffffffff)))).toBe("does-not-fit");
    expect(codeOf(() => load(join(multibootHeader(0x10000, MiB, 2 * MiB, 0, 0, MiB))))).toBe("bad-boot-image");
    expect(codeOf(() => load(join(multibootHeader(0x10000, 3 * MiB, 2 * MiB, 0, 0, MiB))))).toBe("bad-boot-image");
    expect(codeOf(() => load(multibootHeader(0x10000, MiB, MiB)))).toBe("bad-boot-image");
  });
});

describe("other files", () => {
  it("are refused with a typed error", () => {
    expect(codeOf(() => load(new Uint8Array(9000)))).toBe("bad-boot-image");
    expect(codeOf(() => load(new Uint8Array()))).toBe("bad-boot-image");
    expect(codeOf(() => load(multibootHeader(3)))).toBe("bad-boot-image");
    expect(codeOf(() => load(join(multibootHeader(0x8), body)))).toBe("bad-boot-image");
    expect(codeOf(() => load(join(new Uint8Array(8192), multibootHeader(0x10000, MiB, MiB, 0, 0, MiB))))).toBe(
      "bad-boot-image",
    );
  });

  it("never make the loader fail otherwise", () => {
    const env = environment(16);
    const good = join(multibootHeader(0x10003, MiB, MiB, MiB + 90, MiB + 100, MiB + 40), body);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 0xffffffff }), { minLength: 5, maxLength: 5 }), (addresses) => {
        const kernel = join(multibootHeader(0x10003, ...addresses), body);
        expect(["no error", "bad-boot-image", "does-not-fit"]).toContain(
          codeOf(() => loadBoot(env, { kind: "multiboot", kernel })),
        );
      }),
      { numRuns: 300 },
    );
    expect(codeOf(() => load(good))).toBe("no error");
  });
});
