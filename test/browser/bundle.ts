import { fileURLToPath } from "node:url";
import { build } from "esbuild";

/** The folder of a package of this workspace. */
export const packageFolder = (name: string): string =>
  fileURLToPath(new URL(`../../packages/${name}`, import.meta.url));

/**
 * Bundles programs for the browser as a user of the published packages would: through their `exports`, with nothing left
 * out. The packages must have been built.
 * @param entries Output names without `.js`, and the files or packages that they begin at, as seen from the package's folder.
 */
export async function bundle(packageName: string, entries: Record<string, string>, outdir: string): Promise<void> {
  await build({
    absWorkingDir: packageFolder(packageName),
    entryPoints: entries,
    outdir,
    bundle: true,
    splitting: true,
    platform: "browser",
    format: "esm",
    target: "es2022",
    logLevel: "silent",
    // The workspace's own `paths` lead to sources.
    tsconfigRaw: {},
  });
}
