/** Register files that operands name. */
export type RegisterFile = "gpr" | "segment" | "control" | "debug" | "mmx" | "xmm" | "x87";

/**
 * `b w d q x`: 8 to 128 bits; `v`: operand size; `z`: operand size, at most 32; `y`: 64 with REX.W, else 32. Only for
 * addresses: `t` 80 bits, `e` an x87 environment of 14 or 28 bytes, `st` a whole x87 state of 94 or 108 bytes,
 * `p` a far pointer, `a` two values of the operand size, `pd` the 6 bytes of a descriptor-table register.
 */
export type SizeCode = "b" | "w" | "d" | "q" | "x" | "v" | "z" | "y" | "t" | "e" | "st" | "p" | "a" | "pd" | "none";

/** One operand of a row. */
export interface Operand {
  /** Where it is encoded. */
  readonly place: "rm" | "reg" | "vvvv" | "opcode" | "immediate" | "relative" | "moffs" | "fixed" | "one";
  readonly file: RegisterFile;
  readonly size: SizeCode;
  /** For `rm`: register or memory, or only one of them. `address`, `offset`: memory only, and the value is its linear address or its offset. */
  readonly form: "either" | "register" | "memory" | "address" | "offset";
  /** Number of a fixed register. */
  readonly index: number;
  readonly read: boolean;
  readonly write: boolean;
  /** An 8-bit immediate that is extended to the operand's width. */
  readonly extended: boolean;
  /** The record's field that holds the register's offset. */
  readonly field?: "a" | "b" | "c";
}

const KINDS: Record<string, Partial<Operand>> = {
  E: { place: "rm", file: "gpr", form: "either" },
  R: { place: "rm", file: "gpr", form: "register" },
  G: { place: "reg", file: "gpr" },
  Z: { place: "opcode", file: "gpr" },
  B: { place: "vvvv", file: "gpr" },
  M: { place: "rm", file: "gpr", form: "memory" },
  A: { place: "rm", file: "gpr", form: "address" },
  L: { place: "rm", file: "gpr", form: "offset" },
  S: { place: "reg", file: "segment" },
  C: { place: "reg", file: "control" },
  D: { place: "reg", file: "debug" },
  P: { place: "reg", file: "mmx" },
  Q: { place: "rm", file: "mmx", form: "either" },
  N: { place: "rm", file: "mmx", form: "register" },
  V: { place: "reg", file: "xmm" },
  W: { place: "rm", file: "xmm", form: "either" },
  U: { place: "rm", file: "xmm", form: "register" },
  T: { place: "rm", file: "x87", form: "register" },
  I: { place: "immediate" },
  J: { place: "relative" },
  O: { place: "moffs" },
};

const FIXED: Record<string, [index: number, size: SizeCode]> = {
  AL: [0, "b"],
  CL: [1, "b"],
  AH: [4, "b"],
  AX: [0, "w"],
  DX: [2, "w"],
  EAX: [0, "d"],
  ECX: [1, "d"],
  EDX: [2, "d"],
  rAX: [0, "v"],
  rDX: [2, "v"],
  zAX: [0, "z"],
};

/**
 * Parses an operand in the notation of the manual's opcode maps (SDM vol. 2, appendix A.2): a letter for the place, a
 * letter for the size, and the access (`:r` when omitted, `:w`, `:rw`).
 *
 * | letter | place |
 * |---|---|
 * | `E` `R` `M` `A` | r/m: register or memory, register only, memory only, memory only and its address is the value |
 * | `L` | as A, but the offset alone, without segment (LEA) |
 * | `G` `Z` `B` | register in ModRM.reg, in the opcode, in VEX.vvvv |
 * | `S` `C` `D` | segment, control or debug register in ModRM.reg (the value is the register's number) |
 * | `P` `Q` `N` | MMX register in ModRM.reg; MMX register or memory; MMX register in r/m |
 * | `V` `W` `U` | XMM register in ModRM.reg; XMM register or memory; XMM register in r/m |
 * | `T` | x87 register ST(i) in r/m (the value is i) |
 * | `I` `J` `O` | immediate, relative target (no value), memory offset (the value is its offset) |
 * | `AL` `CL` `rAX` ... `1` | fixed registers, the constant 1 |
 *
 * `Is` is an 8-bit immediate extended to the first operand's width, `Iz` one of the operand size but at most 32 bits,
 * extended likewise. The size and the `:w` of an address are what segments are checked for; the semantics load and store.
 */
export function parseOperand(text: string): Operand {
  const [name, access = "r"] = text.split(":");
  const base = { file: "gpr", form: "either", index: 0, extended: false, size: "none" } as const;
  const accesses = { read: access.includes("r"), write: access.includes("w") };
  if (name === "1") return { ...base, ...accesses, place: "one" };
  const fixed = FIXED[name];
  if (fixed) return { ...base, ...accesses, place: "fixed", index: fixed[0], size: fixed[1] };
  const kind = KINDS[name[0]];
  const size = name.slice(1);
  if (!kind || !/^([bwdqxvzytepa]|s|st|pd|)$/.test(size)) throw new Error(`unknown operand ${text}`);
  return {
    ...base,
    ...accesses,
    ...kind,
    size: (size === "s" ? "b" : size || "none") as SizeCode,
    extended: size === "s" || name === "Iz",
  } as Operand;
}
