import { S, STATE } from "../state/layout.js";
import type { Code, Val } from "../wasm/code.js";
import { Values, type Width } from "./values.js";

/** Bits of RFLAGS. */
export const FLAG = {
  CF: 1 << 0,
  PF: 1 << 2,
  AF: 1 << 4,
  ZF: 1 << 6,
  SF: 1 << 7,
  TF: 1 << 8,
  IF: 1 << 9,
  DF: 1 << 10,
  OF: 1 << 11,
  IOPL: 3 << 12,
  NT: 1 << 14,
  RF: 1 << 16,
  VM: 1 << 17,
  AC: 1 << 18,
  VIF: 1 << 19,
  VIP: 1 << 20,
  ID: 1 << 21,
} as const;
export const ARITHMETIC_FLAGS = FLAG.CF | FLAG.PF | FLAG.AF | FLAG.ZF | FLAG.SF | FLAG.OF;

export type Flag = "C" | "P" | "A" | "Z" | "S" | "O";

/**
 * The arithmetic flags, kept as what they are computed from:
 *
 * - `flagResult`, an i64: ZF is "equals zero", SF its sign and PF the parity of its low byte, the last two possibly
 *   inverted by `flagExtra`;
 * - `flagCarry`, an i64: bit 63 is CF, and OF is bit 63 xor bit 62 (carries out of the top two bits of a sum);
 * - `flagExtra`, an i32: AF in bit 4, the inversion of PF in bit 8, the inversion of SF in bit 16.
 *
 * An addition thus stores three values and shifts nothing into place; a reader of one flag needs one or two
 * operations and never has to know which instruction came before. Any combination of flags can be expressed.
 */
export class Flags extends Values {
  readonly #base: Val;
  constructor(code: Code) {
    super(code);
    this.#base = code.constant("i32", 0);
  }

  protected stateLoad(name: string, offset: number): Val {
    return this.code.load(name, this.#base, STATE + offset);
  }
  protected stateStore(name: string, offset: number, value: Val): void {
    this.code.store(name, this.#base, value, STATE + offset);
  }

  // --- writing ---

  /** ZF, SF and PF from a result; AF from bit 4 of `aux`, else 0. */
  setResult(w: Width, result: Val, aux?: Val): void {
    this.stateStore("i64.store", S.flagResult, this.sext(w, 64, result));
    const bit =
      aux && this.code.op("i32.and", aux.type === "i64" ? this.code.op("i32.wrap_i64", aux) : aux, this.i32(FLAG.AF));
    this.stateStore("i32.store", S.flagExtra, bit ?? this.i32(0));
  }

  /** CF and OF from the carries out of every bit of a `w`-bit sum or difference. */
  setCarries(w: Width, carries: Val): void {
    const wide = w === 64 ? carries : this.code.op("i64.extend_i32_u", carries);
    this.stateStore("i64.store", S.flagCarry, this.code.op("i64.shl", wide, this.i64(64 - w)));
  }

  /** CF and OF from two conditions. */
  setCarryOverflow(carry: Val, overflow: Val): void {
    const second = this.differ(carry, overflow);
    const pair = this.code.op(
      "i32.or",
      this.code.op("i32.shl", carry, this.i32(31)),
      this.code.op("i32.shl", second, this.i32(30)),
    );
    this.stateStore(
      "i64.store",
      S.flagCarry,
      this.code.op("i64.shl", this.code.op("i64.extend_i32_u", pair), this.i64(32)),
    );
  }

  /** CF = OF = 0. */
  clearCarryOverflow(): void {
    this.stateStore("i64.store", S.flagCarry, this.i64(0));
  }

  /** CF alone. */
  setCarry(carry: Val): void {
    this.setCarryOverflow(carry, this.flag("O"));
  }

  /** ZF alone. */
  setZero(zero: Val): void {
    this.setImage(
      this.code.op(
        "i32.or",
        this.code.op("i32.and", this.flagsImage(), this.i32(~FLAG.ZF)),
        this.code.op("i32.shl", zero, this.i32(6)),
      ),
    );
  }

  /** ZF stays; CF, OF, SF, AF and PF become 0. */
  keepOnlyZero(): void {
    this.setImage(this.code.op("i32.shl", this.flag("Z"), this.i32(6)));
  }

  /** All six from an RFLAGS image (i32); its other bits are ignored. */
  setImage(image: Val): void {
    const { code } = this;
    const zero = this.bit(32, image, 6);
    // The result is 0 or 1: its parity bit is even exactly when ZF is set, its sign is plus.
    this.stateStore("i64.store", S.flagResult, code.op("i64.extend_i32_u", this.isNot(zero)));
    const invertParity = this.differ(this.bit(32, image, 2), zero);
    const extra = code.op(
      "i32.or",
      code.op("i32.and", image, this.i32(FLAG.AF)),
      code.op(
        "i32.or",
        code.op("i32.shl", invertParity, this.i32(8)),
        code.op("i32.shl", this.bit(32, image, 7), this.i32(16)),
      ),
    );
    this.stateStore("i32.store", S.flagExtra, extra);
    this.setCarryOverflow(this.bit(32, image, 0), this.bit(32, image, 11));
  }

  // --- reading ---

  /** One flag as a condition. */
  flag(flag: Flag): Val {
    const { code } = this;
    switch (flag) {
      case "Z":
        return code.op("i64.eqz", this.stateLoad("i64.load", S.flagResult));
      case "S":
        return this.differ(
          code.op("i64.lt_s", this.stateLoad("i64.load", S.flagResult), this.i64(0)),
          this.bit(32, this.stateLoad("i32.load", S.flagExtra), 16),
        );
      case "P": {
        const byte = this.stateLoad("i32.load8_u", S.flagResult);
        const parity = code.op("i32.xor", code.op("i32.popcnt", byte), this.stateLoad("i32.load8_u", S.flagExtra + 1));
        return this.isNot(code.op("i32.and", parity, this.i32(1)));
      }
      case "A":
        return this.bit(32, this.stateLoad("i32.load", S.flagExtra), 4);
      case "C":
        return code.op("i64.lt_s", this.stateLoad("i64.load", S.flagCarry), this.i64(0));
      case "O": {
        const carries = this.stateLoad("i64.load", S.flagCarry);
        return code.op("i64.lt_s", code.op("i64.xor", carries, code.op("i64.shl", carries, this.i64(1))), this.i64(0));
      }
    }
  }

  /** Condition code 0-15 as encoded in Jcc, SETcc and CMOVcc (SDM vol. 1, appendix B). */
  condition(cc: number): Val {
    const positive = (): Val => {
      switch (cc >> 1) {
        case 0:
          return this.flag("O");
        case 1:
          return this.flag("C");
        case 2:
          return this.flag("Z");
        case 3:
          return this.either(this.flag("C"), this.flag("Z"));
        case 4:
          return this.flag("S");
        case 5:
          return this.flag("P");
        case 6:
          return this.differ(this.flag("S"), this.flag("O"));
        default:
          return this.either(this.flag("Z"), this.differ(this.flag("S"), this.flag("O")));
      }
    };
    return cc & 1 ? this.isNot(positive()) : positive();
  }

  /** The six flags at their places in RFLAGS (i32). */
  flagsImage(): Val {
    const at = (flag: Flag, bit: number) => this.code.op("i32.shl", this.flag(flag), this.i32(bit));
    return [at("P", 2), at("A", 4), at("Z", 6), at("S", 7), at("O", 11)].reduce(
      (image, bit) => this.code.op("i32.or", image, bit),
      this.flag("C"),
    );
  }
}
