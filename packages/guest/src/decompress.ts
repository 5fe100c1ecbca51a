import { Decompress as ZstdDecompress } from "fzstd";
import xz from "xz-decompress";
import { GuestError } from "./errors.js";

export type Compression = "none" | "gzip" | "xz" | "zstd";

/** The compression that a Debian member or index file has by its name. */
export function compressionOf(name: string): Compression | undefined {
  const suffix = /\.([a-z0-9]+)$/.exec(name)?.[1];
  if (suffix === undefined || suffix === "tar") return "none";
  return ({ gz: "gzip", xz: "xz", zst: "zstd" } as const)[suffix];
}

/** Bytes in pieces, since the decoders take their input bit by bit. */
export function streamOf(bytes: Uint8Array): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at < bytes.length) controller.enqueue(bytes.subarray(at, at + 0x10000));
      else controller.close();
      at += 0x10000;
    },
  });
}

/**
 * Decompresses a stream.
 * @param limit Bytes of output after which the stream fails with `too-large`.
 * The returned stream fails with GuestError `bad-compression` or `too-large`.
 */
export function decompress(
  input: ReadableStream<Uint8Array>,
  compression: Compression,
  limit: number,
): ReadableStream<Uint8Array> {
  const reader = decoded(input, compression).getReader();
  let total = 0;
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        // Decoders give empty chunks at times, which a byte stream need not pass on.
        for (;;) {
          const { done, value } = await reader.read();
          if (done) return controller.close();
          total += value.length;
          if (total > limit) {
            await reader.cancel();
            throw new GuestError("too-large", `The data unpack to more than the limit of ${limit} bytes.`);
          }
          if (value.length > 0) return controller.enqueue(value);
        }
      } catch (error) {
        throw error instanceof GuestError
          ? error
          : new GuestError("bad-compression", `The ${compression} data are damaged or truncated.`, { cause: error });
      }
    },
    async cancel() {
      // A decoder that has come to its end already may refuse; nobody waits for its output any more.
      await reader.cancel().catch(() => {});
    },
  });
}

function decoded(input: ReadableStream<Uint8Array>, compression: Compression): ReadableStream<Uint8Array> {
  switch (compression) {
    case "none":
      return input;
    case "gzip":
      return input.pipeThrough(new DecompressionStream("gzip") as TransformStream<Uint8Array, Uint8Array>);
    case "xz":
      return new xz.XzReadableStream(input);
    case "zstd":
      return input.pipeThrough(zstdTransform());
  }
}

function zstdTransform(): TransformStream<Uint8Array, Uint8Array> {
  let decoder: ZstdDecompress;
  let empty = true;
  return new TransformStream<Uint8Array, Uint8Array>({
    start(controller) {
      decoder = new ZstdDecompress((chunk) => controller.enqueue(chunk));
    },
    transform(chunk) {
      empty = false;
      decoder.push(chunk);
    },
    flush() {
      // The decoder takes nothing at all for a whole stream.
      if (empty) throw new Error("the input is empty");
      decoder.push(new Uint8Array(), true);
    },
  });
}
