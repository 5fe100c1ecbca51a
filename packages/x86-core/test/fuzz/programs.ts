import { CS, DS, ES, FS, GS, gprOffset, LDTR, S, SS, STATE, TR } from "../../src/state/layout.js";
import { Random } from "../silicon/random.js";
import { CODE_KINDS, makeCode } from "./code.js";
import { type FuzzMachine, RAM_END } from "./machine.js";

export const MODES = ["real", "vm86", "protected", "paging32", "pae", "compatibility", "long"] as const;
export type FuzzMode = (typeof MODES)[number];

/** Guest-physical places; linear addresses are the same, where the page tables are sound. */
const GDT = 0x1000;
const IDT = 0x2000;
const TSS = 0x3000;
const LDT = 0x3800;
const TABLES = 0x4000;
export const CODE = 0x10000;
export const CODE_SIZE = 0x2000;
const HANDLERS = 0x14000;
const DATA = 0x20000;
const STACK = 0x30000;

/** Handlers that go on a few bytes behind the exception, without and with an error code on the stack. */
const SKIP = HANDLERS + 0xf00;
const SKIP_ERROR = HANDLERS + 0xf20;
const SKIPPERS: Record<"real" | "long" | "other", readonly [plain: string, withError: string]> = {
  real: ["6783042403cf", "83c4026783042403cf"],
  long: ["488304240348cf", "4883c408488304240348cf"],
  other: ["83042403cf", "83c40483042403cf"],
};
const WITH_ERROR = [8, 10, 11, 12, 13, 14, 17];

/** CR0, CR4 and EFER that each mode starts with. */
const CONTROL: Record<FuzzMode, readonly [cr0: number, cr4: number, efer: number]> = {
  real: [0x10, 0x600, 0],
  vm86: [0x80000011, 0x600, 0],
  protected: [0x11, 0x600, 0],
  paging32: [0x80010011, 0x690, 0],
  pae: [0x80010011, 0x6a0, 0x800],
  compatibility: [0x80010011, 0x6a0, 0xd01],
  long: [0x80010011, 0x6a0, 0xd01],
};

const random64 = (random: Random): bigint => (BigInt(random.u32()) << 32n) | BigInt(random.u32());

/** Numbers that lead somewhere interesting. */
function pointer(random: Random): bigint {
  const near = BigInt(random.below(64) - 32);
  switch (random.below(10)) {
    case 0:
      return BigInt(CODE + random.below(CODE_SIZE));
    case 1:
      return BigInt(TABLES + random.below(0x4000));
    case 2:
      return BigInt(random.below(RAM_END + 0x4000));
    case 3:
      return BigInt.asUintN(64, random.pick([0x10000n, 0x100000000n, 0x800000000000n, 0xffff800000000000n, 0n]) + near);
    case 4:
      return random64(random);
    case 5:
      return BigInt(GDT + random.below(0x3000));
    default:
      return BigInt(DATA + random.below(0x2000));
  }
}
const MSRS = [0x10n, 0x1bn, 0x174n, 0x175n, 0x176n, 0x200n, 0x277n, 0x2ffn, 0x1a0n].concat([
  0xc0000080n,
  0xc0000081n,
  0xc0000100n,
  0xc0000101n,
]);
/** Values of CR0, CR3, CR4 and EFER between which a guest may switch modes. */
const CONTROLS = [
  0x10n,
  0x11n,
  0x80000011n,
  0x80010033n,
  0x4000n,
  0x5000n,
  0x600n,
  0x620n,
  0x6b0n,
  0x100n,
  0x500n,
  0x901n,
];

/** Also numbers of MSRs, control values, selectors and counts. */
function registerValue(random: Random): bigint {
  switch (random.below(5)) {
    case 0:
      return BigInt(random.below(0x80));
    case 1:
      return random.pick(MSRS);
    case 2:
      return random.pick(CONTROLS);
    default:
      return pointer(random);
  }
}

