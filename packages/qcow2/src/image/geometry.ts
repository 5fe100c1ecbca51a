import { Qcow2Error } from "../errors.js";
import { roundUp } from "../format/binary.js";
import * as C from "../format/constants.js";
import { encryptionFieldOffset, type Header, type HeaderField, headerOffset } from "../format/header.js";

/** Sizes that follow from the header. */
export interface Geometry {
  readonly clusterBits: number;
  readonly clusterSize: number;
  readonly extendedL2: boolean;
  /** Bytes of an L2 entry: 8, or 16 with subclusters. */
  readonly l2EntrySize: number;
  readonly l2Entries: number;
  /** Guest bytes one L2 table describes. */
  readonly l2Coverage: number;
  /** Unit of allocation state: the cluster, or a 32nd of it. */
  readonly subclusterSize: number;
  readonly subclusters: number;
  /** Entries of a refcount block. */
  readonly refcountsPerBlock: number;
}

export function geometryOf(header: Pick<Header, "clusterBits" | "incompatibleFeatures" | "refcountOrder">): Geometry {
  const clusterSize = 2 ** header.clusterBits;
  const extendedL2 = (header.incompatibleFeatures & C.INCOMPATIBLE.extendedL2) !== 0n;
  const l2EntrySize = extendedL2 ? 16 : 8;
  const l2Entries = clusterSize / l2EntrySize;
  const subclusters = extendedL2 ? C.SUBCLUSTERS_PER_CLUSTER : 1;
  return {
    clusterBits: header.clusterBits,
    clusterSize,
    extendedL2,
    l2EntrySize,
    l2Entries,
    l2Coverage: l2Entries * clusterSize,
    subclusterSize: clusterSize / subclusters,
    subclusters,
    refcountsPerBlock: (clusterSize * 8) / 2 ** header.refcountOrder,
  };
}

/** L1 entries needed for `size` guest bytes. */
export function l1EntriesFor(size: number, geometry: Geometry): number {
  return Math.ceil(size / geometry.l2Coverage);
}

/**
 * @param repair the image is opened to be repaired: do without what can be rebuilt
 * @throws Qcow2Error when the header contradicts itself, the format's limits or the size of the file.
 */
export function validateHeader(header: Header, fileSize: number, file: string, repair = false): void {
  const fail = (code: "corrupt" | "too-large" | "unsupported", reason: string, field: HeaderField): never => {
    throw new Qcow2Error(code, reason, { file, structure: "header", offset: headerOffset(field) });
  };
  const clusterSize = 2 ** header.clusterBits;
  if (header.refcountOrder > 6) {
    fail("corrupt", `refcount order ${header.refcountOrder} is greater than 6`, "refcountOrder");
  }
  const hasType = (header.incompatibleFeatures & C.INCOMPATIBLE.compressionType) !== 0n;
  if (hasType !== (header.compressionType !== 0)) {
    fail("corrupt", "compression type and its feature bit disagree", "compressionType");
  }
  if (header.compressionType > 1) {
    fail("unsupported", `unknown compression type ${header.compressionType}`, "compressionType");
  }
  const geometry = geometryOf(header);
  if (geometry.extendedL2 && header.clusterBits < C.MIN_CLUSTER_BITS_EXTENDED_L2) {
    fail("corrupt", "extended L2 entries need clusters of at least 16 KiB", "clusterBits");
  }
  if (header.cryptMethod > C.CRYPT_LUKS) {
    fail("unsupported", `unknown encryption method ${header.cryptMethod}`, "cryptMethod");
  }
  if (header.cryptMethod === C.CRYPT_LUKS) validateEncryption(header, fileSize, file);
  if (header.refcountTableClusters * clusterSize > C.MAX_REFCOUNT_TABLE_BYTES) {
    fail("too-large", "refcount table is too large", "refcountTableClusters");
  }
  if (header.refcountTableClusters === 0 && !repair) {
    fail("corrupt", "image has no refcount table", "refcountTableClusters");
  }
  if (header.l1Size * 8 > C.MAX_L1_BYTES) fail("too-large", "active L1 table is too large", "l1Size");
  if (header.nbSnapshots > C.MAX_SNAPSHOTS) fail("too-large", "too many snapshots", "nbSnapshots");
  const table = (name: string, field: HeaderField, offset: number, length: number): void => {
    if (offset % clusterSize !== 0) fail("corrupt", `${name} is not aligned to a cluster`, field);
    if (offset + length > C.MAX_HOST_OFFSET) fail("corrupt", `${name} lies beyond what is possible`, field);
    if (length > 0 && offset === 0) fail("corrupt", `${name} lies over the header`, field);
    // Tables are never holes at the end of the file, so a size that pretends otherwise only costs memory.
    const lenient = repair && field !== "snapshotsOffset";
    if (length > 0 && !lenient && offset + length > roundUp(fileSize, clusterSize)) {
      fail("corrupt", `${name} reaches beyond the end of the file`, field);
    }
  };
  const { refcountTableOffset, refcountTableClusters, l1TableOffset, l1Size, snapshotsOffset, nbSnapshots } = header;
  table("refcount table", "refcountTableOffset", refcountTableOffset, refcountTableClusters * clusterSize);
  table("active L1 table", "l1TableOffset", l1TableOffset, l1Size * 8);
  table("snapshot table", "snapshotsOffset", snapshotsOffset, nbSnapshots > 0 ? 1 : 0);
  if (l1EntriesFor(header.size, geometry) > l1Size) fail("corrupt", "active L1 table is too small", "l1Size");
  const external = (header.incompatibleFeatures & C.INCOMPATIBLE.externalData) !== 0n;
  const rawExternal = (header.autoclearFeatures & C.AUTOCLEAR.rawExternalData) !== 0n;
  if (rawExternal && external && header.backingFile !== undefined) {
    fail("corrupt", "a raw external data file cannot have a backing file", "backingFileOffset");
  }
}

function validateEncryption({ encryptionHeader, clusterBits }: Header, fileSize: number, file: string): void {
  const fail = (reason: string, offset: number | undefined): never => {
    throw new Qcow2Error("corrupt", reason, { file, structure: "header", offset });
  };
  if (encryptionHeader === undefined) {
    return fail("LUKS encryption without its header extension", headerOffset("cryptMethod"));
  }
  const clusterSize = 2 ** clusterBits;
  const { offset, length } = encryptionHeader;
  if (offset % clusterSize !== 0 || offset === 0) {
    fail("encryption header is not aligned to a cluster", encryptionFieldOffset(encryptionHeader, "offset"));
  }
  if (offset + length > roundUp(fileSize, clusterSize)) {
    fail("encryption header reaches beyond the end of the file", encryptionFieldOffset(encryptionHeader, "length"));
  }
}
