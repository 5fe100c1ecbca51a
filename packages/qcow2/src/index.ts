export type { BackingName } from "./backing-name.js";
export { parseBackingName } from "./backing-name.js";
export type { AddPassphraseOptions, RemovePassphraseOptions } from "./crypto/luks.js";
export type { Disk, DiskResizeOptions, Extent, StatusOptions, WriteZeroesOptions } from "./disk.js";
export type { ErrorLocation, Qcow2ErrorCode } from "./errors.js";
export { Qcow2Error } from "./errors.js";
export type { FileExtent, MaybePromise, RandomAccessFile } from "./file.js";
export { createQcow2 } from "./image/create.js";
export { Qcow2Image } from "./image/image.js";
export { openQcow2 } from "./image/open.js";
export type { ResizeOptions } from "./image/resize.js";
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
export { inspectQcow2 } from "./inspect/index.js";
export { keepOpen } from "./keep-open.js";
export type { LuksDiskCreateOptions, LuksOpenOptions } from "./luks-disk.js";
export { createLuks, LuksDisk, measureLuks, openLuks } from "./luks-disk.js";
export { MemoryFile } from "./memory-file.js";
export type { AmendOptions } from "./operations/amend.js";
export type { CommitOptions, RebaseOptions } from "./operations/commit.js";
export { commit, rebase } from "./operations/commit.js";
export type { CompareOptions, CompareResult } from "./operations/compare.js";
export { compare } from "./operations/compare.js";
export type { ConvertOptions } from "./operations/convert.js";
export { convert } from "./operations/convert.js";
export { map } from "./operations/map.js";
export type { Measurement } from "./operations/measure.js";
export { measureQcow2 } from "./operations/measure.js";
export type { AesCipher, ClusterCodec, CryptoProvider, HashName, Platform } from "./platform.js";
export { portablePlatform } from "./portable-platform.js";
export type { ImageFormat } from "./probe.js";
export { probeFormat } from "./probe.js";
export type { RawOpenOptions } from "./raw/raw-disk.js";
export { createRaw, openRaw, RawDisk } from "./raw/raw-disk.js";
