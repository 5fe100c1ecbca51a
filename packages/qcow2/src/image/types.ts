import type { Disk } from "../disk.js";
import type { MaybePromise, RandomAccessFile } from "../file.js";
import type { HashName, Platform } from "../platform.js";

export type CompressionType = "zlib" | "zstd";
export type Preallocation = "off" | "metadata" | "falloc" | "full";
export type Passphrase = string | Uint8Array;

/** A request for the backing file of an image. */
export interface BackingRequest {
  /** The name as stored in the header: a path relative to the image, an absolute one, or `json:{...}`. */
  readonly name: string;
  /** The format stored in the header, when there is one. Without it the consumer has to decide whether to probe. */
  readonly format?: string;
  /** Name of the image that refers to it. */
  readonly from: string;
  /** 1 for the backing file of the image that was opened, 2 for its backing file, ... */
  readonly depth: number;
}

/** Opens a backing file. The image that asked closes what it gets. */
export type BackingOpener = (request: BackingRequest) => Promise<Disk>;

/** Opens the external data file `name` (relative to `from`). */
export type DataFileOpener = (name: string, from: string, readOnly: boolean) => MaybePromise<RandomAccessFile>;

export interface Qcow2OpenOptions {
  readonly readOnly?: boolean;
  /** The backing file: how to open it, a disk that is open already, or "none" to leave the chain away. */
  readonly backing?: BackingOpener | Disk | "none";
  /** The external data file: how to open it, a file that is open already, or "none": guest data cannot be used then. */
  readonly dataFile?: DataFileOpener | RandomAccessFile | "none";
  /** Passphrase of an encrypted image. Without it only metadata can be used. */
  readonly passphrase?: Passphrase;
  /** Open for metadata alone: no passphrase is demanded and guest data cannot be read when encrypted. */
  readonly metadataOnly?: boolean;
  /** Bytes of L2 tables kept in memory (default 32 MiB). */
  readonly l2CacheSize?: number;
  /** Bytes of refcount blocks kept in memory (default 8 MiB). */
  readonly refcountCacheSize?: number;
  /**
   * "writeback" (default) orders metadata with flushes of the file so that power loss is safe; "unsafe" never
   * flushes, for files that are worthless until they are complete.
   */
  readonly cache?: "writeback" | "unsafe";
  /** Open for `check`: an image marked as corrupt may be opened for writing, a dirty one is not repaired at once. */
  readonly repair?: boolean;
  /** Whether discards release storage of the file (default true). */
  readonly discard?: boolean;
  /** Switch on lazy refcounts for this use of the image, whatever its header says. */
  readonly lazyRefcounts?: boolean;
  /** Read an internal snapshot instead of the active state (id or name); implies `readOnly`. */
  readonly snapshot?: string;
  readonly platform?: Platform;
}

export interface LuksCreateOptions {
  readonly format: "luks";
  readonly passphrase: Passphrase;
  readonly cipher?: "aes-128" | "aes-192" | "aes-256";
  readonly mode?: "xts" | "cbc";
  readonly ivGenerator?: "plain" | "plain64" | "essiv";
  /** Hash of the ESSIV generator (default sha256). */
  readonly ivHash?: LuksHash;
  /** Hash of the key derivation and the anti-forensic splitter (default sha256). */
  readonly hash?: LuksHash;
  /** Milliseconds one unlock may take on this machine; decides the iterations (default 2000). */
  readonly iterTime?: number;
}

/** Weak ones are there for old volumes. */
export type LuksHash = HashName;

/** The old AES-CBC encryption. It is weak (guessable IVs, the passphrase is the key): only for old images. */
export interface LegacyAesCreateOptions {
  readonly format: "aes";
  readonly passphrase: Passphrase;
}

export type EncryptionCreateOptions = LuksCreateOptions | LegacyAesCreateOptions;

export interface Qcow2CreateOptions {
  /** Virtual size in bytes; rounded up to 512. */
  readonly size: number;
  /** 2 is `compat=0.10`, 3 (default) is `compat=1.1`. */
  readonly version?: 2 | 3;
  /** Power of two, 512 to 2 MiB (default 64 KiB). */
  readonly clusterSize?: number;
  /** 1, 2, 4, 8, 16 (default), 32 or 64. */
  readonly refcountBits?: number;
  readonly lazyRefcounts?: boolean;
  readonly extendedL2?: boolean;
  readonly compressionType?: CompressionType;
  readonly preallocation?: Preallocation;
  readonly backing?: { readonly name: string; readonly format?: string };
  /** The external data file, open and empty, and the name to store in the header. */
  readonly dataFile?: { readonly file: RandomAccessFile; readonly name: string; readonly raw?: boolean };
  readonly encryption?: EncryptionCreateOptions;
  readonly platform?: Platform;
}

