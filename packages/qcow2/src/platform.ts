import type { MaybePromise } from "./file.js";

/** One compression method for clusters. */
export interface ClusterCodec {
  /** Compresses a cluster; undefined when the result would not be smaller than `limit` bytes. */
  compress(cluster: Uint8Array, limit: number): MaybePromise<Uint8Array | undefined>;
  /** Fills `output` from `input`, which may have trailing bytes that do not belong to it. Throws on bad data. */
  decompress(input: Uint8Array, output: Uint8Array): MaybePromise<void>;
}

/** AES over whole buffers. Methods work in place. */
export interface AesCipher {
  /** Every 16-byte block on its own (ECB), the building block of XTS and CBC decryption. */
  encryptBlocks(data: Uint8Array): void;
  decryptBlocks(data: Uint8Array): void;
  /** CBC without padding over `data`, in place. */
  encryptCbc(data: Uint8Array, iv: Uint8Array): void;
}

/** The hashes of LUKS headers and the bytes of their digests. */
export const DIGEST_BYTES = {
  md5: 16,
  sha1: 20,
  sha224: 28,
  sha256: 32,
  sha384: 48,
  sha512: 64,
  ripemd160: 20,
} as const;
export type HashName = keyof typeof DIGEST_BYTES;
export const HASH_NAMES = Object.keys(DIGEST_BYTES) as readonly HashName[];

export interface CryptoProvider {
  aes(key: Uint8Array): AesCipher;
  hash(name: HashName, data: Uint8Array): Uint8Array;
  pbkdf2(
    name: HashName,
    password: Uint8Array,
    salt: Uint8Array,
    iterations: number,
    length: number,
  ): Promise<Uint8Array>;
  random(length: number): Uint8Array;
}

/** What the library needs from where it runs. There is a portable one, and a faster one in `./node`. */
export interface Platform {
  zlib(): MaybePromise<ClusterCodec>;
  zstd(): MaybePromise<ClusterCodec>;
  crypto(): MaybePromise<CryptoProvider>;
  /** How many compressions are worth running at once. */
  readonly parallelism: number;
}
