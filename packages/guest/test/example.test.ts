import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, vi } from "vitest";

it("runs the README's example", async () => {
  const directory = mkdtempSync(join(tmpdir(), "softmetal-example-"));
  const log = vi.spyOn(console, "log").mockImplementation(() => {});
  const { argv } = process;
  process.argv = [argv[0], "initramfs.mjs", join(directory, "out.cpio")];
  try {
    // Imported rather than run, so that it uses the sources and needs no build.
    await import("../examples/initramfs.mjs" as string);
    const written = readFileSync(join(directory, "out.cpio"));
    expect(written.subarray(0, 6).toString()).toBe("070701");
    expect(log).toHaveBeenCalledWith(`${written.length} bytes`);
    const example = readFileSync(new URL("../examples/initramfs.mjs", import.meta.url), "utf8");
    const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
    expect(readme).toContain(example.split("\n").slice(1).join("\n"));
  } finally {
    process.argv = argv;
    log.mockRestore();
    rmSync(directory, { recursive: true, force: true });
  }
});
