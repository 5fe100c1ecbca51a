import { createImageCipher } from "../crypto/unlock.js";
import { Qcow2Error } from "../errors.js";
import type { RandomAccessFile } from "../file.js";
import { roundUp } from "../format/binary.js";
import * as C from "../format/constants.js";
import { encodeHeader, featureNameTable, type Header } from "../format/header.js";
import { refcountCodec } from "../format/refcounts.js";
import { keepOpen } from "../keep-open.js";
import { portablePlatform } from "../portable-platform.js";
import { openQcow2 } from "./open.js";
import type { Qcow2CreateOptions } from "./types.js";

const DEFAULT_CLUSTER_SIZE = 65536;

/** Everything of the options that needs no file; also used to measure. */
export function resolveCreateOptions(options: Qcow2CreateOptions): {
  clusterBits: number;
  version: 2 | 3;
  refcountOrder: number;
  size: number;
} {
  const bad = (reason: string): never => {
    throw new Qcow2Error("invalid-argument", reason);
  };
  const clusterSize = options.clusterSize ?? DEFAULT_CLUSTER_SIZE;
  const clusterBits = Math.log2(clusterSize);
  if (!Number.isInteger(clusterBits) || clusterBits < C.MIN_CLUSTER_BITS || clusterBits > C.MAX_CLUSTER_BITS) {
    bad(`cluster size ${clusterSize} is not a power of two between 512 and 2 MiB`);
  }
  const version = options.version ?? 3;
  const refcountBits = options.refcountBits ?? 16;
  const refcountOrder = Math.log2(refcountBits);
  if (!Number.isInteger(refcountOrder) || refcountOrder < 0 || refcountOrder > 6) {
    bad(`refcount width ${refcountBits} is not a power of two between 1 and 64`);
  }
  if (!Number.isSafeInteger(options.size) || options.size < 0) bad(`size ${options.size} is impossible`);
  if (version < 3) {
    if (refcountBits !== 16) bad("version 2 has 16-bit refcounts");
    if (options.lazyRefcounts) bad("lazy refcounts need version 3");
    if (options.extendedL2) bad("extended L2 entries need version 3");
    if (options.dataFile !== undefined) bad("an external data file needs version 3");
    if (options.compressionType === "zstd") bad("zstd needs version 3");
  }
  if (options.extendedL2 && clusterBits < C.MIN_CLUSTER_BITS_EXTENDED_L2) {
    bad("extended L2 entries need clusters of at least 16 KiB");
  }
  if (options.dataFile?.raw && options.backing !== undefined)
    bad("a raw external data file cannot have a backing file");
  const preallocation = options.preallocation ?? "off";
  if (preallocation !== "off" && options.backing !== undefined && !options.extendedL2) {
    bad("preallocation with a backing file needs extended L2 entries");
  }
  return { clusterBits, version, refcountOrder, size: roundUp(options.size, C.SECTOR) };
}

/** Makes `file` an empty qcow2 image. What the file held is lost. The file stays open. */
export async function createQcow2(file: RandomAccessFile, options: Qcow2CreateOptions): Promise<void> {
  const { clusterBits, version, refcountOrder, size } = resolveCreateOptions(options);
  const clusterSize = 2 ** clusterBits;
  const external = options.dataFile;
  const zstd = options.compressionType === "zstd";
  const header: Header = {
    version,
    clusterBits,
    size: 0,
    cryptMethod: C.CRYPT_NONE,
    l1Size: 0,
    l1TableOffset: 0,
    refcountTableOffset: clusterSize,
    refcountTableClusters: 1,
    nbSnapshots: 0,
    snapshotsOffset: 0,
    incompatibleFeatures:
      (external ? C.INCOMPATIBLE.externalData : 0n) |
      (zstd ? C.INCOMPATIBLE.compressionType : 0n) |
      (options.extendedL2 ? C.INCOMPATIBLE.extendedL2 : 0n),
    compatibleFeatures: options.lazyRefcounts ? C.COMPATIBLE.lazyRefcounts : 0n,
    autoclearFeatures: external?.raw ? C.AUTOCLEAR.rawExternalData : 0n,
    refcountOrder,
    compressionType: zstd ? 1 : 0,
    unknownFields: new Uint8Array(0),
    backingFile: undefined,
    backingFormat: undefined,
    dataFile: external?.name,
    bitmaps: undefined,
    encryptionHeader: undefined,
    otherExtensions: version === 3 ? [featureNameTable()] : [],
  };
  // Header, refcount table and the first refcount block; everything else grows as in any other image.
  const start = new Uint8Array(3 * clusterSize);
  start.set(encodeHeader(header, file.name));
  new DataView(start.buffer).setUint32(clusterSize + 4, 2 * clusterSize);
  const codec = refcountCodec(refcountOrder);
  for (let i = 0; i < 3; i++) codec.set(start.subarray(2 * clusterSize), i, 1);
  await external?.file.truncate(0);
  await file.truncate(0);
  await file.write(start, 0);
  const image = await openQcow2(keepOpen(file), {
    readOnly: false,
    dataFile: external === undefined ? undefined : keepOpen(external.file),
    lazyRefcounts: false,
    platform: options.platform ?? portablePlatform,
    // There is nothing to lose before it is complete.
    cache: "unsafe",
  });
  try {
    const { core } = image;
    if (options.encryption !== undefined) await createImageCipher(core, options.encryption);
    const raw = external?.raw ? "metadata" : "off";
    if (options.preallocation !== undefined && options.preallocation !== "off") {
      await image.resize(size, { preallocation: options.preallocation });
    } else {
      await image.resize(size, { preallocation: raw });
    }
    if (options.backing !== undefined) await image.setBackingFile(options.backing);
  } finally {
    await image.close();
  }
  await external?.file.flush();
  await file.flush();
}
