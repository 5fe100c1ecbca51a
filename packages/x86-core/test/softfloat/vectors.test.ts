import { describe, expect, test } from "vitest";
import * as sf from "../../src/softfloat/index.js";

// Rules of the manual as single cases, for machines whose processor cannot be asked.

const { createContext, IE, DE, ZE, OE, UE, PE, Rounding } = sf;

describe("SSE", () => {
  test("rounds in all four directions", () => {
    // 1 + 2^-24: half a unit
    const sum = (rounding: number): number => sf.f32Add(createContext({ rounding }), 0x3f800000, 0x33800000);
    expect([0, 1, 2, 3].map(sum)).toEqual([0x3f800000, 0x3f800000, 0x3f800001, 0x3f800000]);
    const third = (rounding: number): bigint => {
      return sf.f64Div(createContext({ rounding }), 0xbff0000000000000n, 0x4008000000000000n);
    };
    expect([0, 1, 2, 3].map(third)).toEqual([
      0xbfd5555555555555n,
      0xbfd5555555555556n,
      0xbfd5555555555555n,
      0xbfd5555555555555n,
    ]);
  });

  test.each([
    ["0 * inf", sf.f64Mul, 0n, 0x7ff0000000000000n, 0xfff8000000000000n, IE],
    ["inf - inf", sf.f64Sub, 0x7ff0000000000000n, 0x7ff0000000000000n, 0xfff8000000000000n, IE],
    ["1 / 0", sf.f64Div, 0x3ff0000000000000n, 0x8000000000000000n, 0xfff0000000000000n, ZE],
    ["first NaN wins, quieted", sf.f64Add, 0x7ff0000000000001n, 0x7ff8000000000002n, 0x7ff8000000000001n, IE],
    ["a quiet NaN is silent", sf.f64Add, 0x3ff0000000000000n, 0xfff8000000000002n, 0xfff8000000000002n, 0],
    ["overflow", sf.f64Mul, 0x7fe0000000000000n, 0x7fe0000000000000n, 0x7ff0000000000000n, OE | PE],
    ["exact denormal result", sf.f64Mul, 0x0010000000000000n, 0x3fe0000000000000n, 0x0008000000000000n, 0],
    ["inexact denormal result", sf.f64Mul, 0x0010000000000001n, 0x3fe0000000000000n, 0x0008000000000000n, UE | PE],
    ["denormal operand", sf.f64Add, 1n, 1n, 2n, DE],
    ["minimum of zeros is the second", sf.f64Min, 0x8000000000000000n, 0n, 0n, 0],
    ["minimum with a NaN is the second", sf.f64Min, 0x7ff8000000000000n, 0n, 0n, IE],
  ] as const)("%s", (_name, f, a, b, result, flags) => {
    const context = createContext();
    expect(f(context, a, b)).toBe(result);
    expect(context.flags).toBe(flags);
  });

  test("FZ and DAZ", () => {
    const context = createContext({ flushToZero: true });
    expect(sf.f64Mul(context, 0x8010000000000000n, 0x3fe0000000000000n)).toBe(0x8000000000000000n);
    expect(context.flags).toBe(UE | PE);
    const daz = createContext({ denormalsAreZero: true });
    expect(sf.f32Add(daz, 0x007fffff, 0x80000001)).toBe(0);
    expect(daz.flags).toBe(0);
  });

  test("converts to integers", () => {
    const context = createContext();
    expect(sf.f64ToInt32(context, 0x4004000000000000n, false)).toBe(2); // 2.5
    expect(sf.f64ToInt32(context, 0x41e0000000000000n, true)).toBe(-0x80000000); // 2^31
    expect(context.flags).toBe(IE | PE);
    expect(sf.f64ToInt64(createContext(), 0xc3e0000000000000n, false)).toBe(-(2n ** 63n));
  });

  test("an unmasked denormal operand stops before the precision flag", () => {
    const context = createContext({ masks: 0x3f & ~DE });
    sf.f64Add(context, 1n, 0x3ff0000000000000n);
    expect(context.flags).toBe(DE);
    expect(sf.isAborted(context)).toBe(true);
  });
});

