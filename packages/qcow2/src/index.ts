export type { Disk, Extent, StatusOptions, WriteZeroesOptions } from "./disk.js";
export type { ErrorLocation, Qcow2ErrorCode } from "./errors.js";
export { Qcow2Error } from "./errors.js";
export type { FileExtent, MaybePromise, RandomAccessFile } from "./file.js";
export type {
  BackingOpener,
  BackingRequest,
  BitmapInfo,
  CheckMessage,
  CheckOptions,
  CheckResult,
  CompressionType,
  DataFileOpener,
  EncryptionCreateOptions,
  LegacyAesCreateOptions,
  LuksCreateOptions,
  LuksHash,
  LuksInfo,
  LuksSlotInfo,
  OperationOptions,
  Passphrase,
  Preallocation,
  Progress,
  Qcow2CreateOptions,
  Qcow2Info,
  Qcow2OpenOptions,
  SnapshotCreateOptions,
  SnapshotInfo,
} from "./image/types.js";
export type { AesCipher, ClusterCodec, CryptoProvider, HashName, Platform } from "./platform.js";
