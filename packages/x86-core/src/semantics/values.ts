import type { Code, Val } from "../wasm/code.js";

/** Width of an operand in bits. */
export type Width = 8 | 16 | 32 | 64;

/**
 * Integer arithmetic at any operand width.
 *
 * A value of 8, 16 or 32 bits is an i32 and one of 64 bits an i64; 8- and 16-bit values are always zero-extended, so
 * that comparing, storing and indexing need no masks. Conditions are i32 values of 0 or 1.
 */
export class Values {
  constructor(readonly code: Code) {}

  type(w: Width): "i32" | "i64" {
    return w === 64 ? "i64" : "i32";
  }

  const(w: Width, value: number | bigint): Val {
    if (w === 64) return this.code.constant("i64", BigInt(value));
    const mask = w === 32 ? -1 : 2 ** w - 1;
    return this.code.constant("i32", Number(BigInt.asIntN(32, BigInt(value))) & mask);
  }

  i32(value: number): Val {
    return this.code.constant("i32", value);
  }

  i64(value: number | bigint): Val {
    return this.code.constant("i64", BigInt(value));
  }

  /** Cuts an i32 result back to an 8- or 16-bit value. */
  #fit(w: Width, value: Val): Val {
    return w < 32 ? this.code.op("i32.and", value, this.i32(2 ** w - 1)) : value;
  }
  #op(w: Width, name: string, ...inputs: Val[]): Val {
    return this.code.op(`${this.type(w)}.${name}`, ...inputs);
  }

  add(w: Width, a: Val, b: Val): Val {
    return this.#fit(w, this.#op(w, "add", a, b));
  }
  sub(w: Width, a: Val, b: Val): Val {
    return this.#fit(w, this.#op(w, "sub", a, b));
  }
  /** The low half of the product. */
  mul(w: Width, a: Val, b: Val): Val {
    return this.#fit(w, this.#op(w, "mul", a, b));
  }
  neg(w: Width, a: Val): Val {
    return this.sub(w, this.const(w, 0), a);
  }
  and(w: Width, a: Val, b: Val): Val {
    return this.#op(w, "and", a, b);
  }
  or(w: Width, a: Val, b: Val): Val {
    return this.#op(w, "or", a, b);
  }
  xor(w: Width, a: Val, b: Val): Val {
    return this.#op(w, "xor", a, b);
  }
  not(w: Width, a: Val): Val {
    return this.xor(w, a, this.const(w, -1));
  }
  andNot(w: Width, a: Val, b: Val): Val {
    return this.and(w, a, this.not(w, b));
  }

  /** Shifts take their count as a value of the same WebAssembly type, or a number; it must be below 32 (64 for i64). */
  #count(w: Width, count: Val | number): Val {
    if (typeof count === "number") return w === 64 ? this.i64(count) : this.i32(count);
    if (count.type === this.type(w)) return count;
    return w === 64 ? this.code.op("i64.extend_i32_u", count) : this.code.op("i32.wrap_i64", count);
  }
  shl(w: Width, a: Val, count: Val | number): Val {
    return this.#fit(w, this.#op(w, "shl", a, this.#count(w, count)));
  }
  shrU(w: Width, a: Val, count: Val | number): Val {
    return this.#op(w, "shr_u", a, this.#count(w, count));
  }
  shrS(w: Width, a: Val, count: Val | number): Val {
    if (w >= 32) return this.#op(w, "shr_s", a, this.#count(w, count));
    return this.#fit(w, this.code.op("i32.shr_s", this.signed(w, a), this.#count(32, count)));
  }

  eq(w: Width, a: Val, b: Val): Val {
    return this.#op(w, "eq", a, b);
  }
  ne(w: Width, a: Val, b: Val): Val {
    return this.#op(w, "ne", a, b);
  }
  eqz(w: Width, a: Val): Val {
    return this.#op(w, "eqz", a);
  }
  /** 1 when a value is not zero. */
  nez(w: Width, a: Val): Val {
    return this.ne(w, a, this.const(w, 0));
  }
  ltU(w: Width, a: Val, b: Val): Val {
    return this.#op(w, "lt_u", a, b);
  }
  leU(w: Width, a: Val, b: Val): Val {
    return this.#op(w, "le_u", a, b);
  }
  ltS(w: Width, a: Val, b: Val): Val {
    return this.#op(w, "lt_s", this.signed(w, a), this.signed(w, b));
  }

  /** An 8- or 16-bit value sign-extended to the whole i32; wider ones as they are. */
  signed(w: Width, a: Val): Val {
    return w === 8 ? this.code.op("i32.extend8_s", a) : w === 16 ? this.code.op("i32.extend16_s", a) : a;
  }

  zext(from: Width, to: Width, a: Val): Val {
    return to === 64 && from < 64 ? this.code.op("i64.extend_i32_u", a) : a;
  }
  sext(from: Width, to: Width, a: Val): Val {
    if (from >= to) return a;
    const full = this.signed(from, a);
    return to === 64 ? this.code.op("i64.extend_i32_s", full) : this.#fit(to, full);
  }
  /** The low `to` bits of a value of width `from`. */
  trunc(from: Width, to: Width, a: Val): Val {
    if (to >= from) return a;
    return this.#fit(to, from === 64 ? this.code.op("i32.wrap_i64", a) : a);
  }

  /** One bit as a condition. */
  bit(w: Width, a: Val, index: number): Val {
    const low = this.trunc(w, 32, this.shrU(w, a, index));
    return index === w - 1 ? low : this.code.op("i32.and", low, this.i32(1));
  }
  /** The top bit as a condition. */
  msb(w: Width, a: Val): Val {
    return this.bit(w, a, w - 1);
  }

  clz(w: Width, a: Val): Val {
    return w >= 32 ? this.#op(w, "clz", a) : this.code.op("i32.sub", this.code.op("i32.clz", a), this.i32(32 - w));
  }
  /** Trailing zeros; the value must not be zero. */
  ctz(w: Width, a: Val): Val {
    return this.#op(w, "ctz", a);
  }
  popcnt(w: Width, a: Val): Val {
    return this.#op(w, "popcnt", a);
  }

  select(condition: Val, whenTrue: Val, whenFalse: Val): Val {
    return this.code.select(condition, whenTrue, whenFalse);
  }
  /** Logic on conditions. */
  both(a: Val, b: Val): Val {
    return this.code.op("i32.and", a, b);
  }
  either(a: Val, b: Val): Val {
    return this.code.op("i32.or", a, b);
  }
  differ(a: Val, b: Val): Val {
    return this.code.op("i32.xor", a, b);
  }
  isNot(a: Val): Val {
    return this.code.op("i32.eqz", a);
  }
}
