import type { Ops } from "../semantics/ops.js";
import { ins, type Row, type Semantics } from "../table/row.js";
import type { Val } from "../wasm/code.js";

/** Shift counts are taken modulo 32, or 64 for 64-bit operands. */
const masked = (o: Ops, count: Val) => o.and(8, count, o.const(8, o.w === 64 ? 63 : 31));

/** A shift by a count that WebAssembly would reduce: 8- and 16-bit operands can be shifted out entirely. */
const left = (o: Ops, a: Val, count: Val) => o.shl(o.w, a, count);

/**
 * Computes flags and result only for a count other than 0, which changes nothing. OF is what the manual defines for a
 * count of 1, computed the same way for larger ones.
 */
function whenShifted(o: Ops, a: Val, count: Val, body: () => Val): Val {
  const result = o.variable(o.w, a);
  o.if(count, () => result.set(body()));
  return result.get();
}

const shl: Semantics = (o, a, rawCount) => {
  const { w } = o;
  const count = masked(o, rawCount);
  return whenShifted(o, a, count, () => {
    const r = left(o, a, count);
    // The last bit shifted out: bit w - count of the operand, 0 when the count exceeds the width.
    const wide = o.code.op(
      "i64.shl",
      o.zext(w, 64, a),
      o.code.op("i64.extend_i32_u", o.code.op("i32.sub", count, o.i32(1))),
    );
    const carry = o.trunc(64, 32, o.and(64, o.shrU(64, wide, w - 1), o.i64(1)));
    o.setResult(w, r);
    o.setCarryOverflow(carry, o.differ(carry, o.msb(w, r)));
    return r;
  });
};

const shr: Semantics = (o, a, rawCount) => {
  const { w } = o;
  const count = masked(o, rawCount);
  return whenShifted(o, a, count, () => {
    const r = o.shrU(w, a, count);
    const carry = o.bit(w, o.shrU(w, a, o.code.op("i32.sub", count, o.i32(1))), 0);
    o.setResult(w, r);
    // For a count of 1 the sign of the operand, which stands one bit lower now.
    o.setCarryOverflow(carry, o.bit(w, r, w - 2));
    return r;
  });
};

const sar: Semantics = (o, a, rawCount) => {
  const { w } = o;
  const count = masked(o, rawCount);
  return whenShifted(o, a, count, () => {
    const r = o.shrS(w, a, count);
    const carry = o.bit(w, o.shrS(w, a, o.code.op("i32.sub", count, o.i32(1))), 0);
    o.setResult(w, r);
    o.setCarryOverflow(carry, o.i32(0));
    return r;
  });
};

/** a rotated left by a count below w. */
function rotateLeft(o: Ops, a: Val, count: Val): Val {
  const { w } = o;
  if (w >= 32) return o.code.op(`${o.type(w)}.rotl`, a, w === 64 ? o.zext(32, 64, count) : count);
  return o.or(w, o.shl(w, a, count), o.shrU(w, a, o.code.op("i32.sub", o.i32(w), count)));
}
const modulo = (o: Ops, count: Val) => (o.w < 32 ? o.code.op("i32.and", count, o.i32(o.w - 1)) : count);

const rol: Semantics = (o, a, rawCount) => {
  const { w } = o;
  const count = masked(o, rawCount);
  return whenShifted(o, a, count, () => {
    const r = rotateLeft(o, a, modulo(o, count));
    const carry = o.bit(w, r, 0);
    o.setCarryOverflow(carry, o.differ(carry, o.msb(w, r)));
    return r;
  });
};

const ror: Semantics = (o, a, rawCount) => {
  const { w } = o;
  const count = masked(o, rawCount);
  return whenShifted(o, a, count, () => {
    const back = o.code.op("i32.and", o.code.op("i32.sub", o.i32(w), modulo(o, count)), o.i32(w - 1));
    const r = rotateLeft(o, a, back);
    o.setCarryOverflow(o.msb(w, r), o.differ(o.msb(w, r), o.bit(w, r, w - 2)));
    return r;
  });
};

