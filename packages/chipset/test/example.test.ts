import { readFileSync } from "node:fs";
import { expect, it, vi } from "vitest";

const text = (path: string) => readFileSync(new URL(path, import.meta.url), "utf8");

it("the README's example runs and prints what the README says", async () => {
  const example = text("../examples/timer-and-serial.mjs");
  expect(text("../README.md")).toContain(example);
  const lines: string[] = [];
  const log = vi.spyOn(console, "log").mockImplementation((line: string) => {
    lines.push(line);
  });
  try {
    await import("../examples/timer-and-serial.mjs" as string);
  } finally {
    log.mockRestore();
  }
  expect(lines).toEqual(["99 ticks in a second"]);
  expect(text("../README.md")).toContain(`It prints \`${lines[0]}\``);
});
