/** "QFI\xfb" */
export const QCOW2_MAGIC = 0x514649fb;

export const MIN_CLUSTER_BITS = 9;
export const MAX_CLUSTER_BITS = 21;
/** Extended L2 entries need clusters of at least 16 KiB, so that a subcluster is at least a sector. */
export const MIN_CLUSTER_BITS_EXTENDED_L2 = 14;
export const SUBCLUSTERS_PER_CLUSTER = 32;

/** The limits of QEMU, kept so that an image made here opens there, and so that hostile tables stay small. */
export const MAX_L1_BYTES = 32 * 1024 * 1024;
export const MAX_REFCOUNT_TABLE_BYTES = 8 * 1024 * 1024;
export const MAX_SNAPSHOTS = 65536;
export const MAX_SNAPSHOT_TABLE_BYTES = 1024 * MAX_SNAPSHOTS;
export const MAX_SNAPSHOT_EXTRA_BYTES = 1024;
export const MAX_BITMAPS = 65535;
export const MAX_BITMAP_DIRECTORY_BYTES = 64 * 1024 * 1024;
export const MAX_BITMAP_TABLE_ENTRIES = 0x8000000 / 8;
export const MAX_BITMAP_NAME = 1023;
export const MAX_BACKING_NAME = 1023;

export const SECTOR = 512;

/** Offsets in L1 and L2 entries have 56 bits; a number holds 53. */
export const MAX_HOST_OFFSET = Number.MAX_SAFE_INTEGER;

export const CRYPT_NONE = 0;
export const CRYPT_AES = 1;
export const CRYPT_LUKS = 2;

/** Bits of `incompatible_features`. */
export const INCOMPATIBLE = {
  dirty: 1n << 0n,
  corrupt: 1n << 1n,
  externalData: 1n << 2n,
  compressionType: 1n << 3n,
  extendedL2: 1n << 4n,
} as const;
export const INCOMPATIBLE_KNOWN = 0x1fn;

/** Bits of `compatible_features`. */
export const COMPATIBLE = { lazyRefcounts: 1n << 0n } as const;

/** Bits of `autoclear_features`. */
export const AUTOCLEAR = { bitmaps: 1n << 0n, rawExternalData: 1n << 1n } as const;
export const AUTOCLEAR_KNOWN = 0x3n;

/** Header extension types. */
export const EXTENSION = {
  end: 0,
  backingFormat: 0xe2792aca,
  featureNames: 0x6803f857,
  bitmaps: 0x23852875,
  encryptionHeader: 0x0537be77,
  dataFileName: 0x44415441,
} as const;

/** Names for the feature name table: type (0 incompatible, 1 compatible, 2 autoclear), bit, name. */
export const FEATURE_NAMES: readonly (readonly [type: number, bit: number, name: string])[] = [
  [0, 0, "dirty bit"],
  [0, 1, "corrupt bit"],
  [0, 2, "external data file"],
  [0, 3, "compression type"],
  [0, 4, "extended L2 entries"],
  [1, 0, "lazy refcounts"],
  [2, 0, "bitmaps"],
  [2, 1, "raw external data"],
];
