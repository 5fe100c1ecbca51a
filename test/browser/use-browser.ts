import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll } from "vitest";
import { launchBrowser } from "./chromium.js";
import { openSite, type Site, type SiteOptions } from "./site.js";

/** A browser and a site of its own for the tests of one `describe`. */
export interface Fixture {
  readonly site: Site;
  /** A new page that shows the site's empty page, by the name of a host that leads to it. */
  open(host?: string): Promise<Page>;
}

/** Starts both before the tests and ends them after. */
export function useBrowser(options?: SiteOptions): Fixture {
  let browser: Browser | undefined;
  let site: Site | undefined;
  beforeAll(async () => {
    [browser, site] = await Promise.all([launchBrowser(), openSite(options)]);
  });
  afterAll(async () => {
    await browser?.close();
    await site?.close();
  });
  return {
    get site() {
      return site!;
    },
    async open(host) {
      const page = await browser!.newPage();
      await page.goto(site!.url("", host));
      return page;
    },
  };
}
