import type { Ops } from "../semantics/ops.js";
import { ins, type Row, type Semantics } from "../table/row.js";
import type { Val } from "../wasm/code.js";

type BitAction = "BT" | "BTS" | "BTR" | "BTC";

function changeBit(o: Ops, action: BitAction, value: Val, mask: Val): Val {
  if (action === "BTS") return o.or(o.w, value, mask);
  if (action === "BTR") return o.andNot(o.w, value, mask);
  return o.xor(o.w, value, mask);
}

/** BT and relatives on a value: the bit index is taken modulo the width. */
const bitTest =
  (action: BitAction): Semantics =>
  (o, value, index) => {
    const { w } = o;
    const position = o.and(w, index, o.const(w, w - 1));
    o.setCarry(o.bit(w, o.shrU(w, value, position), 0));
    return action === "BT" ? undefined : changeBit(o, action, value, o.shl(w, o.const(w, 1), position));
  };

/** With a memory operand and a register index, the index reaches beyond the operand: it is a signed bit offset. */
const bitTestMemory =
  (action: BitAction): Semantics =>
  (o, address, index) => {
    const { w } = o;
    const shift = Math.log2(w);
    const units = o.code.op("i64.shr_s", o.sext(w, 64, index), o.i64(shift));
    const place = o.add(64, address, o.shl(64, units, shift - 3));
    const position = o.and(w, index, o.const(w, w - 1));
    if (action === "BT") return o.setCarry(o.bit(w, o.shrU(w, o.load(w, o.wrapAddress(place)), position), 0));
    const memory = o.loadForWrite(w, o.wrapAddress(place));
    memory.store(changeBit(o, action, memory.value, o.shl(w, o.const(w, 1), position)));
    o.setCarry(o.bit(w, o.shrU(w, memory.value, position), 0));
  };

/** BSF and BSR: a zero source sets ZF and leaves the destination as it was (all of it, also with 32 bits). */
const bitScan =
  (direction: "forward" | "reverse"): Semantics =>
  (o, source) => {
    const { w } = o;
    const zero = o.eqz(w, source);
    o.setResult(w, source);
    o.clearCarryOverflow();
    o.if(o.isNot(zero), () => {
      const index = direction === "forward" ? o.ctz(w, source) : o.sub(w, o.const(w, w - 1), o.clz(w, source));
      o.setRegister(w, "a", index);
    });
    return undefined;
  };

const lzcnt: Semantics = (o, source) => {
  const r = o.clz(o.w, source);
  o.setResult(o.w, r);
  o.setCarryOverflow(o.eqz(o.w, source), o.i32(0));
  return r;
};
const tzcnt: Semantics = (o, source) => {
  const { w } = o;
  // A bit above the operand makes the count w for zero.
  const r = w >= 32 ? o.ctz(w, source) : o.ctz(w, o.or(32, source, o.i32(2 ** w)));
  o.setResult(w, r);
  o.setCarryOverflow(o.eqz(w, source), o.i32(0));
  return r;
};
const popcnt: Semantics = (o, source) => {
  const r = o.popcnt(o.w, source);
  o.setResult(o.w, source);
  o.clearCarryOverflow();
  o.keepOnlyZero();
  return r;
};

const andn: Semantics = (o, a, b) => {
  const r = o.andNot(o.w, b, a);
  o.setResult(o.w, r);
  o.clearCarryOverflow();
  return r;
};
/** BLSR, BLSMSK, BLSI. */
const lowestBit =
  (result: (o: Ops, a: Val) => Val, carryWhenZero: boolean): Semantics =>
  (o, a) => {
    const r = result(o, a);
    o.setResult(o.w, r);
    o.setCarryOverflow(carryWhenZero ? o.eqz(o.w, a) : o.isNot(o.eqz(o.w, a)), o.i32(0));
    return r;
  };
const minusOne = (o: Ops, a: Val) => o.sub(o.w, a, o.const(o.w, 1));

const bextr: Semantics = (o, source, control) => {
  const { w } = o;
  const start = o.and(w, control, o.const(w, 0xff));
  const length = o.and(w, o.shrU(w, control, 8), o.const(w, 0xff));
  const limit = o.const(w, w);
  const shifted = o.select(o.ltU(w, start, limit), o.shrU(w, source, start), o.const(w, 0));
  const mask = o.sub(w, o.shl(w, o.const(w, 1), length), o.const(w, 1));
  const r = o.select(o.ltU(w, length, limit), o.and(w, shifted, mask), shifted);
  o.setResult(w, r);
  o.clearCarryOverflow();
  return r;
};
const bzhi: Semantics = (o, source, control) => {
  const { w } = o;
  const index = o.and(w, control, o.const(w, 0xff));
  const inside = o.ltU(w, index, o.const(w, w));
  const mask = o.sub(w, o.shl(w, o.const(w, 1), index), o.const(w, 1));
  const r = o.select(inside, o.and(w, source, mask), source);
  o.setResult(w, r);
  o.setCarryOverflow(o.isNot(inside), o.i32(0));
  return r;
};