/** The operand and CF as one value of w + 1 bits (CF on top) in an i64; for 64-bit operands see `rotateCarry64`. */
function rotateCarry(o: Ops, a: Val, count: Val, direction: "left" | "right"): Val {
  const { w } = o;
  const bits = o.i64(w + 1);
  const wide = o.or(64, o.zext(w, 64, a), o.shl(64, o.zext(32, 64, o.flag("C")), w));
  const steps = o.code.op("i64.rem_u", o.zext(32, 64, count), bits);
  const back = o.sub(64, bits, steps);
  const [up, down] = direction === "left" ? [steps, back] : [back, steps];
  const rotated = o.or(64, o.shl(64, wide, up), o.shrU(64, wide, down));
  const r = o.trunc(64, w, rotated);
  const carry = o.bit(64, rotated, w);
  const carryIsKept = o.eqz(64, steps);
  const newCarry = o.select(carryIsKept, o.flag("C"), o.trunc(32, 32, o.code.op("i32.and", carry, o.i32(1))));
  const overflow = direction === "left" ? o.differ(o.msb(w, r), newCarry) : o.differ(o.msb(w, r), o.bit(w, r, w - 2));
  o.setCarryOverflow(newCarry, overflow);
  return r;
}

/** Rotation of the 65 bits CF:operand by a count from 1 to 63. */
function rotateCarry64(o: Ops, a: Val, count: Val, direction: "left" | "right"): Val {
  const carryIn = o.zext(32, 64, o.flag("C"));
  const n = o.zext(32, 64, count);
  const less = o.sub(64, n, o.i64(1));
  const rest = o.sub(64, o.i64(64), n);
  let r: Val;
  let carry: Val;
  if (direction === "left") {
    // a << n | CF << (n - 1) | a >> (65 - n), the last in two steps because 65 - n can be 64.
    const wrapped = o.shrU(64, o.shrU(64, a, rest), 1);
    r = o.or(64, o.or(64, o.shl(64, a, n), o.shl(64, carryIn, less)), wrapped);
    carry = o.bit(64, o.shrU(64, a, rest), 0);
  } else {
    const wrapped = o.shl(64, o.shl(64, a, rest), 1);
    r = o.or(64, o.or(64, o.shrU(64, a, n), o.shl(64, carryIn, rest)), wrapped);
    carry = o.bit(64, o.shrU(64, a, less), 0);
  }
  const overflow = direction === "left" ? o.differ(o.msb(64, r), carry) : o.differ(o.msb(64, r), o.bit(64, r, 62));
  o.setCarryOverflow(carry, overflow);
  return r;
}

const rotateThroughCarry =
  (direction: "left" | "right"): Semantics =>
  (o, a, rawCount) => {
    const count = masked(o, rawCount);
    return whenShifted(o, a, count, () =>
      o.w === 64 ? rotateCarry64(o, a, count, direction) : rotateCarry(o, a, count, direction),
    );
  };

/** SHLD and SHRD: bits come in from the second operand. A 16-bit count above 16 is undefined; it is reduced as by hardware. */
const doubleShift =
  (direction: "left" | "right"): Semantics =>
  (o, a, b, rawCount) => {
    const { w } = o;
    const count = masked(o, rawCount);
    return whenShifted(o, a, count, () => {
      const n = o.zext(8, w, count);
      const less = o.sub(w, n, o.const(w, 1));
      let r: Val;
      let carry: Val;
      if (w === 16) {
        // Both operands, and the second again, in one 48-bit row: counts of 17 to 31 bring the second in once more.
        const first = o.zext(16, 64, a);
        const second = o.zext(16, 64, b);
        const row =
          direction === "left"
            ? o.or(64, o.or(64, o.shl(64, first, 32), o.shl(64, second, 16)), second)
            : o.or(64, o.or(64, first, o.shl(64, second, 16)), o.shl(64, second, 32));
        const wide = o.zext(32, 64, count);
        const before = o.sub(64, wide, o.i64(1));
        if (direction === "left") {
          r = o.trunc(64, 16, o.shrU(64, o.shl(64, row, wide), 32));
          carry = o.bit(64, o.shl(64, row, before), 47);
        } else {
          r = o.trunc(64, 16, o.shrU(64, row, wide));
          carry = o.bit(64, o.shrU(64, row, before), 0);
        }
        carry = o.code.op("i32.and", carry, o.ltU(32, count, o.i32(17)));
      } else {
        const rest = o.sub(w, o.const(w, w), n);
        if (direction === "left") {
          r = o.or(w, o.shl(w, a, n), o.shrU(w, b, rest));
          carry = o.msb(w, o.shl(w, a, less));
        } else {
          r = o.or(w, o.shrU(w, a, n), o.shl(w, b, rest));
          carry = o.bit(w, o.shrU(w, a, less), 0);
        }
      }
      o.setResult(w, r);
      // For a count of 1 whether the sign changed; for others as AMD processors do.
      let sign = o.msb(w, r);
      if (direction === "left" && w === 16) sign = o.both(sign, o.ltU(32, count, o.i32(16)));
      o.setCarryOverflow(carry, o.differ(sign, direction === "right" ? o.bit(w, r, w - 2) : carry));
      return r;
    });
  };

