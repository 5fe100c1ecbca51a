import {
  deflateRaw,
  Z_BUF_ERROR,
  Z_OK,
  Z_STREAM_END,
  Z_SYNC_FLUSH,
  ZStream,
  zlibInflate,
  zlibInflateEnd,
  zlibInflateInit2,
} from "pako";
import type { ClusterCodec } from "../platform.js";
import { WINDOW_BITS } from "./window.js";

/** Raw deflate in JavaScript, for where nothing faster is. */
export const portableDeflate: ClusterCodec = {
  compress(cluster, limit) {
    const packed = deflateRaw(cluster, { windowBits: WINDOW_BITS, memLevel: 9 });
    return packed.length < limit ? packed : undefined;
  },
  decompress(input, output) {
    const stream = new ZStream();
    zlibInflateInit2(stream, -15);
    stream.input = input;
    stream.avail_in = input.length;
    stream.output = output as Uint8Array<ArrayBuffer>;
    stream.avail_out = output.length;
    const status = zlibInflate(stream, Z_SYNC_FLUSH);
    const full = stream.avail_out === 0;
    zlibInflateEnd(stream);
    if (!full || (status !== Z_OK && status !== Z_STREAM_END && status !== Z_BUF_ERROR)) {
      throw new Error(stream.msg || "compressed data ends early");
    }
  },
};
