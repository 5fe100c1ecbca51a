import { cbc, ecb } from "@noble/ciphers/aes.js";
import { md5, ripemd160, sha1 } from "@noble/hashes/legacy.js";
import { pbkdf2Async } from "@noble/hashes/pbkdf2.js";
import { sha224, sha256, sha384, sha512 } from "@noble/hashes/sha2.js";
import type { CryptoProvider, HashName } from "../platform.js";

const HASHES = { md5, sha1, sha224, sha256, sha384, sha512, ripemd160 } as const;
const WEB_NAMES: Partial<Record<HashName, string>> = {
  sha1: "SHA-1",
  sha256: "SHA-256",
  sha384: "SHA-384",
  sha512: "SHA-512",
};

/** The most bytes that `getRandomValues` gives at once. */
const MAX_RANDOM = 65536;

/** AES in JavaScript; key derivation by WebCrypto where there is one. */
export const portableCrypto: CryptoProvider = {
  aes(key) {
    // A cipher object of this library encrypts only once, to guard against nonces used twice; ECB has none.
    const blocks = () => ecb(key, { disablePadding: true });
    return {
      encryptBlocks: (data) => data.set(blocks().encrypt(data)),
      decryptBlocks: (data) => data.set(blocks().decrypt(data)),
      encryptCbc: (data, iv) => data.set(cbc(key, iv, { disablePadding: true }).encrypt(data)),
    };
  },
  hash: (name, data) => HASHES[name](data),
  async pbkdf2(name, password, salt, iterations, length) {
    const subtle = globalThis.crypto?.subtle;
    const webName = WEB_NAMES[name];
    if (subtle === undefined || webName === undefined) {
      return pbkdf2Async(HASHES[name], password, salt, { c: iterations, dkLen: length });
    }
    const key = await subtle.importKey("raw", password.slice(), "PBKDF2", false, ["deriveBits"]);
    const parameters = { name: "PBKDF2", hash: webName, salt: salt.slice(), iterations };
    return new Uint8Array(await subtle.deriveBits(parameters, key, length * 8));
  },
  random(length) {
    const data = new Uint8Array(length);
    for (let at = 0; at < length; at += MAX_RANDOM) {
      globalThis.crypto.getRandomValues(data.subarray(at, at + MAX_RANDOM));
    }
    return data;
  },
};
