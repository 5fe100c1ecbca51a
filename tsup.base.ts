import type { Options } from "tsup";

/**
 * Split builds import some files only to keep the order in which modules are evaluated. None of ours does anything then,
 * as the packages say of themselves ("sideEffects"), and bundlers warn of such imports.
 */
export const withoutIdleImports: NonNullable<Options["plugins"]>[number] = {
  name: "without idle imports",
  renderChunk(code) {
    // The lines stay, and with them the source map.
    return { code: code.replace(/^import\s*["']\.\/[^"']*["'];$/gm, "") };
  },
};

/** The build every package shares: ESM for Node 20 and browsers, with declarations and source maps. */
export function library(entry: Record<string, string>, more: Options = {}): Options {
  return {
    entry,
    format: ["esm"],
    target: "es2022",
    platform: "neutral",
    sourcemap: true,
    clean: true,
    treeshake: true,
    plugins: [withoutIdleImports],
    // tsup passes a deprecated option to the declaration build; TypeScript 6 refuses it unless told.
    dts: { compilerOptions: { ignoreDeprecations: "6.0" } },
    ...more,
  };
}
