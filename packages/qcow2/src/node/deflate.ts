import { constants, deflateRaw, inflateRaw } from "node:zlib";
import { WINDOW_BITS } from "../compress/window.js";
import type { ClusterCodec } from "../platform.js";

/** zlib in the thread pool: as many clusters at once as there are threads. */
export const nodeDeflate: ClusterCodec = {
  compress: (cluster, limit) =>
    new Promise((resolve, reject) => {
      deflateRaw(cluster, { windowBits: WINDOW_BITS, memLevel: 9 }, (error, packed) => {
        if (error) reject(error);
        else resolve(packed.length < limit ? packed : undefined);
      });
    }),
  decompress: (input, output) =>
    new Promise((resolve, reject) => {
      const options = { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: output.length };
      inflateRaw(input, options, (error, data) => {
        if (error) reject(error);
        else if (data.length < output.length) reject(new Error("compressed data ends early"));
        else {
          output.set(data);
          resolve();
        }
      });
    }),
};