/** One key slot of a LUKS header. */
export interface LuksSlotInfo {
  readonly active: boolean;
  /** PBKDF2 iterations; undefined when inactive. */
  readonly iterations?: number;
  /** Number of anti-forensic stripes; undefined when inactive. */
  readonly stripes?: number;
  /** Byte offset of the key material from the start of the LUKS header. */
  readonly keyOffset: number;
}

export interface LuksInfo {
  readonly uuid: string;
  readonly cipher: string;
  readonly mode: string;
  readonly ivGenerator: string;
  readonly ivHash?: string;
  readonly hash: string;
  readonly payloadOffset: number;
  readonly masterKeyIterations: number;
  readonly slots: readonly LuksSlotInfo[];
}

/** What `qemu-img info` prints of an image, and a little more. */
export interface Qcow2Info {
  readonly version: 2 | 3;
  readonly virtualSize: number;
  readonly clusterSize: number;
  readonly refcountBits: number;
  readonly lazyRefcounts: boolean;
  readonly extendedL2: boolean;
  readonly dirty: boolean;
  readonly corrupt: boolean;
  readonly compressionType: CompressionType;
  readonly backingFile?: string;
  readonly backingFormat?: string;
  /** Guest data lies in an external data file. */
  readonly hasDataFile: boolean;
  /** Its name, when the header tells it. */
  readonly dataFile?: string;
  readonly dataFileRaw: boolean;
  readonly encryption: "none" | "aes" | "luks";
  readonly luks?: LuksInfo;
  readonly snapshots: readonly SnapshotInfo[];
  readonly bitmaps: readonly BitmapInfo[];
}

export interface SnapshotInfo {
  readonly id: string;
  readonly name: string;
  /** Seconds since the epoch. */
  readonly dateSeconds: number;
  readonly dateNanoseconds: number;
  /** Nanoseconds the guest had run. */
  readonly vmClock: bigint;
  /** Instruction count of a recorded run, when stored. */
  readonly icount?: bigint;
  /** Bytes of machine state. */
  readonly vmStateSize: number;
  /** Virtual size of the disk at that time, in bytes. */
  readonly diskSize: number;
}

export interface SnapshotCreateOptions {
  readonly name: string;
  /** Unique id; default: one more than the greatest numeric id. */
  readonly id?: string;
  readonly date?: Date;
  readonly vmClock?: bigint;
  /** Instructions the guest had executed, of a run that counts them (default: none is stored). */
  readonly icount?: bigint;
  /** Machine state already written with `writeVmState`. */
  readonly vmStateSize?: number;
}

export interface BitmapInfo {
  readonly name: string;
  /** Bytes of the disk per bit. */
  readonly granularity: number;
  /** Records writes. */
  readonly enabled: boolean;
  /** Not saved properly by the last writer; only fit to be removed. */
  readonly inconsistent: boolean;
}

/** Called with the work done and the whole work, in the same unit. */
export type Progress = (done: number, total: number) => void;

export interface OperationOptions {
  readonly progress?: Progress;
  readonly signal?: AbortSignal;
}

export interface CheckResult {
  readonly corruptions: number;
  readonly leaks: number;
  readonly corruptionsFixed: number;
  readonly leaksFixed: number;
  readonly checkErrors: number;
  /** COPIED flags that contradict the refcounts only because these leak. They are no corruptions. */
  readonly flagsOverLeaks: number;
  readonly totalClusters: number;
  readonly allocatedClusters: number;
  readonly fragmentedClusters: number;
  readonly compressedClusters: number;
  /** End of the last cluster in use, in bytes. */
  readonly imageEndOffset: number;
  /** One line for each problem, as many as `maxMessages`. */
  readonly messages: readonly CheckMessage[];
}

export interface CheckMessage {
  readonly kind: "leak" | "corruption" | "error" | "repaired" | "info";
  readonly text: string;
}

export interface CheckOptions extends OperationOptions {
  readonly repair?: "none" | "leaks" | "all";
  /** Greatest number of messages kept (default 1000). */
  readonly maxMessages?: number;
  readonly onMessage?: (message: CheckMessage) => void;
}
