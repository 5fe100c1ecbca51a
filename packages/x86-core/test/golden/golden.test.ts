import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { parseModel } from "../../src/cpu/models.js";
import { BlockDecoder } from "../../src/decode/block.js";
import { InstructionDecoder } from "../../src/decode/instruction.js";
import { OpcodeTables } from "../../src/decode/opcode-tables.js";
import { RecordArena } from "../../src/decode/records.js";
import { rows } from "../../src/instructions/index.js";
import { BlockEmitter } from "../../src/jit/block-emitter.js";
import { VARIANT_SLOTS } from "../../src/table/variants.js";
import { type GoldenProgram, PROGRAMS } from "./programs.js";

/**
 * The WebAssembly text that blocks become, against the files in `expected/`. After a wanted change, run this test with
 * SOFTMETAL_ACCEPT=1: it writes the files anew, and their diff is what to review.
 */
const accept = process.env.SOFTMETAL_ACCEPT === "1";
const directory = fileURLToPath(new URL("expected/", import.meta.url));

/** Decodes the program's bytes, at the start of a page, and emits them. */
function emit({ name, source, code, mode }: GoldenProgram): string {
  const buffer = new ArrayBuffer(65536);
  const arena = new RecordArena(buffer, 0x1000, 0x8000);
  const model = parseModel("max");
  const tables = new OpcodeTables(rows, (feature) => model.has(feature));
  // Handlers get their numbers in order of use, so that new rows do not change the text.
  const numbers = new Uint16Array(rows.length * VARIANT_SLOTS).fill(0xffff);
  let next = 0;
  const decoder = new BlockDecoder(new InstructionDecoder(tables), arena, {
    number: (row, variant) => {
      const slot = row.id * VARIANT_SLOTS + variant;
      if (numbers[slot] === 0xffff) numbers[slot] = next++;
      return numbers[slot];
    },
  });
  const bytes = Uint8Array.from(Buffer.from(code.replaceAll(" ", ""), "hex"));
  const block = decoder.decode({ bytes, position: 0, limit: bytes.length }, mode)!;
  expect(block.end, `${name}: all of the bytes are one block`).toBe(bytes.length);
  const header = [...source.map((line) => `;; ${line}`), `;; bytes ${code}, mode ${mode}`];
  return `${header.join("\n")}\n${new BlockEmitter(arena, numbers, {}).print(block.first)}`;
}

for (const program of PROGRAMS) {
  test(`block ${program.name}`, () => {
    const file = `${directory}${program.name}.wat`;
    const text = emit(program);
    expect(emit(program)).toBe(text);
    if (accept) {
      mkdirSync(directory, { recursive: true });
      writeFileSync(file, text);
      return;
    }
    expect(existsSync(file), `${file} exists; SOFTMETAL_ACCEPT=1 writes it`).toBe(true);
    expect(text).toBe(readFileSync(file, "utf8"));
  });
}

test("no file is left over", () => {
  expect(readdirSync(directory).sort()).toEqual(PROGRAMS.map(({ name }) => `${name}.wat`).sort());
});
