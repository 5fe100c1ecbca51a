import type { Ops } from "../semantics/ops.js";
import { highHalf, lowHalf, pairVector } from "../semantics/vectors.js";
import { ins, type Row, type Semantics } from "../table/row.js";
import type { Val } from "../wasm/code.js";
import { hex } from "./encoding.js";

/** Sets all six flags for r = a + b (+ carry): a carry leaves each bit where both inputs, or one and not the sum, are 1. */
function sumFlags(o: Ops, a: Val, b: Val, r: Val): void {
  const { w } = o;
  o.setResult(w, r, o.xor(w, o.xor(w, a, b), r));
  o.setCarries(w, o.or(w, o.and(w, a, b), o.andNot(w, o.or(w, a, b), r)));
}

/** Sets all six flags for r = a - b (- borrow), at the width of the instruction or another. */
export function differenceFlags(o: Ops, a: Val, b: Val, r: Val, w = o.w): void {
  o.setResult(w, r, o.xor(w, o.xor(w, a, b), r));
  o.setCarries(w, o.or(w, o.andNot(w, b, a), o.and(w, o.or(w, o.not(w, a), b), r)));
}

const carryIn = (o: Ops) => o.zext(32, o.w, o.flag("C"));

const add: Semantics = (o, a, b) => {
  const r = o.add(o.w, a, b);
  sumFlags(o, a, b, r);
  return r;
};
const adc: Semantics = (o, a, b) => {
  const r = o.add(o.w, o.add(o.w, a, b), carryIn(o));
  sumFlags(o, a, b, r);
  return r;
};
const sub: Semantics = (o, a, b) => {
  const r = o.sub(o.w, a, b);
  differenceFlags(o, a, b, r);
  return r;
};
const sbb: Semantics = (o, a, b) => {
  const r = o.sub(o.w, o.sub(o.w, a, b), carryIn(o));
  differenceFlags(o, a, b, r);
  return r;
};
const cmp: Semantics = (o, a, b) => {
  sub(o, a, b);
};
const logic =
  (operation: "and" | "or" | "xor"): Semantics =>
  (o, a, b) => {
    const r = o[operation](o.w, a, b);
    o.setResult(o.w, r);
    o.clearCarryOverflow();
    return r;
  };
const test: Semantics = (o, a, b) => {
  logic("and")(o, a, b);
};

const arithmetic = "MMMMMM";
const logical = "0MMUM0";
const lock = { lock: true };

/** The eight operations whose forms share one layout (SDM vol. 2, table A-2, rows 0-3 and group 1). */
const GROUP_1: [mnemonic: string, semantics: Semantics, flags: string, access: string][] = [
  ["ADD", add, arithmetic, ":rw"],
  ["OR", logic("or"), logical, ":rw"],
  ["ADC", adc, arithmetic, ":rw"],
  ["SBB", sbb, arithmetic, ":rw"],
  ["AND", logic("and"), logical, ":rw"],
  ["SUB", sub, arithmetic, ":rw"],
  ["XOR", logic("xor"), logical, ":rw"],
  ["CMP", cmp, arithmetic, ":r"],
];

const group1 = GROUP_1.flatMap(([name, semantics, flags, access], index): Row[] => {
  const options = name === "CMP" ? {} : lock;
  const at = (offset: number) => hex(index * 8 + offset, 2);
  return [
    ins(`${at(0)} /r`, `${name} Eb${access} Gb`, flags, semantics, options),
    ins(`${at(1)} /r`, `${name} Ev${access} Gv`, flags, semantics, options),
    ins(`${at(2)} /r`, `${name} Gb${access} Eb`, flags, semantics),
    ins(`${at(3)} /r`, `${name} Gv${access} Ev`, flags, semantics),
    ins(at(4), `${name} AL${access} Ib`, flags, semantics),
    ins(at(5), `${name} rAX${access} Iz`, flags, semantics),
    ins(`80 /${index}`, `${name} Eb${access} Ib`, flags, semantics, options),
    ins(`81 /${index}`, `${name} Ev${access} Iz`, flags, semantics, options),
    ins(`82 /${index}`, `${name} Eb${access} Ib`, flags, semantics, { ...options, mode: "not64" }),
    ins(`83 /${index}`, `${name} Ev${access} Is`, flags, semantics, options),
  ];
});

/** INC and DEC leave CF alone. */
const step =
  (direction: "add" | "sub"): Semantics =>
  (o, a) => {
    const { w } = o;
    const carry = o.flag("C");
    const one = o.const(w, 1);
    const r = o[direction](w, a, one);
    o.setResult(w, r, o.xor(w, o.xor(w, a, one), r));
    const limit = o.const(w, 1n << BigInt(w - 1));
    o.setCarryOverflow(carry, o.eq(w, direction === "add" ? r : a, limit));
    return r;
  };

const not: Semantics = (o, a) => o.not(o.w, a);
const neg: Semantics = (o, a) => {
  const zero = o.const(o.w, 0);
  const r = o.sub(o.w, zero, a);
  differenceFlags(o, zero, a, r);
  return r;
};

const xadd: Semantics = (o, a, b) => {
  const r = o.add(o.w, a, b);
  sumFlags(o, a, b, r);
  return [r, a];
};

