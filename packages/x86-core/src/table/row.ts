import type { Ops } from "../semantics/ops.js";
import type { Val } from "../wasm/code.js";
import type { Feature } from "./features.js";
import { type Operand, parseOperand } from "./operands.js";

/**
 * What an instruction does: takes the operands that it reads, in order, and gives the new values of those it writes,
 * in order. Common code loads and stores them.
 */
export type Semantics = (o: Ops, ...operands: Val[]) => Val | readonly Val[] | undefined | void;

/** A prefix that is part of the opcode. NP: none of 66, F3 and F2 may stand there. */
export type MandatoryPrefix = "NP" | "66" | "F3" | "F2";

/** Which table an opcode byte stands in: one-byte, 0F, 0F 38 or 0F 3A. */
export type OpcodeMap = 0 | 1 | 2 | 3;

export interface Options {
  /** CPUID feature without which the instruction is undefined. */
  readonly feature?: Feature;
  /** Valid in 64-bit mode only, or everywhere else only. */
  readonly mode?: "only64" | "not64";
  /** `d64`: operand size 64 in 64-bit mode unless 66 says 16. `f64`: always 64 there. */
  readonly size?: "d64" | "f64";
  /** Not with REX.B: NOP, which otherwise is XCHG r8, rAX. */
  readonly withoutRexB?: boolean;
  /** Raises #GP(0) above CPL 0 before it reads its operand (in virtual-8086 mode the semantics raise #UD). */
  readonly privileged?: boolean;
  /** LOCK is allowed with a memory operand. */
  readonly lock?: boolean;
  /** 16-byte memory operands must be aligned. */
  readonly aligned?: boolean;
  /** The code depends on the address size. */
  readonly addressSized?: boolean;
  /** The code depends on the operand size although no operand shows it. */
  readonly operandSized?: boolean;
  /** Nothing after it belongs to the same block: it jumps or changes what decoding depends on. */
  readonly endsBlock?: boolean;
  /**
   * What the silicon comparison does with the row; by default it generates cases for every form. `approximate`: the
   * last bit of x87 results may differ.
   */
  readonly test?: "skip" | "memory-only" | "approximate";
  /** x87, MMX and SSE instructions raise #NM or #UD by CR0 and CR4. */
  readonly unit?: "x87" | "mmx" | "sse";
}

/** One line of the manual's opcode tables. */
export interface Row {
  /** Its place in the list of all rows; see `numberRows`. */
  id: number;
  readonly mnemonic: string;
  /** As written, for messages and tests: `66 0F 38 00 /r PSHUFB Vx:rw Wx`. */
  readonly text: string;
  readonly prefix: MandatoryPrefix | undefined;
  readonly map: OpcodeMap;
  readonly opcode: number;
  /** The low three bits of the opcode are a register. */
  readonly plusRegister: boolean;
  /** A ModRM byte follows. */
  readonly modrm: boolean;
  /** ModRM.reg as an opcode extension. */
  readonly digit: number | undefined;
  /** The whole ModRM byte is part of the opcode. */
  readonly fixedModrm: number | undefined;
  /** VEX-encoded (vector length 0): required W, or either. */
  readonly vex: { readonly w: 0 | 1 | undefined } | undefined;
  readonly operands: readonly Operand[];
  /** Status of OF SF ZF AF PF CF: M modified, U undefined, 0 or 1 set so, - kept. */
  readonly flags: string;
  readonly semantics: Semantics;
  readonly options: Options;
  readonly traits: Traits;
}

/** What decoding asks of a row each time, worked out once. */
export interface Traits {
  /** The r/m operand may be memory, may be a register. */
  readonly memory: boolean;
  readonly register: boolean;
  readonly hasRm: boolean;
  /** Control and debug register moves ignore the mode bits of ModRM. */
  readonly ignoresMod: boolean;
  /** The memory operand is an offset without a segment (LEA). */
  readonly offsetOnly: boolean;
  readonly usesVvvv: boolean;
  /** The code depends on the operand size. */
  readonly operandSized: boolean;
}

function traitsOf(operands: readonly Operand[], options: Options): Traits {
  const rm = operands.find((operand) => operand.place === "rm");
  return {
    memory: rm !== undefined && rm.form !== "register",
    register: rm === undefined || rm.form === "either" || rm.form === "register",
    hasRm: rm !== undefined,
    ignoresMod: operands.some((operand) => operand.file === "control" || operand.file === "debug"),
    offsetOnly: rm?.form === "offset",
    usesVvvv: operands.some((operand) => operand.place === "vvvv"),
    operandSized: options.operandSized === true || operands.some((operand) => "vzy".includes(operand.size)),
  };
}

/**
 * Makes one row, as the manual prints it:
 *
 * - `encoding`: mandatory prefix (`NP`, `66`, `F3`, `F2`), opcode bytes, then `/r`, `/0`-`/7`, `=C1` (a fixed ModRM
 *   byte) or `+r`; `VEX` before the map (`VEX.0F38.W0 F2`) for the VEX-encoded general instructions;
 * - `syntax`: mnemonic and operands, see operands.ts;
 * - `flags`: OF SF ZF AF PF CF, see `Row.flags`; empty when none changes.
 *
 * Throws for a row that contradicts itself.
 */
