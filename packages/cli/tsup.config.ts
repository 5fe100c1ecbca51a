import { transform } from "esbuild";
import type { Options } from "tsup";
import { library, withoutIdleImports } from "../../tsup.base.js";

// The three builds run side by side and share the folder, which `pnpm build` empties.

/** The program for everything but disk images: ES modules, each command in files of its own. */
const program = library({ program: "src/program.ts" }, { platform: "node", dts: false, splitting: true, clean: false });

type Plugin = NonNullable<Options["plugins"]>[number];

/**
 * Turns each file of a split build into CommonJS. esbuild splits ES modules only; what tsup has for CommonJS rewrites
 * the syntax for old engines, too, which costs time when it runs. What the files take from each other they take once, as
 * constants: esbuild's own way are two getters for each use, in loops over clusters as well.
 */
const commonJs: Plugin = {
  name: "CommonJS",
  async renderChunk(code) {
    const usesUrl = code.includes("import.meta.url");
    const result = await transform(linked(code), {
      format: "cjs",
      platform: "node",
      target: "es2022",
      minify: true,
      define: { "import.meta.url": "moduleUrl" },
      // Node would start its loader of ES modules for import().
      supported: { "dynamic-import": false },
      banner: usesUrl ? 'const moduleUrl=require("node:url").pathToFileURL(__filename).href;' : undefined,
    });
    return { code: result.code };
  },
};

/** The imports and exports between the files of a build, as esbuild writes them, in terms of CommonJS. */
function linked(code: string): string {
  const names = (list: string, separator: string): string => list.replaceAll(" as ", separator);
  const result = code
    .replace(
      /^import \{([^}]*)\} from ("\.\/[^"]+");$/gm,
      (_, list, file) => `const {${names(list, ": ")}} = require(${file});`,
    )
    .replace(/\bimport\(("\.\/[^"]+")\)/g, "Promise.resolve().then(() => require($1))")
    .replace(/^export \{([^}]*)\};$/gm, (_, list: string) => {
      const pairs = list.split(",").map((item) => item.trim().split(" as "));
      return `module.exports = {${pairs.map(([local, exported = local]) => `${exported}: ${local}`)}};`;
    });
  const left = /^(import .*"\.\/|export ).*$/m.exec(result);
  if (left !== null) throw new Error(`not turned into CommonJS: ${left[0]}`);
  return result;
}

/**
 * The commands for disk images and the libraries that they need as CommonJS: Node starts it some 20 ms sooner than ES
 * modules, which is half of what a short command takes. What is imported dynamically is in files of its own, so that Node
 * reads and parses only what a command uses.
 */
const images = library(
  { images: "src/images.ts" },
  {
    platform: "node",
    dts: false,
    splitting: true,
    sourcemap: false,
    clean: false,
    // It would turn dynamic imports into static ones.
    treeshake: false,
    outExtension: () => ({ js: ".cjs" }),
    plugins: [withoutIdleImports, commonJs],
    noExternal: [/^@softmetal\/(qcow2|nbd)/],
    // Optional dependencies are not left out of the bundle by themselves.
    external: ["koffi", "@bokuweb/zstd-wasm", "@foxglove/wasm-zstd"],
    esbuildPlugins: [
      {
        name: "without what only browsers load",
        setup: (build) =>
          build.onResolve({ filter: /\/zstd-module-/ }, () => ({ path: "@bokuweb/zstd-wasm", external: true })),
      },
    ],
  },
);

/** The executables load one of the above: a file each. */
const executables = library(
  {
    softmetal: "src/softmetal.ts",
    "softmetal-img": "src/softmetal-img.ts",
    "softmetal-io": "src/softmetal-io.ts",
    "softmetal-nbd": "src/softmetal-nbd.ts",
  },
  {
    format: ["cjs"],
    platform: "node",
    dts: false,
    minify: true,
    clean: false,
    treeshake: false,
    external: ["./program.js", "./images.cjs"],
  },
);

export default [program, images, executables] satisfies Options[];
