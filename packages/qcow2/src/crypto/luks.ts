import { Qcow2Error, type Qcow2ErrorCode } from "../errors.js";
import type { MaybePromise } from "../file.js";
import { encodeUtf8, roundUp } from "../format/binary.js";
import { SECTOR } from "../format/constants.js";
import {
  decodeLuksHeader,
  encodeLuksHeader,
  LUKS_DIGEST_BYTES,
  LUKS_HEADER_BYTES,
  LUKS_SLOTS,
  type LuksHeader,
  type LuksSlot,
  luksOffset,
  luksSlotOffset,
} from "../format/luks-header.js";
import type { LuksCreateOptions, LuksInfo, Passphrase } from "../image/types.js";
import { type CryptoProvider, DIGEST_BYTES, HASH_NAMES, type HashName } from "../platform.js";
import { afMerge, afSplit } from "./af-splitter.js";
import { cbcCipher, type IvGenerator, type SectorCipher, xtsCipher } from "./sector-cipher.js";

const STRIPES = 4000;
/** Key material starts at multiples of 4 KiB. */
const ALIGNMENT = 4096;
const DEFAULT_ITER_TIME = 2000;
const MIN_ITERATIONS = 1000;
/** More would only be there to keep us busy: this is half a minute on a fast machine. */
const MAX_ITERATIONS = 2 ** 26;

/** Where the LUKS header lies; offsets are from its start. */
export interface LuksStorage {
  readonly name: string;
  /** Where the header lies in the file, for errors (default 0). */
  readonly start?: number;
  read(buffer: Uint8Array, offset: number): MaybePromise<void>;
  write(data: Uint8Array, offset: number): MaybePromise<void>;
  flush(): MaybePromise<void>;
}

export interface AddPassphraseOptions {
  readonly passphrase: Passphrase;
  /** Key slot, 0 to 7 (default: the first that is free). */
  readonly slot?: number;
  /** Milliseconds one unlock may take on this machine; decides the iterations (default 2000). */
  readonly iterTime?: number;
  /** Replace the passphrase of a slot that is in use. */
  readonly force?: boolean;
}

/** A slot, a passphrase or both: then the passphrase has to open that slot. */
export interface RemovePassphraseOptions {
  readonly slot?: number;
  readonly passphrase?: Passphrase;
  /** Erase even the last passphrase, after which nobody can read the data. */
  readonly force?: boolean;
}

interface CipherSpec {
  readonly mode: "xts" | "cbc";
  readonly ivGenerator: IvGenerator;
  readonly ivHash: HashName | undefined;
}

export function passphraseBytes(passphrase: Passphrase): Uint8Array {
  return typeof passphrase === "string" ? encodeUtf8(passphrase) : passphrase;
}

/** A LUKS version 1 header and its key slots. */
export class LuksVolume {
  readonly #storage: LuksStorage;
  readonly #crypto: CryptoProvider;
  readonly #header: LuksHeader;
  readonly #spec: CipherSpec;
  readonly #hash: HashName;
  #masterKey: Uint8Array | undefined;

  private constructor(storage: LuksStorage, crypto: CryptoProvider, header: LuksHeader) {
    this.#storage = storage;
    this.#crypto = crypto;
    this.#header = header;
    const fail: Fail = (code, reason, offset) => this.#fail(code, reason, offset);
    this.#spec = parseMode(header, fail);
    this.#hash = hashName(header.hashSpec, "hashSpec", fail);
    this.#checkLayout();
  }