export function ins(encoding: string, syntax: string, flags: string, semantics: Semantics, options: Options = {}): Row {
  const fail = (why: string): never => {
    throw new Error(`${encoding} ${syntax}: ${why}`);
  };
  const tokens = encoding.split(" ");
  let prefix: MandatoryPrefix | undefined;
  let vex: Row["vex"];
  let map: OpcodeMap = 0;
  if (tokens[0].startsWith("VEX.")) {
    const [, mapName, w, pp] = tokens.shift()!.split(".");
    map = ({ "0F": 1, "0F38": 2, "0F3A": 3 } as Record<string, OpcodeMap>)[mapName] ?? fail("VEX map");
    vex = { w: w === "W0" ? 0 : w === "W1" ? 1 : undefined };
    prefix = (pp ?? "NP") as MandatoryPrefix;
  } else {
    if (/^(NP|66|F3|F2)$/.test(tokens[0]) && tokens.length > 1 && /^[0-9A-F]{2}(\+r)?$/.test(tokens[1])) {
      prefix = tokens.shift() as MandatoryPrefix;
    }
    if (tokens[0] === "0F" && tokens.length > 1) {
      tokens.shift();
      map = 1;
      if (/^3[8A]$/.test(tokens[0]) && /^[0-9A-F]{2}$/.test(tokens[1] ?? "")) {
        map = tokens.shift() === "38" ? 2 : 3;
      }
    }
  }
  const byte = /^([0-9A-F]{2})(\+r)?$/.exec(tokens.shift() ?? "") ?? fail("opcode byte");
  const rest = tokens.shift();
  if (tokens.length > 0) fail(`unexpected ${tokens.join(" ")}`);
  const digit = rest && /^\/[0-7]$/.test(rest) ? Number(rest[1]) : undefined;
  const fixedModrm = rest?.startsWith("=") ? Number.parseInt(rest.slice(1), 16) : undefined;
  if (rest && rest !== "/r" && digit === undefined && fixedModrm === undefined) fail(`unexpected ${rest}`);
  const space = syntax.indexOf(" ");
  const mnemonic = space < 0 ? syntax : syntax.slice(0, space);
  const operands =
    space < 0
      ? []
      : syntax
          .slice(space + 1)
          .split(" ")
          .map(parseOperand);
  if (flags !== "" && !/^[MU01-]{6}$/.test(flags)) fail("flags");
  const modrm = rest !== undefined;
  if (!modrm && operands.some((operand) => operand.place === "reg" || operand.place === "rm")) fail("no ModRM byte");
  if (operands.filter((operand) => operand.field !== undefined).length > 3) fail("too many register operands");
  return {
    id: -1,
    mnemonic,
    text: `${encoding} ${syntax}`,
    prefix,
    map,
    opcode: Number.parseInt(byte[1], 16),
    plusRegister: byte[2] !== undefined,
    modrm,
    digit,
    fixedModrm,
    vex,
    operands: assignFields(operands, options.addressSized ? ["a", "c"] : ["a", "b", "c"]),
    flags: flags || "------",
    semantics,
    options,
    traits: traitsOf(operands, options),
  };
}

/** Makes a micro-operation: a row without an encoding. */
export function micro(name: string, semantics: Semantics, options: Options = {}): Row {
  return {
    id: -1,
    mnemonic: name,
    text: name,
    prefix: undefined,
    map: 0,
    opcode: -1,
    plusRegister: false,
    modrm: false,
    digit: undefined,
    fixedModrm: undefined,
    vex: undefined,
    operands: [],
    flags: "------",
    semantics,
    options: { test: "skip", ...options },
    traits: traitsOf([], options),
  };
}

/** Gives every row its number. Handlers are found by it, so that it must not depend on the order of imports. */
export function numberRows(rows: readonly Row[]): readonly Row[] {
  rows.forEach((row, index) => {
    if (row.id >= 0) throw new Error(`${row.text} is listed twice`);
    row.id = index;
  });
  return rows;
}

/** A number that changes with the rows: the generated interpreter and the decoder must come from the same ones. */
export function fingerprint(rows: readonly Row[]): number {
  let hash = 0;
  for (const row of rows) {
    for (let index = 0; index < row.text.length; index++) hash = (Math.imul(hash, 31) + row.text.charCodeAt(index)) | 0;
  }
  return hash;
}

/** Register operands take the record's free fields in order; b is the source segment where the code needs one. */
function assignFields(operands: readonly Operand[], fields: readonly ("a" | "b" | "c")[]): Operand[] {
  const free = [...fields];
  return operands.map((operand) =>
    operand.place === "reg" || operand.place === "rm" || operand.place === "opcode" || operand.place === "vvvv"
      ? { ...operand, field: free.shift() }
      : operand,
  );
}
