import type { Options } from "tsup";
import { library } from "../../tsup.base.js";

/** The program for everything but disk images: ES modules, each command in files of its own. */
const program = library({ program: "src/program.ts" }, { platform: "node", dts: false, splitting: true });

/**
 * The executables, and one CommonJS file with all commands for disk images and the libraries that they need: Node starts it
 * some 20 ms sooner than ES modules in many files, which is half of what a short command takes. What is imported
 * dynamically is in it, too, but does not run before it is called for.
 */
const executables = library(
  {
    softmetal: "src/softmetal.ts",
    "softmetal-img": "src/softmetal-img.ts",
    "softmetal-io": "src/softmetal-io.ts",
    "softmetal-nbd": "src/softmetal-nbd.ts",
    images: "src/images.ts",
  },
  {
    format: ["cjs"],
    platform: "node",
    dts: false,
    minify: true,
    // The two builds share the folder.
    clean: false,
    // It would turn dynamic imports into static ones.
    treeshake: false,
    // import.meta.url
    shims: true,
    noExternal: [/^@softmetal\/(qcow2|nbd)/],
    // Optional dependencies are not left out of the bundle by themselves.
    external: ["koffi", "@bokuweb/zstd-wasm", "./program.js"],
    esbuildPlugins: [
      {
        name: "without what only browsers load",
        setup: (build) =>
          build.onResolve({ filter: /\/zstd-module-/ }, () => ({ path: "@bokuweb/zstd-wasm", external: true })),
      },
    ],
  },
);

export default [program, executables] satisfies Options[];
