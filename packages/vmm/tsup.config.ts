import { defineConfig } from "tsup";
import { library } from "../../tsup.base.js";

// Index and worker of an environment lie in one folder: the index starts the worker beside it. Importing a worker has effects.
export default defineConfig([
  library(
    { index: "src/node/index.ts", worker: "src/node/worker.ts", "kvm-thread": "src/node/kvm-thread.ts" },
    { outDir: "dist/node", platform: "node", plugins: [] },
  ),
  library({ index: "src/browser/index.ts", worker: "src/browser/worker.ts" }, { outDir: "dist/browser", plugins: [] }),
]);
