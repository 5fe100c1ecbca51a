import { LuksVolume } from "./crypto/luks.js";
import type { SectorCipher } from "./crypto/sector-cipher.js";
import type { Disk, Extent } from "./disk.js";
import { Qcow2Error } from "./errors.js";
import type { RandomAccessFile } from "./file.js";
import { roundDown, roundUp } from "./format/binary.js";
import { SECTOR } from "./format/constants.js";
import { HostFile } from "./image/host.js";
import { type Range, RangeLock } from "./image/locks.js";
import type { LuksCreateOptions, LuksInfo, Passphrase } from "./image/types.js";
import type { Platform } from "./platform.js";
import { portablePlatform } from "./portable-platform.js";

export interface LuksOpenOptions {
  readonly passphrase?: Passphrase;
  readonly readOnly?: boolean;
  /** Open for `info` and key slots alone, without a passphrase. */
  readonly metadataOnly?: boolean;
  readonly platform?: Platform;
}

/** A raw file with a LUKS version 1 header in front, as cryptsetup and QEMU make them. */
export class LuksDisk implements Disk {
  readonly format = "luks";
  readonly volume: LuksVolume;
  readonly readOnly: boolean;
  readonly #host: HostFile;
  readonly #cipher: SectorCipher | undefined;
  readonly #locks = new RangeLock();
  #size: number;
  #closed = false;

  /** Use `openLuks`. */
  constructor(host: HostFile, volume: LuksVolume, readOnly: boolean) {
    this.#host = host;
    this.volume = volume;
    this.readOnly = readOnly;
    this.#cipher = volume.unlocked ? volume.cipher() : undefined;
    this.#size = roundDown(Math.max(0, host.end - volume.payloadOffset), SECTOR);
  }

  get name(): string {
    return this.#host.name;
  }

  get size(): number {
    return this.#size;
  }

  info(): LuksInfo {
    return this.volume.info();
  }

  #ready(offset: number, length: number, write: boolean): SectorCipher {
    const where = { file: this.name };
    if (this.#closed) throw new Qcow2Error("closed", "disk is closed", where);
    if (write && this.readOnly) throw new Qcow2Error("read-only", "disk was opened read-only", where);
    if (!Number.isSafeInteger(offset) || offset < 0 || length < 0 || offset + length > this.#size) {
      throw new Qcow2Error("out-of-range", `${offset}+${length} is not inside the disk`, where);
    }
    if (this.#cipher === undefined) throw new Qcow2Error("passphrase-required", "disk is locked", where);
    return this.#cipher;
  }

  async read(buffer: Uint8Array, offset: number): Promise<void> {
    const cipher = this.#ready(offset, buffer.length, false);
    await this.#readSectors(cipher, buffer, offset);
  }

  async #readSectors(cipher: SectorCipher, buffer: Uint8Array, offset: number): Promise<void> {
    if (buffer.length === 0) return;
    const from = roundDown(offset, SECTOR);
    const length = roundUp(offset + buffer.length, SECTOR) - from;
    const whole = length === buffer.length ? buffer : new Uint8Array(length);
    await this.#host.read(whole, this.volume.payloadOffset + from);
    cipher.decrypt(whole, from / SECTOR);
    if (whole !== buffer) buffer.set(whole.subarray(offset - from, offset - from + buffer.length));
  }

  async write(data: Uint8Array, offset: number): Promise<void> {
    const cipher = this.#ready(offset, data.length, true);
    if (data.length === 0) return;
    const from = roundDown(offset, SECTOR);
    const to = roundUp(offset + data.length, SECTOR);
    let lock: Range | Promise<Range> = this.#locks.acquire(from, to, true);
    if (lock instanceof Promise) lock = await lock;
    try {
      const whole = new Uint8Array(to - from);
      if (whole.length !== data.length) await this.#readSectors(cipher, whole, from);
      whole.set(data, offset - from);
      cipher.encrypt(whole, from / SECTOR);
      await this.#host.write(whole, this.volume.payloadOffset + from);
    } finally {
      this.#locks.release(lock);
    }
  }

  async writeZeroes(offset: number, length: number): Promise<void> {
    this.#ready(offset, length, true);
    const zeros = new Uint8Array(Math.min(length, 1024 * 1024));
    for (let at = 0; at < length; at += zeros.length) {
      await this.write(zeros.subarray(0, Math.min(zeros.length, length - at)), offset + at);
    }
  }

  /** Encrypted disks keep their storage: holes would read as noise. */
  async discard(offset: number, length: number): Promise<void> {
    this.#ready(offset, length, true);
  }

  async flush(): Promise<void> {
    if (!this.readOnly) await this.#host.flush();
  }

  async resize(size: number): Promise<void> {
    this.#ready(0, 0, true);
    await this.#host.truncate(this.volume.payloadOffset + size);
    this.#size = size;
  }

  async status(offset: number, length: number): Promise<Extent> {
    return { offset, length, allocated: true, data: true, zero: false, compressed: false, depth: 0 };
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    try {
      if (!this.readOnly) await this.#host.flush();
    } finally {
      await this.#host.file.close();
    }
  }
}

/** @throws Qcow2Error "not-an-image", "unsupported", "passphrase-required", "wrong-passphrase" */
export async function openLuks(file: RandomAccessFile, options: LuksOpenOptions = {}): Promise<LuksDisk> {
  const host = await HostFile.open(file, true);
  const crypto = await (options.platform ?? portablePlatform).crypto();
  const volume = await LuksVolume.open(host, crypto);
  if (options.passphrase !== undefined) await volume.unlock(options.passphrase);
  else if (options.metadataOnly !== true) {
    throw new Qcow2Error("passphrase-required", "disk is encrypted and no passphrase was given", { file: file.name });
  }
  return new LuksDisk(host, volume, options.readOnly ?? file.readOnly);
}

/** Makes `file` an empty LUKS disk of `size` bytes. */
export async function createLuks(
  file: RandomAccessFile,
  options: Omit<LuksCreateOptions, "format"> & { readonly size: number; readonly platform?: Platform },
): Promise<void> {
  await file.truncate(0);
  const host = await HostFile.open(file, true);
  const crypto = await (options.platform ?? portablePlatform).crypto();
  const volume = await LuksVolume.create(host, crypto, options);
  await file.truncate(volume.payloadOffset + roundUp(options.size, SECTOR));
  await file.flush();
}
