import { roundUp } from "../format/binary.js";
import { CRYPT_AES, CRYPT_LUKS, CRYPT_NONE } from "../format/constants.js";
import type { Header } from "../format/header.js";
import type { ImageCore } from "../image/core.js";
import type { HostFile } from "../image/host.js";
import type { EncryptionCreateOptions, Passphrase, Qcow2OpenOptions } from "../image/types.js";
import type { Platform } from "../platform.js";
import { type LuksStorage, LuksVolume, passphraseBytes } from "./luks.js";
import { cbcCipher } from "./sector-cipher.js";

/** Sets the cipher of an encrypted image up. Returns the LUKS header, when there is one. */
export async function openCipher(core: ImageCore, options: Qcow2OpenOptions): Promise<LuksVolume | undefined> {
  const { cryptMethod } = core.header;
  if (cryptMethod === CRYPT_NONE) return undefined;
  const luks = await readLuksHeader(core.host, core.header, core.options.platform);
  if (options.passphrase === undefined) {
    if (options.metadataOnly !== true && options.repair !== true) {
      core.fail("passphrase-required", "image is encrypted and no passphrase was given");
    }
    core.locked = true;
    return luks;
  }
  if (luks === undefined) {
    await useLegacyAes(core, options.passphrase);
  } else {
    await luks.unlock(options.passphrase);
    core.cipher = { physicalSectors: true, ...luks.cipher() };
  }
  return luks;
}

async function useLegacyAes(core: ImageCore, passphrase: Passphrase): Promise<void> {
  // The passphrase itself is the key, cut or padded to 128 bits.
  const key = new Uint8Array(16);
  key.set(passphraseBytes(passphrase).subarray(0, 16));
  core.cipher = { physicalSectors: false, ...cbcCipher(await core.options.platform.crypto(), key, "plain64") };
}

/** The LUKS header of an image that has one. */
export async function readLuksHeader(
  host: HostFile,
  header: Header,
  platform: Platform,
): Promise<LuksVolume | undefined> {
  if (header.cryptMethod !== CRYPT_LUKS) return undefined;
  return LuksVolume.open(storageOf(host, header), await platform.crypto());
}

function storageOf(host: HostFile, header: Header): LuksStorage {
  const { offset } = header.encryptionHeader!;
  return {
    name: host.name,
    start: offset,
    read: (buffer, at) => host.read(buffer, offset + at),
    write: (data, at) => host.write(data, offset + at),
    flush: () => host.flush(),
  };
}

/** Makes a new, still empty image an encrypted one. */
export async function createImageCipher(core: ImageCore, options: EncryptionCreateOptions): Promise<void> {
  const { header, geometry, host } = core;
  if (options.format === "aes") {
    header.cryptMethod = CRYPT_AES;
    await core.writeHeader();
    await useLegacyAes(core, options.passphrase);
    return;
  }
  const length = LuksVolume.headerBytes(options);
  const clusters = roundUp(length, geometry.clusterSize) / geometry.clusterSize;
  const offset = await core.metadata.run(() => core.refcounts.allocateExact(clusters));
  await host.write(new Uint8Array(clusters * geometry.clusterSize), offset);
  header.encryptionHeader = { offset, length };
  const volume = await LuksVolume.create(storageOf(host, header), await core.options.platform.crypto(), options);
  await core.flush();
  header.cryptMethod = CRYPT_LUKS;
  await core.writeHeader();
  await host.flush();
  core.cipher = { physicalSectors: true, ...volume.cipher() };
}