describe("x87", () => {
  const one = sf.float80(0x3fff, 0x8000000000000000n);
  const three = sf.float80(0x4000, 0xc000000000000000n);

  test("precision control rounds the significand, not the exponent range", () => {
    const out = sf.float80();
    const context = createContext({ precision: 24, rounding: Rounding.Up });
    expect(sf.f80Div(context, one, three, out)).toBe(true);
    expect(out).toMatchObject({ signExponent: 0x3ffd, significand: 0xaaaaab0000000000n });
    expect(context).toMatchObject({ flags: PE, roundedUp: true });
    sf.f80Mul(context, sf.float80(0x0001, 0x8000000000000000n), sf.float80(0x7ffe, 0x8000000000000000n), out);
    expect(out).toMatchObject({ signExponent: 0x4000, significand: 0x8000000000000000n });
  });

  test("unmasked overflow and underflow move the exponent by 24576", () => {
    const out = sf.float80();
    const big = sf.float80(0x7ffe, 0x8000000000000000n);
    const context = createContext({ masks: 0x3f & ~(OE | UE) });
    sf.f80Mul(context, big, big, out);
    expect(out).toMatchObject({ signExponent: 0x7ffe + 0x7ffe - 0x3fff - 24576, significand: 0x8000000000000000n });
    expect(context.flags).toBe(OE);
  });

  test("unsupported encodings are invalid operands", () => {
    const out = sf.float80();
    const context = createContext();
    sf.f80Add(context, sf.float80(0x3fff, 0x4000000000000000n), one, out);
    expect(out).toMatchObject({ signExponent: 0xffff, significand: 0xc000000000000000n });
    expect(context.flags).toBe(IE);
    expect(sf.f80Classify(sf.float80(0x7fff, 1n))).toBe(sf.Class80.Unsupported);
  });

  test("an unmasked invalid operation leaves the destination alone", () => {
    const out = sf.float80(0x1234, 0x8000000000000005n);
    const context = createContext({ masks: 0x3f & ~IE });
    expect(sf.f80Sqrt(context, sf.float80(0xbfff, 0x8000000000000000n), out)).toBe(false);
    expect(out).toMatchObject({ signExponent: 0x1234, significand: 0x8000000000000005n });
  });

  test("a denormal memory operand raises DE in the instruction that uses it", () => {
    const operand = sf.float80();
    sf.widenF32ToF80(1, operand);
    const context = createContext();
    sf.f80Add(context, operand, operand, operand);
    expect(context.flags).toBe(DE);
    expect(operand).toMatchObject({ signExponent: 0x3fff - 148, significand: 0x8000000000000000n });
    sf.f80Add(context, operand, operand, operand);
    expect(context.flags).toBe(DE);
  });

  test("partial remainders", () => {
    const out = sf.float80();
    // 2^70 mod 3 takes two steps.
    const context = createContext();
    const dividend = sf.float80(0x3fff + 70, 0x8000000000000000n);
    expect(sf.f80Remainder(context, dividend, three, false, out)).toBe(sf.INCOMPLETE);
    expect(sf.f80Remainder(context, out, three, false, out)).toBeGreaterThanOrEqual(0);
    expect(out).toMatchObject(one);
    // 7 = 2 * 4 - 1
    const seven = sf.float80(0x4001, 0xe000000000000000n);
    expect(sf.f80Remainder(context, seven, sf.float80(0x4001, 0x8000000000000000n), true, out)).toBe(2);
    expect(out).toMatchObject({ signExponent: 0xbfff, significand: 0x8000000000000000n });
  });

  test("packed BCD", () => {
    const out = sf.float80();
    sf.f80FromBcd({ low: 0x123456n, high: 0x8000 }, out);
    const bcd = { low: 0n, high: 0 };
    sf.f80ToBcd(createContext(), out, bcd);
    expect(bcd).toEqual({ low: 0x123456n, high: 0x8000 });
    const context = createContext();
    sf.f80ToBcd(context, sf.float80(0x4040, 0x8000000000000000n), bcd);
    expect(bcd).toEqual({ low: 0xc000000000000000n, high: 0xffff });
    expect(context.flags).toBe(IE);
  });

  test("functions", () => {
    const out = sf.float80();
    const pushed = sf.float80();
    const pi = sf.float80();
    sf.f80Constant(createContext(), "PI", pi);
    expect(sf.f80Sin(createContext(), pi, out)).toBe(true);
    expect(out).toMatchObject({ signExponent: 0xbfbf, significand: 0x8000000000000000n });
    expect(sf.f80Tan(createContext(), sf.float80(0x403e, 0x8000000000000000n), out, pushed)).toBe(false);
    sf.f80Atan2(createContext(), one, sf.float80(0xbfff, 0x8000000000000000n), out);
    expect(out).toMatchObject({ signExponent: 0x4000, significand: 0x96cbe3f9990e91a8n });
    sf.f80YLog2X(createContext(), three, sf.float80(0x4002, 0x8000000000000000n), out);
    expect(out).toMatchObject({ signExponent: 0x4002, significand: 0x9000000000000000n });
    sf.f80Exp2Minus1(createContext(), sf.float80(0x3ffe, 0x8000000000000000n), out);
    expect(out).toMatchObject({ signExponent: 0x3ffd, significand: 0xd413cccfe7799211n });
  });
});
