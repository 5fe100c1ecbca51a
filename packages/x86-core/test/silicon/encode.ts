import type { Row } from "../../src/table/row.js";

/** A memory operand in the terms of ModRM and SIB. Registers are numbers, -1 for none. */
export interface Address {
  base: number;
  index: number;
  /** log2 of the factor. */
  scale: number;
  displacement: number;
  /** Relative to the end of the instruction; `displacement` is then filled in by the encoder from `target`. */
  ripRelative: boolean;
  target: number;
  /** With 16-bit addresses: ModRM.r/m; the register fields above are not used. */
  sixteen?: number;
}

/** Everything that chooses one encoding of a row. */
export interface Encoding {
  /** 64-bit mode, else 32-bit. */
  long: boolean;
  operandSize: 16 | 32 | 64;
  /** Address-size prefix. */
  short: boolean;
  /** Prefix bytes that stand before everything else (segments, LOCK). */
  prefixes: number[];
  /** ModRM.reg, the r/m register, the register in the opcode, VEX.vvvv. */
  reg: number;
  rm: number;
  opcodeRegister: number;
  vvvv: number;
  memory: Address | undefined;
  /** An otherwise superfluous REX. */
  bareRex: boolean;
  /** Values and sizes of what follows, in order. */
  immediates: { value: bigint; bytes: number }[];
}

const MANDATORY = { NP: undefined, "66": 0x66, F3: 0xf3, F2: 0xf2 } as const;

/** Writes the instruction at `out[at]` and gives its length. */
export function encode(row: Row, e: Encoding, out: Uint8Array, at: number): number {
  let end = at;
  const byte = (value: number) => {
    out[end++] = value;
  };
  for (const prefix of e.prefixes) byte(prefix);
  if (e.short) byte(0x67);
  if (!row.vex && e.operandSize === 16 && row.prefix !== "66") byte(0x66);
  if (!row.vex && row.prefix && row.prefix !== "NP") byte(MANDATORY[row.prefix]!);

  const wide = e.operandSize === 64 && row.options.size === undefined;
  const base = row.plusRegister ? e.opcodeRegister : e.memory ? Math.max(e.memory.base, 0) : e.rm;
  const index = e.memory ? Math.max(e.memory.index, 0) : 0;
  const r = (e.reg >> 3) & 1;
  const x = (index >> 3) & 1;
  const b = (base >> 3) & 1;
  if (row.vex) {
    const pp = { NP: 0, "66": 1, F3: 2, F2: 3 }[row.prefix ?? "NP"];
    byte(0xc4);
    byte(((1 - r) << 7) | ((1 - x) << 6) | ((1 - b) << 5) | row.map);
    byte((e.operandSize === 64 ? 0x80 : 0) | ((~e.vvvv & 15) << 3) | pp);
  } else {
    const rex = (wide ? 8 : 0) | (r << 2) | (x << 1) | b;
    if (rex || e.bareRex) byte(0x40 | rex);
    if (row.map > 0) byte(0x0f);
    if (row.map === 2) byte(0x38);
    if (row.map === 3) byte(0x3a);
  }
  byte(row.plusRegister ? row.opcode | (e.opcodeRegister & 7) : row.opcode);
  let fixup = -1;
  if (row.modrm) {
    const reg = (row.digit ?? e.reg & 7) << 3;
    if (row.fixedModrm !== undefined) byte(row.fixedModrm);
    else if (e.memory) {
      const m = e.memory;
      const small = m.displacement === (m.displacement << 24) >> 24;
      if (m.sixteen !== undefined) {
        // Mod 2: always 16 bits of displacement.
        byte(0x80 | reg | m.sixteen);
        byte(m.displacement);
        byte(m.displacement >> 8);
      } else if (m.ripRelative) {
        byte(reg | 5);
        fixup = end;
        end += 4;
      } else if (m.base < 0) {
        // Without a base: disp32, in 64-bit mode only through SIB.
        byte(reg | 4);
        byte((m.scale << 6) | ((m.index < 0 ? 4 : m.index & 7) << 3) | 5);
        for (let i = 0; i < 4; i++) byte(m.displacement >> (8 * i));
      } else {
        const needsDisplacement = (m.base & 7) === 5 || m.displacement !== 0;
        const mod = needsDisplacement ? (small ? 0x40 : 0x80) : 0;
        if (m.index >= 0 || (m.base & 7) === 4) {
          byte(mod | reg | 4);
          byte((m.scale << 6) | ((m.index < 0 ? 4 : m.index & 7) << 3) | (m.base & 7));
        } else byte(mod | reg | (m.base & 7));
        const bytes = mod === 0x40 ? 1 : mod === 0x80 ? 4 : 0;
        for (let i = 0; i < bytes; i++) byte(m.displacement >> (8 * i));
      }
    } else byte(0xc0 | reg | (e.rm & 7));
  }
  for (const { value, bytes } of e.immediates) {
    for (let i = 0; i < bytes; i++) byte(Number((value >> BigInt(8 * i)) & 0xffn));
  }
  if (fixup >= 0) {
    const displacement = e.memory!.target - end + at;
    for (let i = 0; i < 4; i++) out[fixup + i] = displacement >> (8 * i);
  }
  return end - at;
}