/** BMI2 shifts: no flags, count modulo the width. */
const shiftX =
  (operation: "shl" | "shrU" | "shrS"): Semantics =>
  (o, a, count) =>
    o[operation](o.w, a, o.and(o.w, count, o.const(o.w, o.w - 1)));

const rorx: Semantics = (o, a, count) => {
  const n = o.code.op("i32.and", count, o.i32(o.w - 1));
  return o.code.op(`${o.type(o.w)}.rotr`, a, o.w === 64 ? o.zext(32, 64, n) : n);
};

/** Group 2 (SDM vol. 2, table A-6). OF is defined for a count of 1 only; AF is undefined except for rotates. */
const GROUP_2: [mnemonic: string, semantics: Semantics, flags: string][] = [
  ["ROL", rol, "M----M"],
  ["ROR", ror, "M----M"],
  ["RCL", rotateThroughCarry("left"), "M----M"],
  ["RCR", rotateThroughCarry("right"), "M----M"],
  ["SHL", shl, "MMMUMM"],
  ["SHR", shr, "MMMUMM"],
  ["SHL", shl, "MMMUMM"],
  ["SAR", sar, "MMMUMM"],
];

const group2 = GROUP_2.flatMap(([name, semantics, flags], digit): Row[] => [
  ins(`C0 /${digit}`, `${name} Eb:rw Ib`, flags, semantics),
  ins(`C1 /${digit}`, `${name} Ev:rw Ib`, flags, semantics),
  ins(`D0 /${digit}`, `${name} Eb:rw 1`, flags, (o, a) => semantics(o, a, o.const(8, 1))),
  ins(`D1 /${digit}`, `${name} Ev:rw 1`, flags, (o, a) => semantics(o, a, o.const(8, 1))),
  ins(`D2 /${digit}`, `${name} Eb:rw CL`, flags, semantics),
  ins(`D3 /${digit}`, `${name} Ev:rw CL`, flags, semantics),
]);

export const shiftRows: Row[] = [
  ...group2,
  ins("0F A4 /r", "SHLD Ev:rw Gv Ib", "MMMUMM", doubleShift("left")),
  ins("0F A5 /r", "SHLD Ev:rw Gv CL", "MMMUMM", doubleShift("left")),
  ins("0F AC /r", "SHRD Ev:rw Gv Ib", "MMMUMM", doubleShift("right")),
  ins("0F AD /r", "SHRD Ev:rw Gv CL", "MMMUMM", doubleShift("right")),
  ins("VEX.0F38.WIG.66 F7 /r", "SHLX Gy:w Ey By", "", shiftX("shl"), { feature: "bmi2" }),
  ins("VEX.0F38.WIG.F3 F7 /r", "SARX Gy:w Ey By", "", shiftX("shrS"), { feature: "bmi2" }),
  ins("VEX.0F38.WIG.F2 F7 /r", "SHRX Gy:w Ey By", "", shiftX("shrU"), { feature: "bmi2" }),
  ins("VEX.0F3A.WIG.F2 F0 /r", "RORX Gy:w Ey Ib", "", rorx, { feature: "bmi2" }),
];
