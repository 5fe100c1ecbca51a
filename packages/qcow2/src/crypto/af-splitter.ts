import { viewOf } from "../format/binary.js";
import { type CryptoProvider, DIGEST_BYTES, type HashName } from "../platform.js";

/** LUKS On-Disk Format Specification, section 2.4: the anti-forensic splitter. */

function diffuse(crypto: CryptoProvider, hash: HashName, block: Uint8Array): Uint8Array {
  const digestSize = DIGEST_BYTES[hash];
  const result = new Uint8Array(block.length);
  for (let at = 0, i = 0; at < block.length; at += digestSize, i++) {
    const part = block.subarray(at, at + digestSize);
    const input = new Uint8Array(4 + part.length);
    viewOf(input).setUint32(0, i);
    input.set(part, 4);
    result.set(crypto.hash(hash, input).subarray(0, part.length), at);
  }
  return result;
}

function chain(
  crypto: CryptoProvider,
  hash: HashName,
  material: Uint8Array,
  keyBytes: number,
  stripes: number,
): Uint8Array {
  let state: Uint8Array = new Uint8Array(keyBytes);
  for (let i = 0; i < stripes - 1; i++) {
    for (let k = 0; k < keyBytes; k++) state[k] ^= material[i * keyBytes + k];
    state = diffuse(crypto, hash, state);
  }
  return state;
}

/** Spreads a key over `stripes` times its size. */
export function afSplit(crypto: CryptoProvider, hash: HashName, key: Uint8Array, stripes: number): Uint8Array {
  const material = crypto.random(key.length * stripes);
  const state = chain(crypto, hash, material, key.length, stripes);
  const last = key.length * (stripes - 1);
  for (let k = 0; k < key.length; k++) material[last + k] = state[k] ^ key[k];
  return material;
}

/** Gets the key back. */
export function afMerge(
  crypto: CryptoProvider,
  hash: HashName,
  material: Uint8Array,
  keyBytes: number,
  stripes: number,
): Uint8Array {
  const key = chain(crypto, hash, material, keyBytes, stripes);
  const last = keyBytes * (stripes - 1);
  for (let k = 0; k < keyBytes; k++) key[k] ^= material[last + k];
  return key;
}
