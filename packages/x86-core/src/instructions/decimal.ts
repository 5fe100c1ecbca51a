import { VECTOR } from "../semantics/ops.js";
import { ins, type Row, type Semantics } from "../table/row.js";

/** DAA and DAS (SDM vol. 2): corrects AL after an addition or subtraction of packed decimals. */
const adjustPacked =
  (direction: "add" | "sub"): Semantics =>
  (o) => {
    const al = o.gpr(8, 0);
    const oldCarry = o.flag("C");
    const low = o.either(o.code.op("i32.gt_u", o.and(32, al, o.i32(15)), o.i32(9)), o.flag("A"));
    const high = o.either(o.code.op("i32.gt_u", al, o.i32(0x99)), oldCarry);
    const correction = o.or(32, o.select(low, o.i32(6), o.i32(0)), o.select(high, o.i32(0x60), o.i32(0)));
    const r = o[direction](8, al, correction);
    // DAS also reports the borrow of its first step.
    const borrow = direction === "sub" ? o.both(low, o.code.op("i32.lt_u", al, o.i32(6))) : o.i32(0);
    o.setResult(8, r, o.shl(32, low, 4));
    o.setCarryOverflow(o.either(high, borrow), o.i32(0));
    o.setGpr(8, 0, r);
  };

/** AAA and AAS: corrects AL after an addition or subtraction of unpacked decimals, carrying into AH. */
const adjustUnpacked =
  (direction: "add" | "sub"): Semantics =>
  (o) => {
    const ax = o.gpr(16, 0);
    const wrong = o.either(o.code.op("i32.gt_u", o.and(32, ax, o.i32(15)), o.i32(9)), o.flag("A"));
    const corrected = o[direction](16, ax, o.select(wrong, o.i32(0x106), o.i32(0)));
    const r = o.and(16, corrected, o.const(16, 0xff0f));
    o.setResult(8, o.and(32, r, o.i32(0xff)), o.shl(32, wrong, 4));
    o.setCarryOverflow(wrong, o.i32(0));
    o.setGpr(16, 0, r);
  };

const aam: Semantics = (o, base) => {
  o.raiseIf(o.eqz(8, base), VECTOR.DE);
  const al = o.gpr(8, 0);
  const quotient = o.code.op("i32.div_u", al, base);
  const r = o.code.op("i32.rem_u", al, base);
  o.setResult(8, r);
  o.clearCarryOverflow();
  o.setGpr(16, 0, o.or(32, r, o.shl(32, quotient, 8)));
};
const aad: Semantics = (o, base) => {
  const r = o.add(8, o.gpr(8, 0), o.mul(8, o.highByte(0), base));
  o.setResult(8, r);
  o.clearCarryOverflow();
  o.setGpr(16, 0, r);
};

const not64 = { mode: "not64" } as const;

export const decimalRows: Row[] = [
  ins("27", "DAA", "UMMMMM", adjustPacked("add"), not64),
  ins("2F", "DAS", "UMMMMM", adjustPacked("sub"), not64),
  ins("37", "AAA", "UUUMUM", adjustUnpacked("add"), not64),
  ins("3F", "AAS", "UUUMUM", adjustUnpacked("sub"), not64),
  ins("D4", "AAM Ib", "UMMUMU", aam, not64),
  ins("D5", "AAD Ib", "UMMUMU", aad, not64),
  ins("D6", "SALC", "", (o) => o.setGpr(8, 0, o.select(o.flag("C"), o.const(8, 0xff), o.const(8, 0))), not64),
];
