import type { Platform } from "./platform.js";

/** Works in every JavaScript engine with WebAssembly; each part is loaded with its first use. */
export const portablePlatform: Platform = {
  zlib: async () => (await import("./compress/deflate.js")).portableDeflate,
  zstd: async () => (await import("./compress/zstd.js")).loadZstd(),
  crypto: async () => (await import("./crypto/portable.js")).portableCrypto,
  parallelism: 1,
};
