import type { Feature } from "../table/features.js";
import type { Row } from "../table/row.js";

/** Rows of one opcode under one mandatory prefix, the most specific first. */
export type Candidates = readonly Row[];

/** Prefix classes of a look-up: none of 66 F3 F2, 66, F3, F2. */
export const PREFIX = { none: 0, x66: 1, xF3: 2, xF2: 3 } as const;

/** All opcodes by map, VEX, prefix class and byte. */
export class OpcodeTables {
  readonly #tables: (Candidates | undefined)[] = [];

  /** Rows whose feature is missing do not exist: their bytes mean what they meant before (TZCNT is BSF). */
  constructor(rows: readonly Row[], has: (feature: Feature) => boolean) {
    const present = rows.filter((row) => row.opcode >= 0 && (!row.options.feature || has(row.options.feature)));
    for (const prefixClass of [0, 1, 2, 3]) {
      for (const row of present) {
        if (!allows(row, prefixClass)) continue;
        const last = row.plusRegister ? row.opcode + 7 : row.opcode;
        for (let opcode = row.opcode; opcode <= last; opcode++) {
          const index = slot(row.map, row.vex !== undefined, prefixClass, opcode);
          this.#tables[index] = [...(this.#tables[index] ?? []), row].sort((a, b) => specificity(b) - specificity(a));
        }
      }
    }
  }

  find(map: number, vex: boolean, prefixClass: number, opcode: number): Candidates | undefined {
    return this.#tables[slot(map, vex, prefixClass, opcode)];
  }
}

const slot = (map: number, vex: boolean, prefixClass: number, opcode: number) =>
  (((vex ? 4 : 0) + map) * 4 + prefixClass) * 256 + opcode;

function allows(row: Row, prefixClass: number): boolean {
  if (row.prefix === undefined) return true;
  if (row.prefix === "NP") {
    // A string instruction is repeated by F3 and F2, but 66 is its operand size.
    return prefixClass === PREFIX.none || (prefixClass === PREFIX.x66 && !row.modrm && row.map === 0);
  }
  return prefixClass === { "66": PREFIX.x66, F3: PREFIX.xF3, F2: PREFIX.xF2 }[row.prefix];
}

function specificity(row: Row): number {
  const { memory, register } = row.traits;
  return (
    (row.prefix ? 8 : 0) +
    (row.fixedModrm !== undefined ? 4 : 0) +
    (memory !== register ? 2 : 0) +
    (row.options.withoutRexB ? 1 : 0)
  );
}
