import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import * as registers from "../src/abi/registers.js";
import { ExitUnion, Run } from "../src/abi/run.js";
import {
  array,
  bytes,
  type Fields,
  type StructType,
  s32,
  struct,
  u8,
  u16,
  u32,
  u64,
  union,
} from "../src/abi/struct.js";
import * as vm from "../src/abi/vm.js";

type AnyStruct = StructType<Fields>;
const isStruct = (value: unknown): value is AnyStruct =>
  typeof value === "object" && value !== null && "fields" in value;

/** Every field, however deep, with its offset: what the kernel's headers must say too. */
function* fields(type: AnyStruct, path = "", base = 0): Generator<[string, number, number]> {
  for (const [name, field] of Object.entries(type.fields)) {
    const offset = base + type.offsets[name];
    const full = path === "" ? name : `${path}.${name}`;
    yield [full, offset, field.size];
    if (isStruct(field)) yield* fields(field, full, offset);
  }
}

/** Members that the definitions name differently. */
const skip = (type: string, path: string) => (type === "kvm_run" && /^exit$|^s$/.test(path)) || /tdx\.u$/.test(path);

/** Members of `kvm_run` that only newer headers have, with what those headers also have. */
const newer: [RegExp, string][] = [
  [/^exit\.memory_fault/, "KVM_MEMORY_EXIT_FLAG_PRIVATE"],
  [/^exit\.tdx/, "KVM_EXIT_TDX"],
  [/^exit\.hypercall\.flags/, "KVM_MEMORY_EXIT_FLAG_PRIVATE"],
];

const native = fileURLToPath(new URL("../native", import.meta.url));
const code = (code: string) => expect.objectContaining({ name: "KvmError", code });

const compiler = spawnSync("gcc", ["--version"]).status === 0 && process.platform === "linux" && process.arch === "x64";
if (!compiler) console.warn("\n*** The comparison with the kernel's headers is skipped: no gcc on Linux x86-64\n");

describe("structures", () => {
  it.skipIf(!compiler)("are laid out as the kernel's headers say", () => {
    const types = [...Object.values(registers), ...Object.values(vm), Run].filter(isStruct) as unknown as AnyStruct[];
    expect(types.length).toBeGreaterThan(30);
    const expected: string[] = [];
    const lines: string[] = [];
    const optional = new Set<string>();
    for (const type of types) {
      expected.push(`${type.name} ${type.size}`);
      lines.push(`printf("${type.name} %zu\\n", sizeof(struct ${type.name}));`);
      for (const [path, offset, size] of fields(type)) {
        // kvm_run's union has no name in C: its members are the structure's own.
        const member =
          type.name === "kvm_run"
            ? path
                .replace(/^exit\./, "")
                .replace(/^debug/, "debug.arch")
                .replace(/^tdx\.u\./, "tdx.")
            : path;
        if (skip(type.name, path) || member === "debug.arch" || /padding\d?$|pad\d?$|reserved$/.test(member)) continue;
        const c = `((struct ${type.name} *)0)->${member}`;
        const line = `${type.name}.${path} ${offset} ${size}`;
        const print = `printf("${type.name}.${path} %zu %zu\\n", (size_t)&${c}, sizeof(${c}));`;
        const marker = type.name === "kvm_run" ? newer.find(([pattern]) => pattern.test(path))?.[1] : undefined;
        if (marker !== undefined) optional.add(line);
        expected.push(line);
        lines.push(marker === undefined ? print : `#ifdef ${marker}\n${print}\n#endif`);
      }
    }
    const folder = mkdtempSync(join(tmpdir(), "layout-"));
    try {
      const source = join(folder, "layout.c");
      writeFileSync(source, `#include <stdio.h>\n#include "newer.h"\nint main(void) {\n${lines.join("\n")}\n}\n`);
      execFileSync("gcc", [`-I${native}`, "-o", join(folder, "layout"), source], {
        stdio: ["ignore", "inherit", "inherit"],
      });
      const printed = execFileSync(join(folder, "layout"), { encoding: "utf8" });
      const lineSet = printed.trim().split("\n");
      expect(lineSet).toEqual(expected.filter((line) => !optional.has(line) || lineSet.includes(line)));
    } finally {
      rmSync(folder, { recursive: true });
    }
    expect(Run.offsets.exit).toBe(32);
    expect(ExitUnion.size).toBe(256);
  });

  const Inner = struct("inner", { a: u8, b: u32 });
  const Outer = struct("outer", {
    first: u16,
    inner: Inner,
    list: array(Inner, 2),
    raw: bytes(3),
    signed: s32,
    either: union("", { word: u32, half: u16 }, 8),
    last: u64,
  });

  it("align as C does", () => {
    expect(Outer.offsets).toEqual({ first: 0, inner: 4, list: 12, raw: 28, signed: 32, either: 36, last: 48 });
    expect(Outer.size).toBe(56);
  });

  it("decode what they encode", () => {
    const outer = Outer.create({ first: 7, inner: { b: 9 }, list: [{ a: 1 }, { b: 2 }], raw: [1, 2], signed: -5 });
    outer.last = 2n ** 64n - 1n;
    outer.either.word = 0x12345678;
    expect(outer.either.half).toBe(0x5678);
    const copy = Outer.create().$assign(outer as never);
    expect(copy.$bytes).toEqual(outer.$bytes);
    expect(copy.$object()).toEqual({
      first: 7,
      inner: { a: 0, b: 9 },
      list: [
        { a: 1, b: 0 },
        { a: 0, b: 2 },
      ],
      raw: [1, 2, 0],
      signed: -5,
      either: { word: 0x12345678, half: 0x5678 },
      last: 2n ** 64n - 1n,
    });
    expect([...copy.list].map((item) => item.b)).toEqual([0, 2]);
    expect(() => copy.list.get(2)).toThrow(code("out-of-range"));
    expect(() => Outer.at(new ArrayBuffer(55))).toThrow(code("out-of-range"));
    expect(() => Outer.at({} as never)).toThrow(code("invalid-argument"));
    const lists = vm.Msrs.from([{ index: 5 }, { index: 6, data: 7n }]);
    expect([lists.length, lists.get(1).data]).toEqual([2, 7n]);
    expect(() => {
      lists.length = 3;
    }).toThrow(code("out-of-range"));
    expect(() => lists.get(2)).toThrow(code("out-of-range"));
    expect(() => vm.Msrs.create(-1)).toThrow(code("out-of-range"));
  });

  it("refuse values of the wrong type, and say when their memory is gone", () => {
    const outer = Outer.create();
    for (const wrong of [
      () => (outer.last = 5 as never),
      () => ((outer.inner as { b: unknown }).b = 5n),
      () => outer.$assign({ last: "x" as never }),
      () => outer.$assign({ list: 5 as never }),
      () => outer.$assign({ raw: null as never }),
      () => outer.$assign(null as never),
      () => outer.list.set(0, null),
    ]) {
      expect(wrong).toThrow(code("invalid-argument"));
    }
    expect(() => (outer.last = 5 as never)).toThrow(/^outer\.last: /);
    const { list, inner } = outer;
    structuredClone(outer.$bytes.buffer, { transfer: [outer.$bytes.buffer as ArrayBuffer] });
    for (const use of [
      () => outer.first,
      () => outer.inner,
      () => inner.b,
      () => list.get(0),
      () => list.set(0, {}),
      () => [...list],
      () => outer.$bytes,
      () => outer.$object(),
      () => outer.$assign({ first: 1 }),
      () => outer.raw,
      () => (outer.first = 1),
    ]) {
      expect(use).toThrow(code("closed"));
    }
  });
});
