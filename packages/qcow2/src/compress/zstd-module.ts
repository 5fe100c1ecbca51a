// The build puts the file's bytes here. The package does not export it by name.
import base64 from "../../node_modules/@bokuweb/zstd-wasm/dist/web/zstd.wasm";

/** The WebAssembly module that `@bokuweb/zstd-wasm` loads. */
export const zstdModule = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
