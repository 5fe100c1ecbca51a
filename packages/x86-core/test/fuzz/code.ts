import { rows } from "../../src/instructions/index.js";
import { systemRows } from "../../src/instructions/system.js";
import { systemFlagRows } from "../../src/instructions/system-flags.js";
import { systemFlowRows } from "../../src/instructions/system-flow.js";
import { systemSegmentRows } from "../../src/instructions/system-segments.js";
import type { Row } from "../../src/table/row.js";
import { encode } from "../silicon/encode.js";
import type { Random } from "../silicon/random.js";

/** What a program consists of. */
export type CodeKind = "bytes" | "soup" | "system" | "self-modifying";
export const CODE_KINDS: readonly CodeKind[] = ["bytes", "soup", "system", "self-modifying"];

const encodable = rows.filter((row) => row.opcode >= 0);
const system = [...new Set([...systemRows, ...systemFlowRows, ...systemSegmentRows, ...systemFlagRows])].filter(
  (row) => row.opcode >= 0,
);
const storing = encodable.filter(
  (row) => /^(MOV|ADD|XOR|OR|REP_STOS|STOS|MOVS|REP_MOVS|PUSH|XCHG|INC)/.test(row.mnemonic) && !row.options.unit,
);
const PREFIXES = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x48, 0x4f, 0x0f, 0x0f, 0x0f];

/** Random code that fills the target. */
export function makeCode(random: Random, kind: CodeKind, long: boolean, target: Uint8Array): void {
  for (let at = 0; at < target.length; ) {
    if (kind === "bytes") {
      target[at++] = random.oneIn(6) ? random.pick(PREFIXES) : random.u32();
      continue;
    }
    const instruction = new Uint8Array(64);
    const list = kind === "soup" ? encodable : random.oneIn(3) ? encodable : kind === "system" ? system : storing;
    const length = encodeRandom(random, random.pick(list), long, instruction);
    if (random.oneIn(30)) instruction[random.below(length)] ^= 1 << random.below(8);
    target.set(instruction.subarray(0, Math.min(length, target.length - at)), at);
    at += length;
  }
}

function encodeRandom(random: Random, row: Row, long: boolean, out: Uint8Array): number {
  const { memory, register } = row.traits;
  const operandSize = random.pick(long ? ([16, 32, 32, 64, 64] as const) : ([16, 32, 32] as const));
  const registers = long ? 16 : 8;
  const any = () => random.below(registers);
  const inMemory = memory && (!register || random.oneIn(2));
  const displacement = random.oneIn(3) ? random.u32() | 0 : random.below(256) - 128;
  return encode(
    row,
    {
      long,
      operandSize,
      short: random.oneIn(20),
      prefixes: random.oneIn(8) ? [random.pick(PREFIXES)] : [],
      reg: any(),
      rm: any(),
      opcodeRegister: any(),
      vvvv: any(),
      memory: inMemory
        ? {
            base: random.oneIn(8) ? -1 : any(),
            index: random.oneIn(3) ? random.pick([0, 1, 2, 3, 5, 6, 7]) : -1,
            scale: random.below(4),
            displacement: random.oneIn(2) ? 0 : displacement,
            ripRelative: long && random.oneIn(6),
            target: random.below(4096),
          }
        : undefined,
      bareRex: long && random.oneIn(10),
      immediates: immediates(random, row, operandSize, long),
    },
    out,
    0,
  );
}

function immediates(random: Random, row: Row, operandSize: number, long: boolean): { value: bigint; bytes: number }[] {
  const value = () => BigInt(random.oneIn(2) ? random.below(256) : random.u32());
  return row.operands.flatMap((operand) => {
    const full = operandSize / 8;
    if (operand.place === "moffs") return [{ value: value(), bytes: long ? 8 : 4 }];
    // Short jumps mostly: they stay in the program.
    if (operand.place === "relative") {
      const distance = random.oneIn(8) ? random.u32() | 0 : random.below(96) - 64;
      return [{ value: BigInt(distance), bytes: operand.size === "b" ? 1 : operandSize === 16 ? 2 : 4 }];
    }
    if (operand.place !== "immediate") return [];
    const bytes = operand.size === "b" ? 1 : operand.size === "w" ? 2 : operand.size === "v" ? full : Math.min(full, 4);
    return [{ value: value(), bytes }];
  });
}
