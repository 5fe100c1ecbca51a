import { viewOf } from "../format/binary.js";
import { SECTOR } from "../format/constants.js";
import type { AesCipher, CryptoProvider, HashName } from "../platform.js";

export type IvGenerator = "plain" | "plain64" | "essiv";

/** Encrypts runs of 512-byte sectors in place. */
export interface SectorCipher {
  encrypt(data: Uint8Array, sector: number): void;
  decrypt(data: Uint8Array, sector: number): void;
}

/** Sectors handled at once, which bounds the memory for tweaks. */
const BATCH = 256;
const BLOCKS = SECTOR / 16;

/** Writes the IV of `sector` (IEEE 1619 and dm-crypt: little-endian) at `at`. */
function writeIv(view: DataView, at: number, sector: number, generator: IvGenerator): void {
  view.setUint32(at, sector % 0x1_0000_0000, true);
  view.setUint32(at + 4, generator === "plain" ? 0 : Math.floor(sector / 0x1_0000_0000), true);
  view.setUint32(at + 8, 0, true);
  view.setUint32(at + 12, 0, true);
}

function ivs(sector: number, count: number, generator: IvGenerator, essiv: AesCipher | undefined): Uint8Array {
  const data = new Uint8Array(16 * count);
  const view = viewOf(data);
  for (let i = 0; i < count; i++) writeIv(view, 16 * i, sector + i, generator);
  essiv?.encryptBlocks(data);
  return data;
}

function essivCipher(
  crypto: CryptoProvider,
  key: Uint8Array,
  generator: IvGenerator,
  hash: HashName | undefined,
): AesCipher | undefined {
  return generator === "essiv" ? crypto.aes(crypto.hash(hash!, key)) : undefined;
}

/** AES in CBC mode, one chain per sector. */
export function cbcCipher(
  crypto: CryptoProvider,
  key: Uint8Array,
  generator: IvGenerator,
  hash?: HashName,
): SectorCipher {
  const aes = crypto.aes(key);
  const essiv = essivCipher(crypto, key, generator, hash);
  return {
    encrypt(data, sector) {
      for (let at = 0; at < data.length; at += SECTOR) {
        const iv = ivs(sector + at / SECTOR, 1, generator, essiv);
        aes.encryptCbc(data.subarray(at, at + SECTOR), iv);
      }
    },
    decrypt(data, sector) {
      for (let at = 0; at < data.length; at += BATCH * SECTOR) {
        const part = data.subarray(at, at + BATCH * SECTOR);
        const count = part.length / SECTOR;
        const vectors = ivs(sector + at / SECTOR, count, generator, essiv);
        // Every block is chained to the ciphertext before it, so all of them can be decrypted at once.
        const chain = new Uint8Array(part.length);
        chain.set(part.subarray(0, part.length - 16), 16);
        for (let i = 0; i < count; i++) chain.set(vectors.subarray(16 * i, 16 * i + 16), SECTOR * i);
        aes.decryptBlocks(part);
        xorInto(part, chain);
      }
    },
  };
}

/** AES in XTS mode (IEEE 1619); `key` holds the data key and the tweak key. */
export function xtsCipher(
  crypto: CryptoProvider,
  key: Uint8Array,
  generator: IvGenerator,
  hash?: HashName,
): SectorCipher {
  const half = key.length / 2;
  const dataCipher = crypto.aes(key.subarray(0, half));
  const tweakCipher = crypto.aes(key.subarray(half));
  const essiv = essivCipher(crypto, key, generator, hash);
  const run = (data: Uint8Array, sector: number, blocks: (part: Uint8Array) => void): void => {
    for (let at = 0; at < data.length; at += BATCH * SECTOR) {
      const part = data.subarray(at, at + BATCH * SECTOR);
      const first = ivs(sector + at / SECTOR, part.length / SECTOR, generator, essiv);
      tweakCipher.encryptBlocks(first);
      const tweaks = expandTweaks(first);
      xorInto(part, tweaks);
      blocks(part);
      xorInto(part, tweaks);
    }
  };
  return {
    encrypt: (data, sector) => run(data, sector, (part) => dataCipher.encryptBlocks(part)),
    decrypt: (data, sector) => run(data, sector, (part) => dataCipher.decryptBlocks(part)),
  };
}

/** The tweaks of all blocks of each sector: every one is the one before, multiplied by x in GF(2^128). */
function expandTweaks(first: Uint8Array): Uint8Array {
  const sectors = first.length / 16;
  const from = viewOf(first);
  const tweaks = new Uint8Array(sectors * SECTOR);
  const to = viewOf(tweaks);
  for (let s = 0; s < sectors; s++) {
    let a = from.getUint32(16 * s, true);
    let b = from.getUint32(16 * s + 4, true);
    let c = from.getUint32(16 * s + 8, true);
    let d = from.getUint32(16 * s + 12, true);
    for (let i = 0; i < BLOCKS; i++) {
      const at = s * SECTOR + 16 * i;
      to.setUint32(at, a, true);
      to.setUint32(at + 4, b, true);
      to.setUint32(at + 8, c, true);
      to.setUint32(at + 12, d, true);
      const carry = d >>> 31;
      d = (d << 1) | (c >>> 31);
      c = (c << 1) | (b >>> 31);
      b = (b << 1) | (a >>> 31);
      a = (a << 1) ^ (carry * 0x87);
    }
  }
  return tweaks;
}

/** Lengths are multiples of 16; word access when the buffer allows it. */
function xorInto(target: Uint8Array, mask: Uint8Array): void {
  if (target.byteOffset % 4 === 0) {
    const words = new Uint32Array(target.buffer, target.byteOffset, target.length / 4);
    const other = new Uint32Array(mask.buffer, mask.byteOffset, mask.length / 4);
    for (let i = 0; i < words.length; i++) words[i] ^= other[i];
    return;
  }
  for (let i = 0; i < target.length; i++) target[i] ^= mask[i];
}
