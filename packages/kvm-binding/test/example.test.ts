import { readFileSync } from "node:fs";
import { expect, it, vi } from "vitest";
import { describeKvm } from "./support.js";

const source = (path: string) => readFileSync(new URL(path, import.meta.url), "utf8");

it("is what the front page shows", () => {
  expect(source("../README.md")).toContain(source("../examples/hello.mjs").trim());
});

describeKvm("the example of the front page", () => {
  it("runs", async () => {
    const log = vi.spyOn(console, "log").mockImplementation(() => {});
    try {
      // @ts-expect-error a program, not a module with declarations
      await import("../examples/hello.mjs");
      expect(log.mock.calls).toEqual([["Hello from ring 0\n"]]);
    } finally {
      log.mockRestore();
    }
  });
});