  /** Key slots that lie over the header, the payload or each other would be destroyed by the first change. */
  #checkLayout(): void {
    const { slots, keyBytes, payloadOffset } = this.#header;
    const sectors = roundUp(keyBytes * STRIPES, SECTOR) / SECTOR;
    const headerSectors = roundUp(LUKS_HEADER_BYTES, SECTOR) / SECTOR;
    for (const [index, { keyMaterialOffset: start, stripes }] of slots.entries()) {
      const at = luksSlotOffset(index, "keyMaterialOffset");
      if (stripes !== STRIPES) {
        const reason = `key slot ${index} has ${stripes} stripes instead of ${STRIPES}`;
        this.#fail("corrupt", reason, luksSlotOffset(index, "stripes"));
      }
      if (start < headerSectors) this.#fail("corrupt", `key slot ${index} overlaps the LUKS header`, at);
      if (payloadOffset > 0 && start + sectors > payloadOffset) {
        this.#fail("corrupt", `key slot ${index} overlaps the encrypted payload`, at);
      }
      const other = slots.findIndex(
        ({ keyMaterialOffset }, i) =>
          i > index && keyMaterialOffset < start + sectors && start < keyMaterialOffset + sectors,
      );
      if (other >= 0) this.#fail("corrupt", `key slots ${index} and ${other} overlap`, at);
    }
  }

  static async open(storage: LuksStorage, crypto: CryptoProvider): Promise<LuksVolume> {
    const data = new Uint8Array(LUKS_HEADER_BYTES);
    await storage.read(data, 0);
    return new LuksVolume(storage, crypto, decodeLuksHeader(data, storage.name, storage.start ?? 0));
  }

  /** Bytes the header and all key slots take. */
  static headerBytes(options: Omit<LuksCreateOptions, "passphrase" | "format">): number {
    return layout(keyBytesOf(options)).payload;
  }

  /** Writes a new header with one passphrase in slot 0. */
  static async create(
    storage: LuksStorage,
    crypto: CryptoProvider,
    options: Omit<LuksCreateOptions, "format">,
  ): Promise<LuksVolume> {
    const keyBytes = keyBytesOf(options);
    const mode = options.mode ?? "xts";
    const ivGenerator = options.ivGenerator ?? (mode === "xts" ? "plain64" : "essiv");
    const hash = options.hash ?? "sha256";
    const { slot, payload } = layout(keyBytes);
    const masterKey = crypto.random(keyBytes);
    const mkDigestSalt = crypto.random(32);
    const iterTime = options.iterTime ?? DEFAULT_ITER_TIME;
    const perSecond = await iterationsPerSecond(crypto, hash, LUKS_DIGEST_BYTES);
    const mkDigestIterations = Math.max(MIN_ITERATIONS, Math.floor((perSecond * iterTime) / 1000 / 8));
    const slots: LuksSlot[] = [];
    for (let i = 0; i < LUKS_SLOTS; i++) {
      slots.push({
        active: false,
        iterations: 0,
        salt: new Uint8Array(32),
        keyMaterialOffset: (ALIGNMENT + i * slot) / SECTOR,
        stripes: STRIPES,
      });
    }
    const header: LuksHeader = {
      cipherName: "aes",
      cipherMode: `${mode}-${ivGenerator}${ivGenerator === "essiv" ? `:${options.ivHash ?? "sha256"}` : ""}`,
      hashSpec: hash,
      payloadOffset: payload / SECTOR,
      keyBytes,
      mkDigest: await crypto.pbkdf2(hash, masterKey, mkDigestSalt, mkDigestIterations, LUKS_DIGEST_BYTES),
      mkDigestSalt,
      mkDigestIterations,
      uuid: uuid(crypto),
      slots,
    };
    const volume = new LuksVolume(storage, crypto, header);
    volume.#masterKey = masterKey;
    await volume.addPassphrase({ passphrase: options.passphrase, slot: 0, iterTime });
    return volume;
  }

  get payloadOffset(): number {
    return this.#header.payloadOffset * SECTOR;
  }

  get unlocked(): boolean {
    return this.#masterKey !== undefined;
  }

  info(): LuksInfo {
    const { cipherName, keyBytes, uuid: id, hashSpec, slots } = this.#header;
    const { mode, ivGenerator, ivHash } = this.#spec;
    return {
      uuid: id,
      cipher: `${cipherName}-${(mode === "xts" ? keyBytes / 2 : keyBytes) * 8}`,
      mode,
      ivGenerator,
      ivHash,
      hash: hashSpec,
      payloadOffset: this.payloadOffset,
      masterKeyIterations: this.#header.mkDigestIterations,
      slots: slots.map((slot) => ({
        active: slot.active,
        iterations: slot.active ? slot.iterations : undefined,
        stripes: slot.active ? slot.stripes : undefined,
        keyOffset: slot.keyMaterialOffset * SECTOR,
      })),
    };
  }

  /** @param at the field's offset in the header */
  #fail(code: Qcow2ErrorCode, reason: string, at?: number): never {
    const { name, start = 0 } = this.#storage;
    const offset = at === undefined ? undefined : start + at;
    throw new Qcow2Error(code, reason, { file: name, structure: "LUKS header", offset });
  }

  /** Finds the master key. @throws Qcow2Error "wrong-passphrase" */
  async unlock(passphrase: Passphrase): Promise<void> {
    const password = passphraseBytes(passphrase);
    for (const slot of this.#header.slots) {
      if (!slot.active) continue;
      const key = await this.#openSlot(slot, password);
      if (key !== undefined) {
        this.#masterKey = key;
        return;
      }
    }
    this.#fail("wrong-passphrase", "the passphrase opens no key slot");
  }

  /** The cipher for the payload; only after `unlock`. */
  cipher(): SectorCipher {
    return this.#cipherFor(this.#masterKey ?? this.#fail("passphrase-required", "the volume is locked"));
  }

  #cipherFor(key: Uint8Array): SectorCipher {
    const { mode, ivGenerator, ivHash } = this.#spec;
    return (mode === "xts" ? xtsCipher : cbcCipher)(this.#crypto, key, ivGenerator, ivHash);
  }

  async #openSlot(slot: LuksSlot, password: Uint8Array): Promise<Uint8Array | undefined> {
    const { keyBytes, mkDigest, mkDigestSalt, mkDigestIterations } = this.#header;
    const crypto = this.#crypto;
    const index = this.#header.slots.indexOf(slot);
    for (const [iterations, at] of [
      [slot.iterations, luksSlotOffset(index, "iterations")],
      [mkDigestIterations, luksOffset("mkDigestIterations")],
    ]) {
      if (iterations === 0 || iterations > MAX_ITERATIONS) this.#fail("too-large", `${iterations} iterations`, at);
    }
    const material = new Uint8Array(roundUp(keyBytes * slot.stripes, SECTOR));
    await this.#storage.read(material, slot.keyMaterialOffset * SECTOR);
    const slotKey = await crypto.pbkdf2(this.#hash, password, slot.salt, slot.iterations, keyBytes);
    this.#cipherFor(slotKey).decrypt(material, 0);
    const key = afMerge(crypto, this.#hash, material, keyBytes, slot.stripes);
    const digest = await crypto.pbkdf2(this.#hash, key, mkDigestSalt, mkDigestIterations, LUKS_DIGEST_BYTES);
    return digest.every((byte, i) => byte === mkDigest[i]) ? key : undefined;
  }

  /** Adds a passphrase in `slot`, or the first free one. Returns the slot. */
  async addPassphrase(options: AddPassphraseOptions): Promise<number> {
    const { slots, keyBytes } = this.#header;
    const masterKey = this.#masterKey ?? this.#fail("passphrase-required", "the volume is locked");
    const index = options.slot ?? slots.findIndex((slot) => !slot.active);
    if (index < 0 && options.slot === undefined) this.#fail("conflict", "all key slots are in use");
    const slot = this.#slot(index);
    if (slot.active && options.force !== true) this.#fail("conflict", `key slot ${index} is in use`);
    const crypto = this.#crypto;
    const perSecond = await iterationsPerSecond(crypto, this.#hash, keyBytes);
    const iterTime = options.iterTime ?? DEFAULT_ITER_TIME;
    const iterations = Math.max(MIN_ITERATIONS, Math.min(MAX_ITERATIONS, Math.floor((perSecond * iterTime) / 1000)));
    const salt = crypto.random(32);
    const slotKey = await crypto.pbkdf2(this.#hash, passphraseBytes(options.passphrase), salt, iterations, keyBytes);
    const material = new Uint8Array(roundUp(keyBytes * STRIPES, SECTOR));
    material.set(afSplit(crypto, this.#hash, masterKey, STRIPES));
    this.#cipherFor(slotKey).encrypt(material, 0);
    // While a slot that is in use is written, another one has to open: one that is free holds the new key meanwhile.
    const spare = slot.active ? slots.findIndex((other) => !other.active) : -1;
    if (spare >= 0) await this.#fill(spare, iterations, salt, material);
    await this.#fill(index, iterations, salt, material);
    if (spare >= 0) await this.#erase(spare);
    return index;
  }

  /** Writes a key slot: the key first, so that a slot that counts as active opens. */
  async #fill(index: number, iterations: number, salt: Uint8Array, material: Uint8Array): Promise<void> {
    const { slots } = this.#header;
    await this.#storage.write(material, slots[index].keyMaterialOffset * SECTOR);
    await this.#storage.flush();
    slots[index] = { ...slots[index], active: true, iterations, salt, stripes: STRIPES };
    await this.#writeHeader();
  }

  /** Gives a key slot up and overwrites its key. */
  async #erase(index: number): Promise<void> {
    const { slots, keyBytes } = this.#header;
    const slot = slots[index];
    slots[index] = { ...slot, active: false, iterations: 0, salt: new Uint8Array(32) };
    await this.#writeHeader();
    const length = roundUp(keyBytes * slot.stripes, SECTOR);
    await this.#storage.write(this.#crypto.random(length), slot.keyMaterialOffset * SECTOR);
    await this.#storage.flush();
  }

  #slot(index: number): LuksSlot {
    return this.#header.slots[index] ?? this.#fail("invalid-argument", `key slot ${index} does not exist`);
  }

  /** The slots that a passphrase opens. */
  async #slotsOf(passphrase: Passphrase): Promise<number[]> {
    const password = passphraseBytes(passphrase);
    const opened: number[] = [];
    for (const [index, slot] of this.#header.slots.entries()) {
      if (slot.active && (await this.#openSlot(slot, password)) !== undefined) opened.push(index);
    }
    return opened;
  }

  /**
   * Erases one slot, or without a number all slots that the passphrase opens.
   * @throws Qcow2Error "wrong-passphrase" when the passphrase does not open the slot (or any), "not-found" when the
   *   slot is not in use, "conflict" when no passphrase would be left; `force` overrides the last two.
   */
  async removePassphrase(options: RemovePassphraseOptions): Promise<void> {
    const { slots } = this.#header;
    const { slot: chosen, passphrase, force } = options;
    let doomed: number[];
    if (chosen === undefined) {
      if (passphrase === undefined) this.#fail("invalid-argument", "neither a key slot nor a passphrase was given");
      doomed = await this.#slotsOf(passphrase);
      if (doomed.length === 0) this.#fail("wrong-passphrase", "the passphrase opens no key slot");
    } else {
      const slot = this.#slot(chosen);
      if (
        passphrase !== undefined &&
        !(slot.active && (await this.#openSlot(slot, passphraseBytes(passphrase))) !== undefined)
      ) {
        this.#fail("wrong-passphrase", `the passphrase does not open key slot ${chosen}`);
      }
      if (!slot.active && !force) this.#fail("not-found", `key slot ${chosen} is not in use`);
      doomed = [chosen];
    }
    const left = slots.filter((slot, i) => slot.active && !doomed.includes(i)).length;
    if (left === 0 && !force) this.#fail("conflict", "the last passphrase would be gone, and with it all data");
    for (const index of doomed) await this.#erase(index);
  }

  async #writeHeader(): Promise<void> {
    await this.#storage.write(encodeLuksHeader(this.#header), 0);
    await this.#storage.flush();
  }
}

function keyBytesOf(options: Pick<LuksCreateOptions, "cipher" | "mode">): number {
  const bytes = Number((options.cipher ?? "aes-256").slice(4)) / 8;
  return (options.mode ?? "xts") === "xts" ? 2 * bytes : bytes;
}

function layout(keyBytes: number): { slot: number; payload: number } {
  const slot = roundUp(keyBytes * STRIPES, ALIGNMENT);
  return { slot, payload: ALIGNMENT + LUKS_SLOTS * slot };
}

type Fail = (code: Qcow2ErrorCode, reason: string, offset: number) => never;

function hashName(name: string, field: "hashSpec" | "cipherMode", fail: Fail): HashName {
  return HASH_NAMES.find((known) => known === name) ?? fail("unsupported", `hash ${name}`, luksOffset(field));
}

const isAesKeySize = (bytes: number): boolean => bytes === 16 || bytes === 24 || bytes === 32;

function parseMode(header: LuksHeader, fail: Fail): CipherSpec {
  const at = luksOffset("cipherMode");
  if (header.cipherName !== "aes") return fail("unsupported", `cipher ${header.cipherName}`, luksOffset("cipherName"));
  const match = /^(xts|cbc)-(plain64|plain|essiv)(?::(\w+))?$/.exec(header.cipherMode);
  if (match === null || (match[2] === "essiv") !== (match[3] !== undefined)) {
    return fail("unsupported", `cipher mode ${header.cipherMode}`, at);
  }
  const mode = match[1] as "xts" | "cbc";
  const aesBytes = mode === "xts" ? header.keyBytes / 2 : header.keyBytes;
  if (!isAesKeySize(aesBytes)) {
    fail("corrupt", `key of ${header.keyBytes} bytes for ${header.cipherMode}`, luksOffset("keyBytes"));
  }
  const ivGenerator = match[2] as IvGenerator;
  const ivHash = match[3] === undefined ? undefined : hashName(match[3], "cipherMode", fail);
  // The digest is the key of the IV cipher.
  if (ivHash !== undefined && !isAesKeySize(DIGEST_BYTES[ivHash])) {
    fail("unsupported", `no AES cipher with key size ${DIGEST_BYTES[ivHash]}`, at);
  }
  return { mode, ivGenerator, ivHash };
}

/** How many PBKDF2 iterations a second takes here. */
async function iterationsPerSecond(crypto: CryptoProvider, hash: HashName, length: number): Promise<number> {
  const salt = crypto.random(32);
  for (let iterations = 4096; ; iterations *= 4) {
    const start = performance.now();
    await crypto.pbkdf2(hash, salt, salt, iterations, length);
    const elapsed = performance.now() - start;
    if (elapsed > 20) return Math.floor((iterations * 1000) / elapsed);
  }
}

function uuid(crypto: CryptoProvider): string {
  const data = crypto.random(16);
  data[6] = (data[6] & 0x0f) | 0x40;
  data[8] = (data[8] & 0x3f) | 0x80;
  const hex = [...data].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
