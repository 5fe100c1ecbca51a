export type GuestErrorCode =
  /** An archive (ar, tar, cpio) does not follow its format, or is truncated. */
  | "bad-archive"
  /** Compressed data is damaged, or uses a method that is not supported. */
  | "bad-compression"
  /** A Debian package or package list lacks something that it must have. */
  | "bad-package"
  /** Input or output exceeds a limit given by the caller. */
  | "too-large"
  /** An initramfs entry is not acceptable. */
  | "bad-entry"
  /** The host has no apt-get, or it failed. */
  | "apt-failed"
  /** No package list offers the package. */
  | "no-package"
  /** A download failed. */
  | "download-failed"
  /** Downloaded bytes do not have the announced SHA-256. */
  | "checksum-mismatch"
  /** The caller's signal ended it. */
  | "cancelled"
  /** A file given by the caller, or the cache, cannot be read or written. */
  | "file-failed";

/** Every failure that this package reports. The message is one sentence: what is wrong and, where possible, what to do. */
export class GuestError extends Error {
  override readonly name = "GuestError";
  constructor(
    readonly code: GuestErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