function descriptor(random: Random): bigint {
  if (random.oneIn(6)) return random64(random);
  const privilege = BigInt(random.pick([0, 0, 0, 3, 3, random.below(4)])) << 45n;
  const present = random.oneIn(12) ? 0n : 1n << 47n;
  if (random.oneIn(2)) {
    // Code and data: flat, or small.
    const type = BigInt(0x10 | random.below(16)) << 40n;
    const size = BigInt(random.pick([0xc, 0xc, 0xa, 0x4, 0, 8])) << 52n;
    const flat = random.oneIn(4) ? BigInt(random.u32() & 0xffffff) : 0x000f00000000ffffn;
    return flat | type | size | privilege | present;
  }
  const type = random.pick([1, 2, 3, 4, 5, 6, 7, 9, 11, 12, 14, 15]);
  const at = [2, 3, 1, 9, 11].includes(type)
    ? TSS + random.pick([0, 0x100, 0x200, 0x800])
    : HANDLERS + random.below(64);
  const attributes = (BigInt(type) << 40n) | privilege | present;
  if (type < 4 || type === 9 || type === 11) {
    return BigInt(0x67) | (BigInt(at) << 16n) | attributes;
  }
  const selector = BigInt(random.below(0x80)) << 16n;
  return BigInt(at & 0xffff) | selector | (BigInt(at >> 16) << 48n) | attributes;
}

/** Writes little-endian numbers where a program is made. */
class Writer {
  readonly view: DataView;
  constructor(
    readonly machine: FuzzMachine,
    buffer: ArrayBufferLike,
  ) {
    this.view = new DataView(buffer);
  }
  u32(address: number, value: number): void {
    this.view.setUint32(this.machine.host(address), value >>> 0, true);
  }
  u64(address: number, value: bigint): void {
    this.view.setBigUint64(this.machine.host(address), BigInt.asUintN(64, value), true);
  }
}

function writeTables(random: Random, w: Writer, mode: FuzzMode, broken: boolean): void {
  const flat = (access: bigint, flags: bigint) => 0x000f00000000ffffn | (access << 40n) | (flags << 52n);
  const sound = [
    0n,
    flat(0x9bn, 0xcn),
    flat(0x93n, 0xcn),
    flat(0x9bn, 0xan),
    flat(0xfbn, 0xcn),
    flat(0xf3n, 0xcn),
    flat(0xfbn, 0xan),
    flat(0x9bn, 0n),
  ];
  for (let index = 0; index < 32; index++) {
    w.u64(
      GDT + index * 8,
      sound[index] !== undefined && !(broken && random.oneIn(6)) ? sound[index] : descriptor(random),
    );
    w.u64(LDT + index * 8, descriptor(random));
  }
  const long = mode === "long" || mode === "compatibility";
  const code = long ? 0x18n : random.oneIn(6) ? 0x38n : 0x08n;
  for (let vector = 0; vector < 256; vector++) {
    const at = IDT + vector * (long ? 16 : 8);
    const skips = random.oneIn(4) ? undefined : WITH_ERROR.includes(vector) && mode !== "real" ? SKIP_ERROR : SKIP;
    const target = skips ?? HANDLERS + random.below(128);
    const type = random.oneIn(8) ? BigInt(random.below(256)) : 0xeen;
    const gate = BigInt(target & 0xffff) | (code << 16n) | (type << 40n) | (BigInt(target >> 16) << 48n);
    w.u64(at, broken && random.oneIn(6) ? descriptor(random) : gate);
    if (long) w.u64(at + 8, broken && random.oneIn(8) ? random64(random) : 0n);
    if (mode === "real") w.u32(vector * 4, ((HANDLERS >> 4) << 16) | (target - HANDLERS));
  }
  for (const tss of [TSS, TSS + 0x100, TSS + 0x200]) {
    for (let field = 0; field < 0x68; field += 4) w.u32(tss + field, broken ? random.u32() : 0);
    if (random.oneIn(10)) continue;
    if (long) for (let stack = 4; stack < 0x60; stack += 8) w.u64(tss + stack, BigInt(STACK + 0x800));
    else {
      for (const stack of [4, 12, 20]) {
        w.u32(tss + stack, STACK + 0x800);
        w.u32(tss + stack + 4, 0x10);
      }
      w.u32(tss + 0x1c, TABLES);
      w.u32(tss + 0x20, CODE + random.below(64));
      w.u32(tss + 0x24, 2);
      w.u32(tss + 0x38, STACK);
      for (let segment = 0x48; segment < 0x60; segment += 4) w.u32(tss + segment, segment === 0x4c ? 8 : 0x10);
    }
  }
}

