import type { Ops } from "../semantics/ops.js";
import {
  clearC1,
  isFull,
  notePointers,
  physical,
  pop,
  pushParts,
  setFull,
  setWhole,
  wait,
  whole,
} from "../semantics/x87.js";
import { FORMAT, type Format, TRUNCATE } from "../semantics/x87-codes.js";
import {
  fromInteger,
  inNearestMode,
  inTruncatingMode,
  narrow,
  type Parts,
  raiseStatus,
  readParts,
  toInteger,
  widen,
} from "../semantics/x87-numbers.js";
import { S } from "../state/layout.js";
import { ins, type Options, type Row, type Semantics } from "../table/row.js";
import type { Val } from "../wasm/code.js";

const x87: Options = { unit: "x87" };
const cmov: Options = { unit: "x87", feature: "cmov" };

const WIDTH = { f32: 32, f64: 64, i16: 16, i32: 32, i64: 64 } as const;
const isWide = (format: Format): format is "f80" | "bcd" => format === "f80" || format === "bcd";
/** The address of the upper 16 of 80 bits. */
const upper = (o: Ops, address: Val): Val => o.wrapAddress(o.add(64, address, o.i64(8)));

/** Pushes unless that is a stack fault or `fine` fails; then the helper does the whole instruction. */
function pushOr(o: Ops, fine: Val, value: Parts, helper: () => void): void {
  const next = physical(o, 7);
  o.if(
    o.both(fine, o.isNot(isFull(o, next))),
    () => {
      clearC1(o);
      pushParts(o, next, value.low, value.high);
    },
    helper,
  );
}

/** A memory operand as 80 bits, and whether loading it is a mere conversion. */
function converted(o: Ops, format: Format, low: Val, high: Val): Parts & { fine: Val } {
  switch (format) {
    case "f32":
    case "f64":
      return widen(o, WIDTH[format], low);
    case "f80":
      return { low, high, fine: o.i32(1) };
    case "bcd":
      return { low, high, fine: o.i32(0) };
    default:
      return { ...fromInteger(o, o.sext(WIDTH[format], 64, low)), fine: o.i32(1) };
  }
}

/** FLD, FILD, FBLD from memory. */
const load =
  (format: Format): Semantics =>
  (o, address) => {
    wait(o);
    const low = o.load(isWide(format) ? 64 : WIDTH[format], address);
    const high = isWide(format) ? o.load(16, upper(o, address)) : o.i32(0);
    notePointers(o, address);
    const value = converted(o, format, low, high);
    pushOr(o, value.fine, value, () => o.call("fpuLoad", o.i32(FORMAT[format]), low, high));
  };

/** ST(0) as it is to be stored, the status bits that raises, and whether that is all there is to it. */
function stored(o: Ops, format: Format, truncate: boolean): { low: Val; high: Val; raised: Val; fine: Val } {
  const x = readParts(o, physical(o, 0));
  switch (format) {
    case "f32":
    case "f64": {
      const { bits, raised, fine } = narrow(o, WIDTH[format], x);
      return { low: bits, high: o.i32(0), raised, fine: o.both(fine, inNearestMode(o)) };
    }
    case "f80":
      return { ...x, raised: o.i32(0), fine: o.i32(1) };
    case "bcd":
      return { ...x, raised: o.i32(0), fine: o.i32(0) };
    default: {
      const truncating = inTruncatingMode(o);
      const cut = truncate ? o.i32(1) : truncating;
      const { value, raised, fine } = toInteger(o, WIDTH[format], x, cut);
      const mode = o.either(truncating, inNearestMode(o));
      return { low: value, high: o.i32(0), raised, fine: o.both(fine, mode) };
    }
  }
}

/**
 * FST, FIST, FISTTP, FBSTP to memory. The destination is checked first, even when an unmasked exception prevents the
 * store; status, tags and TOP change only once nothing can fault any more.
 */
const store =
  (format: Format, pops: boolean, truncate = false): Semantics =>
  (o, address) => {
    wait(o);
    const width = isWide(format) ? 64 : WIDTH[format];
    const place = o.loadForWrite(width, address);
    const second = isWide(format) ? o.loadForWrite(16, upper(o, address)) : undefined;
    notePointers(o, address);
    const deliver = (low: Val, high: Val) => {
      place.store(low);
      second?.store(high);
      if (pops) pop(o);
    };
    const usual = stored(o, format, truncate);
    o.if(
      o.both(usual.fine, isFull(o, physical(o, 0))),
      () => {
        raiseStatus(o, usual.raised);
        deliver(usual.low, usual.high);
      },
      () => {
        o.call("fpuStore", o.i32(FORMAT[format] | (truncate ? TRUNCATE : 0)));
        const low = o.result(width, 0);
        const high = o.result(16, 1);
        const status = o.result(32, 2);
        const delivered = o.result(32, 3);
        o.setState32(S.fsw, status);
        o.if(delivered, () => deliver(low, high));
      },
    );
  };

