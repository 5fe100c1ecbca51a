import type { Options } from "tsup";

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
    // tsup passes a deprecated option to the declaration build; TypeScript 6 refuses it unless told.
    dts: { compilerOptions: { ignoreDeprecations: "6.0" } },
    ...more,
  };
}
