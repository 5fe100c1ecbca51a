import { createCipheriv, createDecipheriv, createHash, pbkdf2, randomBytes } from "node:crypto";
import { availableParallelism } from "node:os";
import { constants, deflateRaw, inflateRaw } from "node:zlib";
import { WINDOW_BITS } from "../compress/window.js";
import type { AesCipher, ClusterCodec, CryptoProvider, HashName, Platform } from "../platform.js";

/** zlib in the thread pool: as many clusters at once as there are threads. */
const nodeDeflate: ClusterCodec = {
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

function aes(key: Uint8Array): AesCipher {
  const bits = key.length * 8;
  // ECB has no state from block to block, so one object serves all calls.
  const encrypt = createCipheriv(`aes-${bits}-ecb`, key, null).setAutoPadding(false);
  const decrypt = createDecipheriv(`aes-${bits}-ecb`, key, null).setAutoPadding(false);
  return {
    encryptBlocks: (data) => data.set(encrypt.update(data)),
    decryptBlocks: (data) => data.set(decrypt.update(data)),
    encryptCbc: (data, iv) => data.set(createCipheriv(`aes-${bits}-cbc`, key, iv).setAutoPadding(false).update(data)),
  };
}

const nodeCrypto: CryptoProvider = {
  aes,
  hash: (name, data) => new Uint8Array(createHash(name).update(data).digest()),
  pbkdf2: (name: HashName, password, salt, iterations, length) =>
    new Promise((resolve, reject) => {
      pbkdf2(password, salt, iterations, length, name, (error, key) =>
        error ? reject(error) : resolve(new Uint8Array(key)),
      );
    }),
  random: (length) => new Uint8Array(randomBytes(length)),
};

/** Node's zlib and OpenSSL in the thread pool; zstd (WebAssembly) in workers. */
export const nodePlatform: Platform = {
  zlib: () => nodeDeflate,
  zstd: async () => (await import("./zstd-pool.js")).loadZstdPool(),
  crypto: () => nodeCrypto,
  parallelism: availableParallelism(),
};
