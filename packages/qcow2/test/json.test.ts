import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseQemuJson } from "../src/json/index.js";

describe("QEMU's JSON", () => {
  it("reads what JSON.stringify writes", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = JSON.stringify(value);
        expect(JSON.stringify(parseQemuJson(text))).toBe(text);
      }),
      { numRuns: 2000 },
    );
  });

  it("reads single quotes", () => {
    expect(parseQemuJson(`{'a': 'it\\'s "b"', "c": "'", 'd': [true, false, null, -1.5e3]}`)).toEqual({
      a: `it's "b"`,
      c: "'",
      d: [true, false, null, -1500],
    });
  });

  it("takes no key for more than a key", () => {
    const value = parseQemuJson("{'__proto__': {'polluted': 1}, 'constructor': 2}") as Record<string, unknown>;
    expect(Object.keys(value)).toEqual(["__proto__", "constructor"]);
    expect("polluted" in {}).toBe(false);
  });

  it("ends within its limits, whatever it is given", () => {
    expect(() => parseQemuJson("[".repeat(1_000_000))).toThrow("JSON nesting depth limit exceeded");
    expect(() => parseQemuJson(`"${"\\u".repeat(200_000)}"`)).toThrow("is not a valid Unicode character");
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 200 }), (text) => {
        try {
          parseQemuJson(text);
        } catch (error) {
          expect(error).toBeInstanceOf(SyntaxError);
        }
      }),
      { numRuns: 5000 },
    );
  });
});
