import { ins, type Row, type Semantics } from "../table/row.js";
import type { Val } from "../wasm/code.js";

/**
 * PCMPxSTRx. The helper gets the immediate in bits 0-7, in bit 8 whether a mask is wanted, in bit 9 whether EAX and EDX
 * hold the lengths (of which it gets the magnitudes, at most 16).
 */
const compareStrings =
  (explicit: boolean, mask: boolean): Semantics =>
  (o, a, b, immediate) => {
    let kind = o.or(32, immediate, o.i32((mask ? 0x100 : 0) | (explicit ? 0x200 : 0)));
    if (explicit) {
      const length = (register: number): Val => {
        const wide = o.operandSize === 64 ? o.gpr(64, register) : o.sext(32, 64, o.gpr(32, register));
        const magnitude = o.select(o.code.op("i64.lt_s", wide, o.i64(0)), o.sub(64, o.i64(0), wide), wide);
        // The magnitude of the most negative number is large, taken as unsigned.
        return o.select(o.ltU(64, magnitude, o.i64(16)), o.trunc(64, 32, magnitude), o.i32(16));
      };
      kind = o.or(32, kind, o.or(32, o.shl(32, length(0), 16), o.shl(32, length(2), 24)));
    }
    o.call("sseCompareStrings", kind, a, b);
    o.setImage(o.result(32, 1));
    if (mask) o.setXmm(0, o.resultVector());
    else o.setGpr(32, 1, o.result(32));
  };

/** CRC32: the Castagnoli polynomial, bits reflected, one bit of the data at a time. */
const crc32 =
  (size: 8 | "operand"): Semantics =>
  (o, crc, data) => {
    const { code } = o;
    const bits = size === 8 ? 8 : o.operandSize;
    const low = bits === 64 ? o.trunc(64, 32, data) : data;
    const crcOver = (start: Val, count: number): Val => {
      const value = code.variable("i32", start);
      const left = code.variable("i32", o.i32(count));
      code.loop((again) => {
        const v = value.get();
        const polynomial = o.and(32, o.sub(32, o.i32(0), o.and(32, v, o.i32(1))), o.i32(0x82f63b78));
        value.set(o.xor(32, o.shrU(32, v, 1), polynomial));
        const rest = o.sub(32, left.get(), o.i32(1));
        left.set(rest);
        code.branch(again, rest);
      });
      return value.get();
    };
    const first = crcOver(o.xor(32, crc, low), Math.min(bits, 32));
    return bits === 64 ? crcOver(o.xor(32, first, o.trunc(64, 32, o.shrU(64, data, 32))), 32) : first;
  };

const strings = { unit: "sse", feature: "sse4.2" } as const;

/** Rows of SSE4.2 string comparison and CRC32. */
export const sse42StringRows: Row[] = [
  ins("66 0F 3A 60 /r", "PCMPESTRM Vx Wx Ib", "MMM00M", compareStrings(true, true), { ...strings, operandSized: true }),
  ins("66 0F 3A 61 /r", "PCMPESTRI Vx Wx Ib", "MMM00M", compareStrings(true, false), {
    ...strings,
    operandSized: true,
  }),
  ins("66 0F 3A 62 /r", "PCMPISTRM Vx Wx Ib", "MMM00M", compareStrings(false, true), strings),
  ins("66 0F 3A 63 /r", "PCMPISTRI Vx Wx Ib", "MMM00M", compareStrings(false, false), strings),
  ins("F2 0F 38 F0 /r", "CRC32 Gd:rw Eb", "", crc32(8), { feature: "sse4.2" }),
  ins("F2 0F 38 F1 /r", "CRC32 Gd:rw Ev", "", crc32("operand"), { feature: "sse4.2", operandSized: true }),
];
