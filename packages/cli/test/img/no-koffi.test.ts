import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import koffi from "koffi";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { Context } from "../../src/img/support/context.js";
import { CapturedTerminal } from "../../src/img/support/terminal.js";

describe.skipIf(process.platform !== "linux")("without koffi", () => {
  const folder = mkdtempSync(join(tmpdir(), "softmetal-koffi-"));
  const image = join(folder, "a.raw");
  let descriptor: number;

  beforeAll(() => {
    writeFileSync(image, new Uint8Array(4096));
    // Somebody else writes to the image: the lock QEMU's writers hold on byte 101.
    descriptor = openSync(image, "r+");
    const fcntl = koffi.load(null).func("int fcntl(int fd, int command, ...)");
    const lock = Buffer.alloc(32);
    lock.writeBigInt64LE(101n, 8);
    lock.writeBigInt64LE(1n, 16);
    expect(fcntl(descriptor, 37, "void *", lock)).toBe(0);
    vi.spyOn(koffi, "load").mockImplementation(() => {
      throw new Error("no prebuilt binary");
    });
  });
  afterAll(() => {
    vi.restoreAllMocks();
    closeSync(descriptor);
    rmSync(folder, { recursive: true, force: true });
  });

  it("an image in use is still refused, and a free one is used with a warning", async () => {
    const { openImage } = await import("../../src/img/support/open.js");
    const terminal = new CapturedTerminal();
    const context = new Context("qemu-img", terminal);
    await expect(openImage(context, { filename: image, format: "raw" })).rejects.toThrow(
      'Failed to get shared "write" lock',
    );
    await expect(openImage(context, { filename: image, format: "raw", write: true })).rejects.toThrow("lock");
    expect(terminal.stderr).toBe("");
    const free = join(folder, "b.raw");
    writeFileSync(free, new Uint8Array(4096));
    const opened = await openImage(context, { filename: free, format: "raw", write: true });
    await opened.disk.discard(0, 512);
    await opened.close();
    expect(terminal.stderr).toBe(
      "qemu-img: warning: images are not locked, because the optional package 'koffi' is not installed\n",
    );
  });
});
