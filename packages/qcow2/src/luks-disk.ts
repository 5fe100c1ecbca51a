import { type AddPassphraseOptions, LuksVolume, type RemovePassphraseOptions } from "./crypto/luks.js";
import type { SectorCipher } from "./crypto/sector-cipher.js";
import type { Disk, DiskResizeOptions, Extent } from "./disk.js";
import { Qcow2Error } from "./errors.js";
import type { RandomAccessFile } from "./file.js";
import { roundDown, roundUp } from "./format/binary.js";
import { SECTOR } from "./format/constants.js";
import { luksOffset } from "./format/luks-header.js";
import { HostFile } from "./image/host.js";
import { type Range, RangeLock } from "./image/locks.js";
import type { LuksCreateOptions, LuksInfo, Passphrase } from "./image/types.js";
import type { Platform } from "./platform.js";
import { portablePlatform } from "./portable-platform.js";
import { preallocate } from "./raw/raw-disk.js";

export interface LuksOpenOptions {
  readonly passphrase?: Passphrase;
  readonly readOnly?: boolean;
  /** Open for `info` and key slots alone, without a passphrase. */
  readonly metadataOnly?: boolean;
  /** "unsafe" never flushes the file. */
  readonly cache?: "writeback" | "unsafe";
  readonly platform?: Platform;
}

export interface LuksDiskCreateOptions extends Omit<LuksCreateOptions, "format"> {
  /** Bytes; rounded up to 512. */
  readonly size: number;
  /** What stands behind the disk from the start (default off). What it reads as is noise either way. */
  readonly preallocation?: "off" | "falloc" | "full";
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

  #open(write: boolean): void {
    const where = { file: this.name };
    if (this.#closed) throw new Qcow2Error("closed", "disk is closed", where);
    if (write && this.readOnly) throw new Qcow2Error("read-only", "disk was opened read-only", where);
  }

  #ready(offset: number, length: number, write: boolean): SectorCipher {
    const where = { file: this.name };
    this.#open(write);
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

  /** Needs no passphrase; a new part reads as noise. */
  async resize(size: number, options: DiskResizeOptions = {}): Promise<void> {
    this.#open(true);
    const bytes = roundUp(size, SECTOR);
    const { payloadOffset } = this.volume;
    if (!Number.isSafeInteger(payloadOffset + bytes) || size < 0) {
      throw new Qcow2Error("invalid-argument", `size ${size} is impossible`, { file: this.name });
    }
    const mode = options.preallocation ?? "off";
    if (mode === "metadata") {
      throw new Qcow2Error("unsupported", "a LUKS disk has no metadata to preallocate", { file: this.name });
    }
    const old = payloadOffset + this.#size;
    await this.#host.truncate(payloadOffset + bytes);
    this.#size = bytes;
    await preallocate(this.#host.file, old, payloadOffset + bytes, mode);
  }

  /** Adds a passphrase to the disk, which is unlocked. Returns the key slot. */
  async addPassphrase(options: AddPassphraseOptions): Promise<number> {
    this.#open(true);
    return this.volume.addPassphrase(options);
  }

  /** Erases the key slots a passphrase opens, or one slot. @throws Qcow2Error "wrong-passphrase", "not-found", "conflict" */
  async removePassphrase(options: RemovePassphraseOptions): Promise<void> {
    this.#open(true);
    await this.volume.removePassphrase(options);
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

/** @throws Qcow2Error "not-an-image", "unsupported", "corrupt", "passphrase-required", "wrong-passphrase" */
export async function openLuks(file: RandomAccessFile, options: LuksOpenOptions = {}): Promise<LuksDisk> {
  const host = await HostFile.open(file, options.cache !== "unsafe");
  const crypto = await (options.platform ?? portablePlatform).crypto();
  const volume = await LuksVolume.open(host, crypto);
  if (volume.payloadOffset > host.end) {
    throw new Qcow2Error("corrupt", "the file ends before the encrypted payload", {
      file: file.name,
      structure: "LUKS header",
      offset: luksOffset("payloadOffset"),
    });
  }
  if (options.passphrase !== undefined) await volume.unlock(options.passphrase);
  else if (options.metadataOnly !== true) {
    throw new Qcow2Error("passphrase-required", "disk is encrypted and no passphrase was given", { file: file.name });
  }
  return new LuksDisk(host, volume, options.readOnly ?? file.readOnly);
}

/** Makes `file` an empty LUKS disk. What the file held is lost. The file stays open. */
export async function createLuks(file: RandomAccessFile, options: LuksDiskCreateOptions): Promise<void> {
  const end = measureLuks(options.size, options);
  if (!Number.isSafeInteger(end) || options.size < 0) {
    throw new Qcow2Error("invalid-argument", `size ${options.size} is impossible`, { file: file.name });
  }
  await file.truncate(0);
  await file.truncate(end);
  await preallocate(file, 0, end, options.preallocation ?? "off");
  const host = await HostFile.open(file, true);
  const crypto = await (options.platform ?? portablePlatform).crypto();
  await LuksVolume.create(host, crypto, options);
  await file.flush();
}

/** Bytes of a file that holds a LUKS disk of `size` bytes: encrypted bytes are stored whatever they are. */
export function measureLuks(size: number, options: Pick<LuksCreateOptions, "cipher" | "mode"> = {}): number {
  return LuksVolume.headerBytes(options) + roundUp(size, SECTOR);
}
