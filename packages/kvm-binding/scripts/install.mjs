// Runs when a consumer installs the package. It must never fail: without a binary the package still imports,
// and opening KVM gives a typed `KvmUnavailable` saying why.
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { buildNative } from "./build-native.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));

if (existsSync(`${root}src/index.ts`)) {
  // A source checkout: `pnpm build` builds the addon (and caches it).
} else if (process.platform === "linux" && process.arch === "x64" && !hasBinary()) {
  buildNative();
}

function hasBinary() {
  try {
    createRequire(import.meta.url)("node-gyp-build")(root);
    return true;
  } catch {
    return false;
  }
}