/** Page tables that map the first 2 MiB onto themselves; broken ones have random entries and loops. */
function writePaging(random: Random, w: Writer, mode: FuzzMode, broken: boolean): void {
  const wide = mode !== "paging32" && mode !== "vm86";
  const size = wide ? 8 : 4;
  const put = (address: number, value: bigint) => (wide ? w.u64(address, value) : w.u32(address, Number(value)));
  const entry = (target: number, bits: number): bigint => {
    if (!broken || !random.oneIn(8)) return BigInt(target | bits);
    switch (random.below(4)) {
      case 0:
        return random64(random) & (wide ? ~0n : 0xffffffffn);
      case 1:
        return BigInt(target | (random.u32() & 0xfff));
      case 2:
        // Tables that are their own entries.
        return BigInt((TABLES + random.below(4) * 0x1000) | 7 | (random.oneIn(3) ? 0x80 : 0));
      default:
        return 0n;
    }
  };
  const [top, pointers, directory, table] = [TABLES, TABLES + 0x1000, TABLES + 0x2000, TABLES + 0x3000];
  const long = mode === "long" || mode === "compatibility";
  if (long) {
    put(top, entry(pointers, 7));
    put(top + 511 * 8, entry(pointers, 7));
    put(pointers, entry(directory, 7));
    put(pointers + 511 * 8, entry(directory, 7));
  } else if (wide) for (let index = 0; index < 4; index++) put(top + index * 8, entry(directory, 1));
  const root = wide ? directory : top;
  put(root, entry(table, 7));
  put(root + size, entry(0, 0x87));
  put(root + 2 * size, entry(wide ? 0x200000 : 0x400000, 0x87));
  for (let page = 0; page < RAM_END / 4096 + 2; page++)
    put(table + page * size, entry(page * 4096, random.oneIn(30) ? 5 : 7));
}

function setSegments(random: Random, machine: FuzzMachine, mode: FuzzMode, user: boolean): void {
  const { state } = machine.cpu;
  const set = (segment: number, selector: number, base: number, limit: number, attributes: number) =>
    state.setSegment(segment, selector, BigInt(base), limit, attributes);
  if (mode === "real" || mode === "vm86") {
    const access = mode === "real" ? 0x9300 : 0xf300;
    set(CS, CODE >> 4, CODE, 0xffff, mode === "real" ? 0x9b00 : 0xf300);
    set(SS, STACK >> 4, STACK, 0xffff, access);
    for (const segment of [ES, DS, FS, GS]) {
      const place = random.pick([DATA, CODE, 0, 0xffff0]);
      set(segment, place >> 4, place, 0xffff, access);
    }
  } else {
    const rpl = user ? 3 : 0;
    const dpl = user ? 0x6000 : 0;
    if (mode === "long") set(CS, (user ? 0x30 : 0x18) | rpl, 0, 0xffffffff, 0xa09b00 | dpl);
    else if (random.oneIn(6) && !user) set(CS, 0x38, 0, 0xfffff, 0x9b00);
    else set(CS, (user ? 0x20 : 0x08) | rpl, 0, 0xffffffff, 0xc09b00 | dpl);
    for (const segment of [ES, SS, DS, FS, GS]) {
      if (segment === SS || !random.oneIn(8)) set(segment, (user ? 0x28 : 0x10) | rpl, 0, 0xffffffff, 0xc09300 | dpl);
      else {
        const limit = random.pick([0xff, 0x20fff, 0xffffffff]);
        set(segment, 0x10, random.below(2) * DATA, limit, random.pick([0x9000, 0xc09000, 0x9700, 0x409700, 0x9b00]));
      }
    }
  }
  set(TR, 0x40, TSS, 0x67, 0x8b00);
  set(LDTR, 0x48, LDT, 0xff, 0x8200);
}

/** Fills the target with copies of its first bytes. */
function tile(target: Uint8Array, length: number, fill: (part: Uint8Array) => void): void {
  fill(target.subarray(0, length));
  for (let at = length; at < target.length; at += length)
    target.copyWithin(at, 0, Math.min(length, target.length - at));
}

