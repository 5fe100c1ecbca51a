import { Qcow2Error } from "../errors.js";
import * as C from "../format/constants.js";
import type { Header } from "../format/header.js";

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
  const where = { file, structure: "header" };
  const fail = (code: "corrupt" | "too-large" | "unsupported", reason: string): never => {
    throw new Qcow2Error(code, reason, where);
  };
  const clusterSize = 2 ** header.clusterBits;
  if (header.refcountOrder > 6) fail("corrupt", `refcount order ${header.refcountOrder} is greater than 6`);
  const hasType = (header.incompatibleFeatures & C.INCOMPATIBLE.compressionType) !== 0n;
  if (hasType !== (header.compressionType !== 0)) fail("corrupt", "compression type and its feature bit disagree");
  if (header.compressionType > 1) fail("unsupported", `unknown compression type ${header.compressionType}`);
  const geometry = geometryOf(header);
  if (geometry.extendedL2 && header.clusterBits < C.MIN_CLUSTER_BITS_EXTENDED_L2) {
    fail("corrupt", "extended L2 entries need clusters of at least 16 KiB");
  }
  if (header.cryptMethod > C.CRYPT_LUKS) fail("unsupported", `unknown encryption method ${header.cryptMethod}`);
  if (header.cryptMethod === C.CRYPT_LUKS && header.encryptionHeader === undefined) {
    fail("corrupt", "LUKS encryption without its header extension");
  }
  if (header.refcountTableClusters * clusterSize > C.MAX_REFCOUNT_TABLE_BYTES) {
    fail("too-large", "refcount table is too large");
  }
  if (header.refcountTableClusters === 0 && !repair) fail("corrupt", "image has no refcount table");
  if (header.l1Size * 8 > C.MAX_L1_BYTES) fail("too-large", "active L1 table is too large");
  if (header.nbSnapshots > C.MAX_SNAPSHOTS) fail("too-large", "too many snapshots");
  const table = (name: string, offset: number, length: number): void => {
    if (offset % clusterSize !== 0) fail("corrupt", `${name} is not aligned to a cluster`);
    if (offset + length > C.MAX_HOST_OFFSET) fail("corrupt", `${name} lies beyond what is possible`);
    if (length > 0 && offset === 0) fail("corrupt", `${name} lies over the header`);
    // Tables are never holes at the end of the file, so a size that pretends otherwise only costs memory.
    const lenient = repair && name !== "snapshot table";
    if (length > 0 && !lenient && offset + length > Math.ceil(fileSize / clusterSize) * clusterSize) {
      fail("corrupt", `${name} reaches beyond the end of the file`);
    }
  };
  table("refcount table", header.refcountTableOffset, header.refcountTableClusters * clusterSize);
  table("active L1 table", header.l1TableOffset, header.l1Size * 8);
  table("snapshot table", header.snapshotsOffset, header.nbSnapshots > 0 ? 1 : 0);
  if (l1EntriesFor(header.size, geometry) > header.l1Size) fail("corrupt", "active L1 table is too small");
  const external = (header.incompatibleFeatures & C.INCOMPATIBLE.externalData) !== 0n;
  const rawExternal = (header.autoclearFeatures & C.AUTOCLEAR.rawExternalData) !== 0n;
  if (rawExternal && external && header.backingFile !== undefined) {
    fail("corrupt", "a raw external data file cannot have a backing file");
  }
}
