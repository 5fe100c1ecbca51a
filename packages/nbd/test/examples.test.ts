import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it, vi } from "vitest";

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));

it("the README's example is the file that runs here", async () => {
  expect(readFileSync(path("../README.md"), "utf8")).toContain(
    readFileSync(path("../examples/serve-and-read.ts"), "utf8"),
  );
  const log = vi.spyOn(console, "log").mockImplementation(() => {});
  await import("../examples/serve-and-read.js");
  expect(log.mock.calls).toEqual([["hello, disk"]]);
  log.mockRestore();
});
