import { copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { obtainGuest } from "@softmetal/guest/node";
import type { Page } from "playwright-core";
import { build } from "vite";
import { beforeAll, describe, expect, it } from "vitest";
import { bundle, packageFolder } from "../../../../test/browser/bundle.js";
import { hasBrowser } from "../../../../test/browser/chromium.js";
import type { Site } from "../../../../test/browser/site.js";
import { useBrowser } from "../../../../test/browser/use-browser.js";

/** Milliseconds that a boot may take on a busy host. */
const LIMIT = 300_000;

const guest = await obtainGuest({ architecture: "amd64" }).catch((error: Error) => {
  console.warn(`SKIPPED: Debian's kernel cannot be had here: ${error.message}`);
  return undefined;
});

const text = (path: string) => readFileSync(new URL(path, import.meta.url), "utf8");

/** Bundles an example and the machine's worker with esbuild, as the README says, into a page `page.html`. */
async function makePage(site: Site, example: string): Promise<void> {
  await bundle("vmm", { page: example, worker: "@softmetal/vmm/worker" }, site.folder);
  writePage(site.path("page.html"), "page.js");
}

const writePage = (path: string, script: string) =>
  writeFileSync(path, `<!doctype html><html><body><script type="module" src="${script}"></script></body></html>`);

/** The next line that the page prints on its console. */
async function printed(page: Page, url: string): Promise<string> {
  const [message] = await Promise.all([page.waitForEvent("console"), page.goto(url)]);
  return message.text();
}

/** Waits until the page shows something. */
async function shown(page: Page, what: RegExp): Promise<void> {
  const seen = page.locator("pre", { hasText: what });
  // What it shows instead tells why.
  await seen.waitFor({ timeout: LIMIT }).catch(async () => expect(await page.textContent("pre")).toMatch(what));
}

it("the README shows the example that is tested here", () => {
  expect(text("../../README.md")).toContain(text("../../examples/browser-page.mjs"));
});

describe.skipIf(!hasBrowser)("in an isolated page", () => {
  const browser = useBrowser();
  let page: Page;
  beforeAll(async () => {
    page = await browser.open();
  });

  it.skipIf(!guest)(
    "Debian's kernel boots to its shell, runs commands and powers off",
    async () => {
      const { site } = browser;
      await makePage(site, "examples/browser-page.mjs");
      copyFileSync(guest!.kernel, site.path("vmlinuz"));
      copyFileSync(guest!.initrd, site.path("initrd"));
      await page.goto(site.url("page.html"));
      await shown(page, /Run \/init as init process/);
      await shown(page, /\/ # /);
      await page.fill("input", "uname -m; echo $((6 * 7)) is the answer");
      await page.press("input", "Enter");
      await shown(page, /x86_64\s+42 is the answer/);
      await page.fill("input", "poweroff");
      await page.press("input", "Enter");
      await shown(page, /The machine has ended: poweroff\./);
      expect(await page.textContent("pre")).not.toMatch(/BUG:|WARNING:|Oops|general protection/);
    },
    LIMIT,
  );

  it("the README's first example prints what the README says, bundled by esbuild", async () => {
    await makePage(browser.site, "examples/boot-sector.mjs");
    const line = await printed(page, browser.site.url("page.html"));
    expect(text("../../README.md")).toContain(`It prints \`${line}\``);
  });

  it("and bundled by Vite, which finds the worker by itself", async () => {
    const { site } = browser;
    await build({
      configFile: false,
      logLevel: "error",
      root: packageFolder("vmm"),
      base: "./",
      build: {
        target: "es2022",
        outDir: site.folder,
        assetsDir: "",
        emptyOutDir: false,
        rolldownOptions: { input: "examples/boot-sector.mjs", output: { entryFileNames: "vite.js" } },
      },
    });
    writePage(site.path("vite.html"), "vite.js");
    const line = await printed(page, site.url("vite.html"));
    expect(text("../../README.md")).toContain(`It prints \`${line}\``);
  });

  it("a worker that is not there is named", async () => {
    const { site } = browser;
    await makePage(site, "examples/browser-page.mjs");
    for (const name of ["vmlinuz", "initrd"]) writeFileSync(site.path(name), "");
    rmSync(site.path("worker.js"));
    await page.goto(site.url("page.html"));
    await shown(page, /^The machine's worker could not be loaded from http:\S+\/worker\.js: [^.]+\.$/);
  });

  it("a kernel that is none gets one sentence", async () => {
    const { site } = browser;
    await makePage(site, "examples/browser-page.mjs");
    for (const name of ["vmlinuz", "initrd"]) writeFileSync(site.path(name), "not a kernel");
    await page.goto(site.url("page.html"));
    await shown(page, /^[A-Z][^.]*kernel[^.]*\.$/);
  });
});

describe.skipIf(!hasBrowser)("in a page that is not isolated", () => {
  const browser = useBrowser({ isolated: false });

  it("one sentence says what is missing", async () => {
    const { site } = browser;
    await makePage(site, "examples/browser-page.mjs");
    for (const name of ["vmlinuz", "initrd"]) writeFileSync(site.path(name), "");
    const page = await browser.open();
    await page.goto(site.url("page.html"));
    await shown(page, /^The page is not cross-origin isolated: [^.]+\.$/);
  });
});
