import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MachineError } from "../../src/api.js";
import { loadBoot, parseBzImage } from "../../src/boot/index.js";
import { bzImage, environment } from "./images.js";

const MiB = 2 ** 20;
const load = (kernel: Uint8Array, more: { initrd?: Uint8Array; commandLine?: string } = {}, megabytes = 64) => {
  const env = environment(megabytes);
  return { ...loadBoot(env, { kind: "linux", kernel, ...more }), ram: env.ram };
};
const failure = (action: () => unknown): MachineError => {
  try {
    action();
  } catch (error) {
    if (error instanceof MachineError) return error;
    throw error;
  }
  throw new Error("no error was thrown");
};

describe("the 64-bit boot protocol", () => {
  const initrd = new Uint8Array(5000).fill(0x5a);
  const { cpu, ram, protocol } = load(bzImage(), { initrd, commandLine: "console=ttyS0 é" });
  const page = cpu.registers.rsi!;

  it("enters the kernel at its preferred address in 64-bit mode", () => {
    expect(protocol).toBe("linux64");
    expect(cpu).toMatchObject({ mode: "long", rip: 16 * MiB + 0x200, cr0: 0x80000011, cr4: 0x20, efer: 0x500 });
    expect([...ram.bytes.subarray(16 * MiB, 16 * MiB + 300)]).toEqual(Array.from({ length: 300 }, (_, i) => i & 0xff));
  });

  it("maps the first 4 GiB to themselves", () => {
    for (const address of [0, 0x1000, 0x1fffff, 0x200000, 0x3fffffff, 0x40000000, 0xffffffff]) {
      const pml4e = ram.u64(cpu.cr3);
      const pdpte = ram.u64(Math.floor(pml4e / 0x1000) * 0x1000 + Math.floor(address / 2 ** 30) * 8);
      const pde = ram.u64(Math.floor(pdpte / 0x1000) * 0x1000 + (Math.floor(address / 0x200000) % 512) * 8);
      expect([pml4e % 0x1000, pdpte % 0x1000, pde % 0x200000]).toEqual([3, 3, 0x83]);
      expect(Math.floor(pde / 0x200000)).toBe(Math.floor(address / 0x200000));
    }
    expect(ram.u64(cpu.cr3 + 8)).toBe(0);
  });

  it("has the descriptors that the protocol prescribes in the GDT", () => {
    expect(cpu.segments.cs).toEqual({ selector: 0x10, base: 0, limit: 0xffffffff, access: 0xa09b });
    for (const name of ["ds", "es", "ss"] as const) {
      expect(cpu.segments[name]).toEqual({ selector: 0x18, base: 0, limit: 0xffffffff, access: 0xc093 });
    }
    const descriptor = (selector: number) =>
      new DataView(ram.bytes.buffer).getBigUint64(cpu.gdtr.base + selector, true);
    expect(descriptor(0)).toBe(0n);
    expect(descriptor(0x10)).toBe(0x00af9b000000ffffn);
    expect(descriptor(0x18)).toBe(0x00cf93000000ffffn);
    expect(descriptor(0x20)).toBe(0x00008b0000000067n);
    expect(cpu.gdtr.limit).toBe(0x27);
  });

  it("fills the zero page", () => {
    expect(ram.u32(page + 0x202)).toBe(0x53726448);
    expect(ram.bytes[page + 0x210]).toBe(0xff);
    expect(ram.bytes[page + 0x1ef]).toBe(0);
    expect(ram.u64(page + 0x70)).toBe(0xe0000);
    expect(ram.text(ram.u32(page + 0x228))).toBe("console=ttyS0 é");
    expect(ram.bytes[page + 0x1e8]).toBe(5);
    const entry = (i: number) => page + 0x2d0 + i * 20;
    expect([ram.u64(entry(0)), ram.u64(entry(0) + 8), ram.u32(entry(0) + 16)]).toEqual([0, 0x9fc00, 1]);
    expect([ram.u64(entry(4)), ram.u32(entry(4) + 16)]).toEqual([64 * MiB - 0x10000, 3]);
    expect(ram.u32(page + 0x1e0)).toBe(63 * 1024);
  });

  it("puts the initrd as high as the usable memory allows", () => {
    const address = ram.u32(page + 0x218);
    expect(address).toBe(64 * MiB - 0x10000 - 0x2000);
    expect(ram.u32(page + 0x21c)).toBe(5000);
    expect(ram.bytes.subarray(address, address + 5000)).toEqual(initrd);
    const limited = load(bzImage({ initrdMax: 0x2ffffff }), { initrd });
    expect(limited.ram.u32(limited.cpu.registers.rsi! + 0x218)).toBe(48 * MiB - 0x2000);
  });

  it("keeps everything that it places apart", () => {
    const address = ram.u32(page + 0x228);
    const ranges = [
      [page, 0x1000],
      [address, 17],
      [cpu.cr3, 0x6000],
      [cpu.gdtr.base, 0x28],
      [16 * MiB, 8 * MiB],
      [ram.u32(page + 0x218), 5000],
    ].sort(([a], [b]) => a - b);
    for (let i = 1; i < ranges.length; i++)
      expect(ranges[i][0]).toBeGreaterThanOrEqual(ranges[i - 1][0] + ranges[i - 1][1]);
    expect(ranges[0][0]).toBeGreaterThanOrEqual(0x1000);
  });
});

