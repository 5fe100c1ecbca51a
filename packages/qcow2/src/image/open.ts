import { BitmapStore } from "../bitmaps/store.js";
import { openCipher } from "../crypto/unlock.js";
import type { Disk } from "../disk.js";
import { Qcow2Error } from "../errors.js";
import type { RandomAccessFile } from "../file.js";
import * as C from "../format/constants.js";
import { type Header, headerOffset } from "../format/header.js";
import { check } from "../operations/check.js";
import { portablePlatform } from "../portable-platform.js";
import { findSnapshot, loadSnapshots, snapshotL1 } from "../snapshots/table.js";
import { type CoreOptions, ImageCore } from "./core.js";
import { HostFile } from "./host.js";
import { Qcow2Image } from "./image.js";
import { openHeader } from "./open-header.js";
import type { Qcow2OpenOptions } from "./types.js";

const DEFAULT_L2_CACHE = 32 * 1024 * 1024;
const DEFAULT_REFCOUNT_CACHE = 8 * 1024 * 1024;

/**
 * Opens a qcow2 image. The image closes the file, the data file and the backing chain.
 *
 * @throws Qcow2Error "not-an-image", "unsupported" (features we do not know), "corrupt", "too-large",
 *   "passphrase-required", "wrong-passphrase", or what the openers throw. The file stays open then.
 */
export async function openQcow2(file: RandomAccessFile, options: Qcow2OpenOptions = {}): Promise<Qcow2Image> {
  const readOnly = options.readOnly ?? (options.snapshot !== undefined || file.readOnly);
  if (!readOnly && file.readOnly) throw new Qcow2Error("read-only", "file is read-only", { file: file.name });
  const { header, host } = await openHeader(file, { flushes: options.cache !== "unsafe", repair: options.repair });
  if ((header.incompatibleFeatures & C.INCOMPATIBLE.corrupt) !== 0n && !readOnly && options.repair !== true) {
    throw new Qcow2Error("corrupt", "image is marked as corrupt; repair it, or open it read-only", {
      file: file.name,
      structure: "header",
      offset: headerOffset("incompatibleFeatures"),
    });
  }
  const { host: data, close } = await openDataFile(host, header, options, readOnly);
  const coreOptions: CoreOptions = {
    readOnly,
    flushes: options.cache !== "unsafe",
    discard: options.discard !== false,
    lazyRefcounts: options.lazyRefcounts,
    l2CacheSize: options.l2CacheSize ?? DEFAULT_L2_CACHE,
    refcountCacheSize: options.refcountCacheSize ?? DEFAULT_REFCOUNT_CACHE,
    platform: options.platform ?? portablePlatform,
    repair: options.repair === true,
  };
  const core = new ImageCore(host, data, header, coreOptions);
  let backing: Disk | undefined;
  try {
    await core.load(header.l1TableOffset, header.l1Size);
    // A check tells what is wrong with the snapshot table, and repairs it.
    await loadSnapshots(core).catch((error) => {
      if (options.repair !== true || !(error instanceof Qcow2Error)) throw error;
      core.snapshotDamage = error;
    });
    const bitmaps = await BitmapStore.load(core);
    let size: number | undefined;
    if (options.snapshot !== undefined) {
      if (!readOnly) throw new Qcow2Error("invalid-argument", "a snapshot can only be opened read-only");
      const snapshot = findSnapshot(core, options.snapshot);
      core.mapping.l1 = await snapshotL1(core, snapshot);
      core.mapping.l1Offset = snapshot.l1TableOffset;
      size = snapshot.diskSize ?? header.size;
    }
    backing = await openBacking(header, file.name, options);
    core.backing = backing;
    const luks = await openCipher(core, options);
    if (!readOnly) await prepareForWriting(core, bitmaps, options);
    core.observer = bitmaps;
    return new Qcow2Image(core, bitmaps, luks, size);
  } catch (error) {
    await backing?.close();
    await close();
    throw error;
  }
}

async function openDataFile(
  host: HostFile,
  header: Header,
  options: Qcow2OpenOptions,
  readOnly: boolean,
): Promise<{ host: HostFile; close: () => Promise<void> }> {
  const wanted = (header.incompatibleFeatures & C.INCOMPATIBLE.externalData) !== 0n;
  if (!wanted) return { host, close: async () => {} };
  const given = options.dataFile;
  if (given === undefined) {
    throw new Qcow2Error("invalid-argument", "image has an external data file, and no way to open it was given", {
      file: host.name,
    });
  }
  if (given === "none")
    return { host: await HostFile.open(absentFile(header.dataFile ?? ""), false), close: async () => {} };
  if (typeof given !== "function") {
    return { host: await HostFile.open(given, options.cache !== "unsafe"), close: async () => {} };
  }
  if (header.dataFile === undefined) {
    throw new Qcow2Error("corrupt", "image does not name its external data file", {
      file: host.name,
      structure: "header",
      offset: headerOffset("incompatibleFeatures"),
    });
  }
  const file = await given(header.dataFile, host.name, readOnly);
  return { host: await HostFile.open(file, options.cache !== "unsafe"), close: async () => file.close() };
}

/** Stands for a data file that was left closed. */
function absentFile(name: string): RandomAccessFile {
  const refuse = (): never => {
    throw new Qcow2Error("invalid-argument", "the external data file was left closed", { file: name });
  };
  return {
    name,
    readOnly: true,
    // Beyond the end everything would read as zeros.
    size: () => Number.MAX_SAFE_INTEGER,
    read: refuse,
    write: refuse,
    truncate: refuse,
    flush: () => {},
    close: () => {},
  };
}

async function openBacking(header: Header, from: string, options: Qcow2OpenOptions): Promise<Disk | undefined> {
  if (header.backingFile === undefined || options.backing === "none") return undefined;
  if (options.backing === undefined) {
    throw new Qcow2Error("invalid-argument", "image has a backing file, and no way to open it was given", {
      file: from,
    });
  }
  if (typeof options.backing !== "function") return options.backing;
  return options.backing({ name: header.backingFile, format: header.backingFormat, from, depth: 1 });
}

async function prepareForWriting(core: ImageCore, bitmaps: BitmapStore, options: Qcow2OpenOptions): Promise<void> {
  const { header } = core;
  if ((header.autoclearFeatures & ~C.AUTOCLEAR_KNOWN) !== 0n) {
    header.autoclearFeatures &= C.AUTOCLEAR_KNOWN;
    await core.writeHeader();
    await core.host.flush();
  }
  if ((header.incompatibleFeatures & C.INCOMPATIBLE.dirty) !== 0n && options.repair !== true) {
    const result = await check(core, bitmaps, { repair: "all" });
    if (result.checkErrors > 0 || result.corruptions > result.corruptionsFixed) {
      throw new Qcow2Error("corrupt", "image was not closed properly and could not be repaired", { file: core.name });
    }
  }
}