const loadStack: Semantics = (o, i) => {
  wait(o);
  notePointers(o);
  const source = physical(o, i);
  pushOr(o, isFull(o, source), readParts(o, source), () => o.call("fpuLoadStack", i));
};
const storeStack =
  (pops: boolean, lenient = false): Semantics =>
  (o, i) => {
    wait(o);
    notePointers(o);
    const top = physical(o, 0);
    o.if(
      isFull(o, top),
      () => {
        clearC1(o);
        const destination = physical(o, i);
        setWhole(o, destination, whole(o, top));
        setFull(o, destination);
        if (pops) pop(o);
      },
      () => o.call("fpuStoreStack", i, o.i32(pops ? 1 : 0), o.i32(lenient ? 1 : 0)),
    );
  };
const exchange: Semantics = (o, i) => {
  wait(o);
  notePointers(o);
  const top = physical(o, 0);
  const other = physical(o, i);
  o.if(
    o.both(isFull(o, top), isFull(o, other)),
    () => {
      clearC1(o);
      const first = whole(o, top);
      const second = whole(o, other);
      setWhole(o, top, second);
      setWhole(o, other, first);
    },
    () => o.call("fpuExchange", i),
  );
};
/** FCMOVcc by condition code. */
const move =
  (cc: number): Semantics =>
  (o, i) => {
    wait(o);
    notePointers(o);
    o.call("fpuMove", i, o.condition(cc));
  };
const constant =
  (opcode: number): Semantics =>
  (o) => {
    wait(o);
    notePointers(o);
    const one: Parts = { low: o.i64(1n << 63n), high: o.i32(0x3fff) };
    const zero: Parts = { low: o.i64(0), high: o.i32(0) };
    const exact = opcode === 0xe8 || opcode === 0xee;
    const helper = () => o.call("fpuConstant", o.i32(opcode));
    pushOr(o, o.i32(exact ? 1 : 0), opcode === 0xe8 ? one : zero, helper);
  };

/** Rows of loads, stores and moves; the numbered mnemonics are undocumented encodings of the same instructions. */
export const x87TransferRows: Row[] = [
  ins("D9 /0", "FLD Ad", "", load("f32"), x87),
  ins("DD /0", "FLD Aq", "", load("f64"), x87),
  ins("DB /5", "FLD At", "", load("f80"), x87),
  ins("D9 /0", "FLD T", "", loadStack, x87),
  ins("D9 /2", "FST Ad:w", "", store("f32", false), x87),
  ins("DD /2", "FST Aq:w", "", store("f64", false), x87),
  ins("DD /2", "FST T", "", storeStack(false), x87),
  ins("D9 /3", "FSTP Ad:w", "", store("f32", true), x87),
  ins("DD /3", "FSTP Aq:w", "", store("f64", true), x87),
  ins("DB /7", "FSTP At:w", "", store("f80", true), x87),
  ins("DD /3", "FSTP T", "", storeStack(true), x87),
  ins("D9 /3", "FSTP1 T", "", storeStack(true, true), x87),
  ins("DF /2", "FSTP8 T", "", storeStack(true), x87),
  ins("DF /3", "FSTP9 T", "", storeStack(true), x87),
  ins("DF /0", "FILD Aw", "", load("i16"), x87),
  ins("DB /0", "FILD Ad", "", load("i32"), x87),
  ins("DF /5", "FILD Aq", "", load("i64"), x87),
  ins("DF /2", "FIST Aw:w", "", store("i16", false), x87),
  ins("DB /2", "FIST Ad:w", "", store("i32", false), x87),
  ins("DF /3", "FISTP Aw:w", "", store("i16", true), x87),
  ins("DB /3", "FISTP Ad:w", "", store("i32", true), x87),
  ins("DF /7", "FISTP Aq:w", "", store("i64", true), x87),
  ins("DF /1", "FISTTP Aw:w", "", store("i16", true, true), { ...x87, feature: "sse3" }),
  ins("DB /1", "FISTTP Ad:w", "", store("i32", true, true), { ...x87, feature: "sse3" }),
  ins("DD /1", "FISTTP Aq:w", "", store("i64", true, true), { ...x87, feature: "sse3" }),
  ins("DF /4", "FBLD At", "", load("bcd"), x87),
  ins("DF /6", "FBSTP At:w", "", store("bcd", true), x87),
  ins("D9 /1", "FXCH T", "", exchange, x87),
  ins("DD /1", "FXCH4 T", "", exchange, x87),
  ins("DF /1", "FXCH7 T", "", exchange, x87),
  ins("DA /0", "FCMOVB T", "", move(2), cmov),
  ins("DA /1", "FCMOVE T", "", move(4), cmov),
  ins("DA /2", "FCMOVBE T", "", move(6), cmov),
  ins("DA /3", "FCMOVU T", "", move(10), cmov),
  ins("DB /0", "FCMOVNB T", "", move(3), cmov),
  ins("DB /1", "FCMOVNE T", "", move(5), cmov),
  ins("DB /2", "FCMOVNBE T", "", move(7), cmov),
  ins("DB /3", "FCMOVNU T", "", move(11), cmov),
  ins("D9 =E8", "FLD1", "", constant(0xe8), x87),
  ins("D9 =E9", "FLDL2T", "", constant(0xe9), x87),
  ins("D9 =EA", "FLDL2E", "", constant(0xea), x87),
  ins("D9 =EB", "FLDPI", "", constant(0xeb), x87),
  ins("D9 =EC", "FLDLG2", "", constant(0xec), x87),
  ins("D9 =ED", "FLDLN2", "", constant(0xed), x87),
  ins("D9 =EE", "FLDZ", "", constant(0xee), x87),
];