/** The destination is always written, with its old value when the comparison fails (SDM vol. 2, CMPXCHG). */
const cmpxchg: Semantics = (o, destination, source) => {
  const { w } = o;
  const accumulator = o.gpr(w, 0);
  const equal = o.eq(w, accumulator, destination);
  differenceFlags(o, accumulator, destination, o.sub(w, accumulator, destination));
  o.if(o.isNot(equal), () => o.setGpr(w, 0, destination));
  return o.select(equal, source, destination);
};

/** With a register, a failed comparison does not even clear the upper half of a 32-bit destination. */
const cmpxchgRegister: Semantics = (o, destination, source) => {
  const { w } = o;
  const accumulator = o.gpr(w, 0);
  differenceFlags(o, accumulator, destination, o.sub(w, accumulator, destination));
  o.if(
    o.eq(w, accumulator, destination),
    () => o.setRegister(w, "a", source),
    () => o.setGpr(w, 0, destination),
  );
};

/** CMPXCHG8B/16B: compares rDX:rAX with memory, stores rCX:rBX when equal, else loads. */
const cmpxchgPair: Semantics = (o, address) => {
  const wide = o.operandSize === 64;
  if (wide) o.requireAlignment(address, 16);
  const half = wide ? 64 : 32;
  const [a, c, d, b] = [o.gpr(half, 0), o.gpr(half, 1), o.gpr(half, 2), o.gpr(half, 3)];
  const place = wide ? o.loadVectorForWrite(address) : o.loadForWrite(64, address);
  const low = wide ? lowHalf(o, place.value) : o.trunc(64, 32, place.value);
  const high = wide ? highHalf(o, place.value) : o.trunc(64, 32, o.shrU(64, place.value, 32));
  const join = (top: Val, bottom: Val) =>
    wide ? pairVector(o, bottom, top) : o.or(64, o.shl(64, o.zext(32, 64, top), 32), o.zext(32, 64, bottom));
  const equal = o.both(o.eq(half, low, a), o.eq(half, high, d));
  place.store(o.select(equal, join(c, b), place.value));
  o.if(o.isNot(equal), () => {
    o.setGpr(half, 0, low);
    o.setGpr(half, 2, high);
  });
  o.setZero(equal);
};

/** ADCX and ADOX: add with carry through one flag, the others kept. */
const addThrough =
  (flag: "C" | "O"): Semantics =>
  (o, a, b) => {
    const { w } = o;
    const r = o.add(w, o.add(w, a, b), o.zext(32, w, o.flag(flag)));
    const carry = o.msb(w, o.or(w, o.and(w, a, b), o.andNot(w, o.or(w, a, b), r)));
    if (flag === "C") o.setCarryOverflow(carry, o.flag("O"));
    else o.setCarryOverflow(o.flag("C"), carry);
    return r;
  };

export const arithmeticRows: Row[] = [
  ...group1,
  ins("84 /r", "TEST Eb Gb", logical, test),
  ins("85 /r", "TEST Ev Gv", logical, test),
  ins("A8", "TEST AL Ib", logical, test),
  ins("A9", "TEST rAX Iz", logical, test),
  ins("F6 /0", "TEST Eb Ib", logical, test),
  ins("F7 /0", "TEST Ev Iz", logical, test),
  ins("F6 /1", "TEST Eb Ib", logical, test),
  ins("F7 /1", "TEST Ev Iz", logical, test),
  ins("F6 /2", "NOT Eb:rw", "", not, lock),
  ins("F7 /2", "NOT Ev:rw", "", not, lock),
  ins("F6 /3", "NEG Eb:rw", arithmetic, neg, lock),
  ins("F7 /3", "NEG Ev:rw", arithmetic, neg, lock),
  ins("40+r", "INC Zv:rw", "MMMMM-", step("add"), { mode: "not64" }),
  ins("48+r", "DEC Zv:rw", "MMMMM-", step("sub"), { mode: "not64" }),
  ins("FE /0", "INC Eb:rw", "MMMMM-", step("add"), lock),
  ins("FF /0", "INC Ev:rw", "MMMMM-", step("add"), lock),
  ins("FE /1", "DEC Eb:rw", "MMMMM-", step("sub"), lock),
  ins("FF /1", "DEC Ev:rw", "MMMMM-", step("sub"), lock),
  ins("0F C0 /r", "XADD Eb:rw Gb:rw", arithmetic, xadd, lock),
  ins("0F C1 /r", "XADD Ev:rw Gv:rw", arithmetic, xadd, lock),
  ins("0F B0 /r", "CMPXCHG Mb:rw Gb", arithmetic, cmpxchg, lock),
  ins("0F B0 /r", "CMPXCHG Rb Gb", arithmetic, cmpxchgRegister),
  ins("0F B1 /r", "CMPXCHG Mv:rw Gv", arithmetic, cmpxchg, lock),
  ins("0F B1 /r", "CMPXCHG Rv Gv", arithmetic, cmpxchgRegister),
  // CMPXCHG8B becomes CMPXCHG16B with REX.W.
  ins("NP 0F C7 /1", "CMPXCHG8B Aq:rw", "--M---", cmpxchgPair, { lock: true, feature: "cx8", operandSized: true }),
  ins("66 0F 38 F6 /r", "ADCX Gy:rw Ey", "-----M", addThrough("C"), { feature: "adx" }),
  ins("F3 0F 38 F6 /r", "ADOX Gy:rw Ey", "M-----", addThrough("O"), { feature: "adx" }),
];