/** Puts a machine at the start of the program that a seed stands for; gives what it is, for messages. */
export function prepare(machine: FuzzMachine, seed: number): string {
  const random = new Random(seed);
  const mode = MODES[seed % MODES.length];
  const kind = random.pick(CODE_KINDS);
  const broken = random.oneIn(2);
  const user = mode === "vm86" || (mode !== "real" && random.oneIn(3));
  machine.reset();
  const { cpu, u8 } = machine;
  const { state } = cpu;
  const w = new Writer(machine, u8.buffer);
  const long = mode === "long";

  const code = machine.host(CODE);
  tile(u8.subarray(code, code + CODE_SIZE), 0x3e0, (part) => makeCode(random, kind, long, part));
  const handlers = machine.host(HANDLERS);
  tile(u8.subarray(handlers, handlers + 0x1000), 0x210, (part) =>
    makeCode(random, kind, long || mode === "compatibility", part),
  );
  // Most handlers skip: IRET early on, sometimes behind a dropped error code.
  for (let at = 0; at < 128; at += 1 + random.below(6)) u8[handlers + at] = 0xcf;
  const [plain, withError] = SKIPPERS[mode === "real" ? "real" : long || mode === "compatibility" ? "long" : "other"];
  u8.set(Buffer.from(plain, "hex"), machine.host(SKIP));
  u8.set(Buffer.from(withError, "hex"), machine.host(SKIP_ERROR));
  const data = machine.host(DATA);
  tile(u8.subarray(data, data + 0x2000), 0x400, (part) => {
    for (let at = 0; at < part.length; at++) part[at] = random.u32();
  });

  writeTables(random, w, mode, broken);
  const [cr0, cr4, efer] = CONTROL[mode];
  if (cr0 & 0x80000000) writePaging(random, w, mode, broken);
  state.set64(S.cr0, BigInt(cr0 >>> 0) | (random.oneIn(8) ? 0x4000cn & random64(random) : 0n));
  state.set64(
    S.cr4,
    BigInt(cr4) | (random.oneIn(4) ? random64(random) & (random.oneIn(4) ? 0x370383n : 0x070383n) : 0n),
  );
  state.set64(S.efer, BigInt(efer));
  state.set64(S.cr3, BigInt(TABLES));
  state.set64(S.gdtBase, BigInt(GDT));
  state.set32(S.gdtLimit, random.oneIn(8) ? random.below(256) : 0xff);
  state.set64(S.idtBase, BigInt(mode === "real" ? 0 : IDT));
  state.set32(S.idtLimit, random.oneIn(12) ? random.below(0x200) : 0xfff);
  for (const msr of [S.star, S.lstar, S.cstar, S.sysenterCs, S.sysenterEip, S.sysenterEsp, S.kernelGsBase]) {
    if (random.oneIn(2)) state.set64(msr, BigInt.asUintN(64, BigInt.asIntN(48, registerValue(random))));
  }
  setSegments(random, machine, mode, user);
  for (let register = 0; register < 16; register++) {
    if (register < 8 || long)
      state.set64(gprOffset(register), registerValue(random) & (long ? ~0n : 0xffffffffn) & (2n ** 64n - 1n));
  }
  state.set64(gprOffset(4), BigInt(mode === "real" || mode === "vm86" ? 0x800 : STACK + 0x800));
  for (let at = 0; at < 256; at++) u8[STATE + S.xmm + at] = random.u32();
  state.set32(S.fcw, random.oneIn(2) ? 0x37f : random.u32() & 0x1f7f);
  state.set32(S.mxcsr, random.oneIn(2) ? 0x1f80 : random.u32() & 0xffff);
  state.set32(S.ftags, random.below(256));
  if (random.oneIn(12)) {
    state.set64(S.dr, BigInt(CODE + random.below(64)));
    state.set64(S.dr + 8, BigInt(DATA + random.below(0x2000)));
    state.set64(S.dr + 7 * 8, BigInt((random.u32() & 0xffff00ff) | 0x400) & 0xffffffffn);
  }
  const vm86 = mode === "vm86" ? 0x20000 : 0;
  state.rflags = (random.u32() & (random.oneIn(8) ? 0x47fd5 : 0xed5)) | vm86 | 2;
  state.set64(S.rip, BigInt((mode === "real" || mode === "vm86" ? 0 : CODE) + random.below(64)));
  cpu.stateChanged();
  return `seed ${seed} (${mode}${user ? ", user" : ""}, ${kind}${broken ? ", broken tables" : ""})`;
}