/** PDEP and PEXT: one mask bit a round. */
const depositExtract =
  (action: "deposit" | "extract"): Semantics =>
  (o, source, mask) => {
    const { w } = o;
    const rest = o.variable(w, mask);
    const bits = o.variable(w, source);
    const unit = o.variable(w, o.const(w, 1));
    const r = o.variable(w, o.const(w, 0));
    o.code.loop((again) => {
      o.if(o.nez(w, rest.get()), () => {
        const remaining = rest.get();
        const lowest = o.and(w, remaining, o.neg(w, remaining));
        if (action === "deposit") {
          o.if(o.bit(w, bits.get(), 0), () => r.set(o.or(w, r.get(), lowest)));
          bits.set(o.shrU(w, bits.get(), 1));
        } else {
          o.if(o.nez(w, o.and(w, source, lowest)), () => r.set(o.or(w, r.get(), unit.get())));
          unit.set(o.shl(w, unit.get(), 1));
        }
        rest.set(o.xor(w, remaining, lowest));
        o.code.branch(again);
      });
    });
    return r.get();
  };

const actions: [action: BitAction, opcode: string, digit: number][] = [
  ["BT", "A3", 4],
  ["BTS", "AB", 5],
  ["BTR", "B3", 6],
  ["BTC", "BB", 7],
];
const onlyCarry = "UU-UUM";
const bmi1 = { feature: "bmi1" } as const;
const bmi2 = { feature: "bmi2" } as const;

export const bitRows: Row[] = [
  ...actions.flatMap(([action, opcode, digit]): Row[] => {
    const access = action === "BT" ? "" : ":rw";
    const options = action === "BT" ? {} : { lock: true };
    return [
      ins(`0F ${opcode} /r`, `${action} Rv${access} Gv`, onlyCarry, bitTest(action)),
      ins(`0F ${opcode} /r`, `${action} Av${access} Gv`, onlyCarry, bitTestMemory(action), options),
      ins(
        `0F BA /${digit}`,
        `${action} Ev${access} Ib`,
        onlyCarry,
        (o, value, index) => bitTest(action)(o, value, o.zext(8, o.w, index)),
        options,
      ),
    ];
  }),
  ins("0F BC /r", "BSF Gv Ev", "UUMUUU", (o, _old, source) => bitScan("forward")(o, source)),
  ins("0F BD /r", "BSR Gv Ev", "UUMUUU", (o, _old, source) => bitScan("reverse")(o, source)),
  ins("F3 0F BC /r", "TZCNT Gv:w Ev", "UUMUUM", tzcnt, bmi1),
  ins("F3 0F BD /r", "LZCNT Gv:w Ev", "UUMUUM", lzcnt, { feature: "lzcnt" }),
  ins("F3 0F B8 /r", "POPCNT Gv:w Ev", "00M000", popcnt, { feature: "popcnt" }),
  ins("VEX.0F38.WIG F2 /r", "ANDN Gy:w By Ey", "0MMUU0", andn, bmi1),
  ins(
    "VEX.0F38.WIG F3 /1",
    "BLSR By:w Ey",
    "0MMUUM",
    lowestBit((o, a) => o.and(o.w, a, minusOne(o, a)), true),
    bmi1,
  ),
  ins(
    "VEX.0F38.WIG F3 /2",
    "BLSMSK By:w Ey",
    "0M0UUM",
    lowestBit((o, a) => o.xor(o.w, a, minusOne(o, a)), true),
    bmi1,
  ),
  ins(
    "VEX.0F38.WIG F3 /3",
    "BLSI By:w Ey",
    "0MMUUM",
    lowestBit((o, a) => o.and(o.w, a, o.neg(o.w, a)), false),
    bmi1,
  ),
  ins("VEX.0F38.WIG F7 /r", "BEXTR Gy:w Ey By", "0UMUU0", bextr, bmi1),
  ins("VEX.0F38.WIG F5 /r", "BZHI Gy:w Ey By", "0MMUUM", bzhi, bmi2),
  ins("VEX.0F38.WIG.F2 F5 /r", "PDEP Gy:w By Ey", "", depositExtract("deposit"), bmi2),
  ins("VEX.0F38.WIG.F3 F5 /r", "PEXT Gy:w By Ey", "", depositExtract("extract"), bmi2),
];