describe("the 32-bit boot protocol", () => {
  it("is used when the kernel has no 64-bit entry", () => {
    const { cpu, protocol } = load(bzImage({ xloadflags: 0 }));
    expect(protocol).toBe("linux32");
    expect(cpu).toMatchObject({ mode: "protected", rip: 16 * MiB, cr0: 0x11, cr3: 0, cr4: 0, efer: 0 });
    expect(cpu.segments.cs).toEqual({ selector: 0x10, base: 0, limit: 0xffffffff, access: 0xc09b });
    expect(Object.keys(cpu.registers)).toEqual(["rsi"]);
  });

  it("is used for old kernels, at 1 MiB", () => {
    const { cpu } = load(bzImage({ version: 0x0204, preferred: 0xdead000, initSize: 0xffffffff }));
    expect(cpu).toMatchObject({ mode: "protected", rip: MiB });
  });
});

describe("a kernel file that cannot be loaded", () => {
  const cases: [what: string, image: Uint8Array, code: string, message: RegExp][] = [
    ["is empty", new Uint8Array(), "bad-boot-image", /empty/],
    ["is a few bytes", new Uint8Array(100), "bad-boot-image", /truncated: it has only 100/],
    ["is something else", new Uint8Array(10_000), "bad-boot-image", /neither a bzImage nor/],
    ["is compressed", Uint8Array.of(0x1f, 0x8b, 8, 0), "bad-boot-image", /compressed with gzip/],
    ["ends in the header", bzImage().subarray(0, 0x220), "bad-boot-image", /truncated: it ends inside/],
    ["ends in the payload", bzImage().subarray(0, 3000), "bad-boot-image", /truncated: its header announces 5120/],
    ["is a zImage", bzImage({ loadflags: 0 }), "bad-boot-image", /zImage/],
    ["is very old", bzImage({ version: 0x0200 }), "bad-boot-image", /older than 2.02/],
    ["announces no bytes", bzImage({ syssize: 0 }), "bad-boot-image", /size as 0/],
    ["announces absurdly many bytes", bzImage({ syssize: 0xffffffff }), "bad-boot-image", /truncated/],
    ["wants a strange alignment", bzImage({ alignment: 0x30000 }), "bad-boot-image", /alignment/],
    ["wants low memory", bzImage({ preferred: 0x8000 }), "bad-boot-image", /below 1 MiB/],
    ["wants more memory than there is", bzImage({ initSize: 0x4000000 }), "does-not-fit", /at least 80 MiB/],
    ["wants memory far away", bzImage({ preferred: 2 ** 52 }), "does-not-fit", /at least/],
    ["is not relocatable", bzImage({ relocatable: 0, preferred: 0x3ff0000 }), "does-not-fit", /memory/],
  ];
  it.each(cases)("because it %s gets one clear sentence", (_, image, code, message) => {
    const error = failure(() => load(image));
    expect(error.message).toMatch(message);
    expect(error.code).toBe(code);
    expect(error.message).toMatch(/^[^\n]+\.$/);
  });

  it("does not take a command line or an initrd that are too large", () => {
    expect(failure(() => load(bzImage({ cmdlineSize: 10 }), { commandLine: "x".repeat(11) })).code).toBe("bad-config");
    expect(failure(() => load(bzImage(), { commandLine: "a\0b" })).code).toBe("bad-config");
    expect(failure(() => load(bzImage(), { initrd: new Uint8Array(60 * MiB) })).code).toBe("does-not-fit");
    expect(failure(() => load(bzImage({ initrdMax: 0x1000 }), { initrd: new Uint8Array(9) })).code).toBe(
      "does-not-fit",
    );
  });

  it("never makes the loader write outside or fail otherwise, whatever its header says", () => {
    const good = bzImage({ payload: 600 });
    const env = environment(16);
    const damage = fc.array(fc.tuple(fc.integer({ min: 0x1f1, max: 0x270 }), fc.integer({ min: 0, max: 255 })), {
      minLength: 1,
      maxLength: 6,
    });
    fc.assert(
      fc.property(damage, fc.integer({ min: 0, max: good.length }), (changes, length) => {
        const kernel = good.slice(0, length);
        for (const [at, value] of changes) if (at < length) kernel[at] = value;
        try {
          loadBoot(env, { kind: "linux", kernel, initrd: new Uint8Array(10) });
        } catch (error) {
          if (!(error instanceof MachineError)) throw error;
        }
      }),
      { numRuns: 2000 },
    );
  });
});

it("reads the version out of the image", () => {
  expect(parseBzImage(bzImage()).kernelVersion).toBe("9.9.9-test (x)");
});
