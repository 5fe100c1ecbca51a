import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { beforeAll, describe, expect, it } from "vitest";
import { bundle, packageFolder } from "./bundle.js";
import { hasBrowser } from "./chromium.js";
import { useBrowser } from "./use-browser.js";
import { startWorker } from "./worker.js";

const hasDpkg = spawnSync("dpkg-deb", ["--version"]).status === 0;
if (!hasDpkg) console.warn("SKIPPED: dpkg-deb is not installed; no Debian package is read in a browser");

describe.skipIf(!hasBrowser)("libraries in a browser's worker", () => {
  const browser = useBrowser();
  let page: Page;
  beforeAll(async () => {
    page = await browser.open();
  });

  /** Bundles a program of a package and runs it in a worker, which has the program's exports then. */
  async function run(packageName: string, program: string) {
    const name = `${packageName}-worker`;
    await bundle(packageName, { [name]: program }, browser.site.folder);
    return startWorker(page, browser.site.url(`${name}.js`));
  }

  it.each(["x86-core", "chipset"])("%s: the README's example prints what the README says", async (name) => {
    const { message } = await run(name, "test/browser/example.ts");
    expect(message).toHaveLength(1);
    expect(readFileSync(join(packageFolder(name), "README.md"), "utf8")).toContain(`It prints \`${message}\``);
  });

  it("nbd: a client and a server talk", async () => {
    const { message } = await run("nbd", "test/browser/talk.ts");
    expect(message).toEqual(["export disk of 1048576 bytes", "hello, disk"]);
  });

  it.skipIf(!hasDpkg).each(["gzip", "xz", "zstd"])(
    "guest: reads a Debian package made by dpkg-deb, %s",
    async (how) => {
      const { site } = browser;
      const tree = site.path("tree");
      const content = randomBytes(300_000).toString("hex");
      mkdirSync(join(tree, "DEBIAN"), { recursive: true });
      mkdirSync(join(tree, "boot"));
      writeFileSync(
        join(tree, "DEBIAN/control"),
        "Package: thing\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b>\nDescription: a\n",
      );
      writeFileSync(join(tree, "boot/vmlinuz-1.2.3"), content);
      execFileSync("dpkg-deb", [`-Z${how}`, "--root-owner-group", "--build", tree, site.path("thing.deb")], {
        stdio: "ignore",
      });
      rmSync(tree, { recursive: true });
      const worker = await run("guest", "test/browser/kernel.ts");
      const found = await worker.call("kernelOf", site.url("thing.deb"));
      expect(found).toEqual({ version: "1.2.3", text: content });
    },
  );

  it("guest: an initramfs compressed here is what gzip and cpio unpack", async () => {
    const { site } = browser;
    const worker = await run("guest", "test/browser/kernel.ts");
    await worker.call("putInitramfs", site.url("initramfs.gz"));
    const script = "gzip -dc initramfs.gz | cpio --extract --to-stdout --quiet init";
    expect(execFileSync("sh", ["-c", script], { cwd: site.folder, encoding: "utf8" })).toBe("#!/bin/sh\necho hello\n");
  });
});
