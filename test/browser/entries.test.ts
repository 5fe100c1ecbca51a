import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { describe, expect, it } from "vitest";
import { packageFolder } from "./bundle.js";

/** What runs in Node alone: the command, and the binding to the kernel. */
const NODE_ONLY = ["cli", "kvm-binding"];

interface Entry {
  folder: string;
  specifier: string;
}

/** Every public entry that promises to run anywhere: all but `…/node`. */
function portableEntries(): Entry[] {
  const packages = readdirSync(packageFolder("")).filter(
    (name) => !NODE_ONLY.includes(name) && existsSync(join(packageFolder(name), "package.json")),
  );
  return packages.flatMap((name) => {
    const folder = packageFolder(name);
    const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    return Object.keys(manifest.exports)
      .filter((path) => path !== "./package.json" && !path.split("/").includes("node"))
      .map((path) => ({ folder, specifier: manifest.name + path.slice(1) }));
  });
}

/** Bundles a program that uses all of a module, for browsers, with nothing left outside. */
const bundleAll = (folder: string, specifier: string) =>
  build({
    stdin: { contents: `import * as all from "${specifier}"; globalThis.all = all;`, resolveDir: folder },
    bundle: true,
    write: false,
    platform: "browser",
    format: "esm",
    logLevel: "silent",
    tsconfigRaw: {},
  });

describe("no entry for browsers imports a Node built-in", () => {
  it.each(portableEntries())("$specifier", async ({ folder, specifier }) => {
    const { errors, warnings } = await bundleAll(folder, specifier);
    expect([...errors, ...warnings].map(({ text }) => text)).toEqual([]);
  });

  it("and this test would notice", async () => {
    await expect(bundleAll(packageFolder("qcow2"), "@softmetal/qcow2/node")).rejects.toThrow(
      /Could not resolve "(node:)?fs"/,
    );
  });
});
