import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { type Browser, chromium } from "playwright-core";

/** A host name that leads to this machine and that browsers do not trust, unlike `127.0.0.1`: no secure context. */
export const UNTRUSTED_HOST = "softmetal.test";

const NAMES = ["chromium", "chromium-browser", "google-chrome"];
const executable = (process.env.PATH ?? "")
  .split(delimiter)
  .flatMap((folder) => NAMES.map((name) => join(folder, name)))
  .find((path) => existsSync(path));

/** Whether there is a browser to test in. */
export const hasBrowser = executable !== undefined;
if (!hasBrowser) console.warn("SKIPPED: chromium is not installed; nothing is tested in a browser");

/** Starts the browser, with a profile of its own that goes away with it. */
export function launchBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: executable,
    args: [
      // Chromium's sandbox does not work for root, as which continuous integration often runs.
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      `--host-resolver-rules=MAP ${UNTRUSTED_HOST} 127.0.0.1`,
    ],
  });
}
