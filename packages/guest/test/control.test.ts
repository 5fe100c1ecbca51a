import { describe, expect, it } from "vitest";
import { dependencyNames, parseControl } from "../src/index.js";

describe("parseControl", () => {
  it("separates paragraphs and joins continuation lines", () => {
    const text = "Package: a\nDescription: short\n long\n\n\nPackage: b\nN: not related\nSize:7\n";
    expect([...parseControl(text)].map((paragraph) => Object.fromEntries(paragraph))).toEqual([
      { package: "a", description: "short\nlong" },
      { package: "b", n: "not related", size: "7" },
    ]);
  });

  it("passes over what is not control data", () => {
    expect([...parseControl(" continuation of nothing\nno colon here\n: no name\n")]).toEqual([]);
  });
});

describe("dependencyNames", () => {
  it("takes the first alternative of each dependency", () => {
    expect(dependencyNames("linux-image-6.1.0-9-amd64 (= 6.1-2), kmod | modutils, libc6:any (>= 2)")).toEqual([
      "linux-image-6.1.0-9-amd64",
      "kmod",
      "libc6",
    ]);
    expect(dependencyNames("")).toEqual([]);
  });
});
