import { readFileSync } from "node:fs";
import { expect, it, vi } from "vitest";

const text = (path: string) => readFileSync(new URL(path, import.meta.url), "utf8");

it("the README's example runs and prints what the README says", async () => {
  expect(text("../README.md")).toContain(text("../examples/count.mjs"));
  const log = vi.spyOn(console, "log").mockImplementation(() => {});
  await import("../examples/count.mjs" as string);
  const [[line]] = log.mock.calls;
  log.mockRestore();
  expect(text("../README.md")).toContain(`It prints \`${line}\``);
});
