import { createCipheriv, createDecipheriv, createHash, pbkdf2, randomBytes } from "node:crypto";
import type { AesCipher, CryptoProvider, HashName } from "../platform.js";

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

/** OpenSSL. */
export const nodeCrypto: CryptoProvider = {
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
