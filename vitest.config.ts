import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const source = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  resolve: {
    // Tests run the sources of every package, so that no build is needed first, except where a worker is started.
    alias: [
      // Its entry starts a worker, which is a file of the build.
      { find: /^@softmetal\/vmm$/, replacement: source("./packages/vmm/dist/node/index.js") },
      { find: /^@softmetal\/([^/]+)\/([^/]+)$/, replacement: source("./packages/$1/src/$2/index.ts") },
      { find: /^@softmetal\/([^/]+)$/, replacement: source("./packages/$1/src/index.ts") },
    ],
  },
  test: {
    include: ["packages/*/test/**/*.test.ts", "test/**/*.test.ts"],
    reporters: ["default", source("./scripts/summary-reporter.mjs")],
    // Tests of the CPU run the interpreter that the sources of this moment generate.
    globalSetup: [source("./packages/x86-core/scripts/vitest-setup.mjs")],
    testTimeout: 120_000,
    maxWorkers: 2,
  },
});
