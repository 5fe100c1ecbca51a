import type { Ops } from "../semantics/ops.js";
import type { Width } from "../semantics/values.js";
import { ES } from "../state/layout.js";
import { ins, type Options, type Row, type Semantics } from "../table/row.js";
import type { Val } from "../wasm/code.js";
import { differenceFlags } from "./arithmetic.js";
import { hex } from "./encoding.js";

const RAX = 0;
const RCX = 1;
const RSI = 6;
const RDI = 7;

/** What one element of a string instruction does. */
type Element = (o: Ops, w: Width) => void;

/** Moves rSI or rDI by one element, in the direction that DF says. */
function advance(o: Ops, w: Width, ...registers: number[]): void {
  const step = o.select(o.direction(), o.i64(-w / 8), o.i64(w / 8));
  for (const register of registers) o.setAddressRegister(register, o.add(64, o.gpr(64, register), step));
}

const source = (o: Ops, w: Width): Val => o.load(w, o.linearInSource(o.addressRegister(RSI), w / 8));
const destination = (o: Ops, w: Width, write: boolean): Val => o.linear(ES, o.addressRegister(RDI), w / 8, write);

const compare = (o: Ops, w: Width, a: Val, b: Val) => differenceFlags(o, a, b, o.sub(w, a, b), w);

const movs: Element = (o, w) => {
  const value = source(o, w);
  o.store(w, destination(o, w, true), value);
  advance(o, w, RSI, RDI);
};
const stos: Element = (o, w) => {
  o.store(w, destination(o, w, true), o.gpr(w, RAX));
  advance(o, w, RDI);
};
const lods: Element = (o, w) => {
  const value = source(o, w);
  o.setGpr(w, RAX, value);
  advance(o, w, RSI);
};
const scas: Element = (o, w) => {
  compare(o, w, o.gpr(w, RAX), o.load(w, destination(o, w, false)));
  advance(o, w, RDI);
};
const cmps: Element = (o, w) => {
  const first = source(o, w);
  compare(o, w, first, o.load(w, destination(o, w, false)));
  advance(o, w, RSI, RDI);
};
/** Ports have at most 32 bits, also with REX.W. */
const portWidth = (w: Width): Width => (w === 64 ? 32 : w);
const ins_: Element = (o, size) => {
  const w = portWidth(size);
  const linear = destination(o, w, true);
  // The store must be known to succeed before the port is read: reading may have effects.
  const place = o.loadForWrite(w, linear);
  o.call("ioIn", o.gpr(16, 2), o.i32(w / 8));
  place.store(o.result(w));
  advance(o, w, RDI);
};
const outs: Element = (o, size) => {
  const w = portWidth(size);
  const value = source(o, w);
  o.call("ioOut", o.gpr(16, 2), o.i32(w / 8), o.zext(w, 32, value));
  advance(o, w, RSI);
};

const once =
  (element: Element, byte: boolean): Semantics =>
  (o) =>
    element(o, byte ? 8 : (o.operandSize as Width));

/**
 * A repeated string instruction: one element at a time, each complete before the next, so that a fault or the end of
 * the budget in the middle leaves registers from which the instruction goes on.
 */
const repeated =
  (element: Element, byte: boolean, until?: "equal" | "different"): Semantics =>
  (o) => {
    const w = byte ? 8 : (o.operandSize as Width);
    const size = o.variant.addressSize;
    o.code.block((done) => {
      o.code.branch(done, o.eqz(size, o.gpr(size, RCX)));
      o.code.loop((again) => {
        element(o, w);
        const left = o.sub(size, o.gpr(size, RCX), o.const(size, 1));
        o.setGpr(size, RCX, left);
        o.code.branch(done, o.eqz(size, left));
        if (until) o.code.branch(done, until === "equal" ? o.flag("Z") : o.isNot(o.flag("Z")));
        o.leaveWhenOverBudget();
        o.code.branch(again);
      });
    });
  };

/** The port in DX must be permitted even when the count is 0. */
const afterPortCheck =
  (semantics: Semantics, byte: boolean): Semantics =>
  (o) => {
    o.call("ioCheck", o.gpr(16, 2), o.i32(byte ? 1 : o.operandSize === 16 ? 2 : 4));
    return semantics(o);
  };

const STRINGS: [mnemonic: string, opcode: string, element: Element, flags: string, compares: boolean, port?: true][] = [
  ["MOVS", "A4", movs, "", false],
  ["CMPS", "A6", cmps, "MMMMMM", true],
  ["STOS", "AA", stos, "", false],
  ["LODS", "AC", lods, "", false],
  ["SCAS", "AE", scas, "MMMMMM", true],
  ["INS", "6C", ins_, "", false, true],
  ["OUTS", "6E", outs, "", false, true],
];

export const stringRows: Row[] = STRINGS.flatMap(([name, opcode, element, flags, compares, port]) =>
  [true, false].flatMap((byte): Row[] => {
    const code = byte ? opcode : hex(Number.parseInt(opcode, 16) + 1);
    const mnemonic = `${name}${byte ? "B" : ""}`;
    const options: Options = { addressSized: true, operandSized: !byte };
    const all = (semantics: Semantics) => (port ? afterPortCheck(semantics, byte) : semantics);
    return [
      ins(`NP ${code}`, mnemonic, flags, all(once(element, byte)), options),
      ins(
        `F3 ${code}`,
        `REP_${mnemonic}`,
        flags,
        all(repeated(element, byte, compares ? "different" : undefined)),
        options,
      ),
      ins(
        `F2 ${code}`,
        `REPNE_${mnemonic}`,
        flags,
        all(repeated(element, byte, compares ? "equal" : undefined)),
        options,
      ),
    ];
  }),
);
