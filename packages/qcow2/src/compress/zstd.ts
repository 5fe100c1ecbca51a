import { compressUsingDict, createCCtx, decompress, init } from "@bokuweb/zstd-wasm";
import type { ClusterCodec } from "../platform.js";
import { zstdFrame } from "./zstd-frame.js";

/** QEMU compresses with the library's default. */
const LEVEL = 3;

let ready: Promise<ClusterCodec> | undefined;

/** zstd compiled to WebAssembly, loaded with the first use. */
export function loadZstd(): Promise<ClusterCodec> {
  ready ??= initialize().then(() => makeCodec(createCCtx()));
  return ready;
}

/**
 * In Node the dependency reads a file beside it. Elsewhere it would fetch one by a relative address, which bundles do not
 * have, and would wait for ever when it is missing: there it gets the module's bytes.
 */
async function initialize(): Promise<void> {
  if (globalThis.process?.versions?.node !== undefined) return init();
  const { zstdModule } = await import("./zstd-module.js");
  // It does not report either when WebAssembly is forbidden, as by a page's policy; this does.
  await WebAssembly.compile(zstdModule);
  // Its declarations are those of Node's build, which takes nothing.
  await (init as (module: Uint8Array) => Promise<void>)(zstdModule);
}

/** One context serves all clusters: setting one up costs as much as compressing what does not compress. */
const makeCodec = (context: number): ClusterCodec => ({
  compress(cluster, limit) {
    const packed = compressUsingDict(context, cluster, new Uint8Array(0), LEVEL);
    return packed.length < limit ? packed : undefined;
  },
  decompress(input, output) {
    let from = 0;
    let to = 0;
    // One frame is the rule; the format only says that decompression stops when the cluster is full.
    while (to < output.length) {
      const rest = input.subarray(from);
      const { size, contentSize } = zstdFrame(rest);
      const room = output.length - to;
      if (contentSize !== undefined && contentSize > room) throw new Error("zstd frame is larger than the cluster");
      const data = decompress(rest.subarray(0, size), { defaultHeapSize: room });
      if (data.length > room || data.length === 0) throw new Error("zstd frame does not fit the cluster");
      output.set(data, to);
      from += size;
      to += data.length;
    }
  },
});
