import { readFileSync } from "node:fs";
import { expect, it, vi } from "vitest";

const text = (path: string) => readFileSync(new URL(path, import.meta.url), "utf8");

it.each(["boot-sector", "save-and-load"])(
  "the README's example %s runs and prints what the README says",
  async (name) => {
    expect(text("../README.md")).toContain(text(`../examples/${name}.mjs`));
    const log = vi.spyOn(console, "log").mockImplementation(() => {});
    await import(`../examples/${name}.mjs`);
    const [[line]] = log.mock.calls;
    log.mockRestore();
    expect(text("../README.md")).toContain(`It prints \`${line}\``);
  },
);
