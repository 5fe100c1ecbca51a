import { availableParallelism } from "node:os";
import type { Platform } from "../platform.js";

/**
 * Node's zlib and OpenSSL in the thread pool; zstd (WebAssembly) in workers. Each is loaded when it is first needed: Node
 * takes milliseconds to start its own modules, too.
 */
export const nodePlatform: Platform = {
  zlib: async () => (await import("./deflate.js")).nodeDeflate,
  zstd: async () => (await import("./zstd-pool.js")).loadZstdPool(),
  crypto: async () => (await import("./crypto.js")).nodeCrypto,
  parallelism: availableParallelism(),
};
