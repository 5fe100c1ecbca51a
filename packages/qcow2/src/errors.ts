/** What went wrong. The union is closed: a program can switch over it. */
export type Qcow2ErrorCode =
  /** The file is not an image of the expected format. */
  | "not-an-image"
  /** An incompatible feature bit, version or method that this library does not know. */
  | "unsupported"
  /** A structure contradicts the format or points outside of what is possible. */
  | "corrupt"
  /** A structure is larger than the limits this library (like QEMU) accepts. */
  | "too-large"
  /** The caller passed a value outside of its range. */
  | "invalid-argument"
  /** A write to something opened read-only. */
  | "read-only"
  /** A request beyond the end of the disk. */
  | "out-of-range"
  /** A snapshot, bitmap, key slot or backing file that does not exist. */
  | "not-found"
  /** A snapshot or bitmap of that name exists already. */
  | "exists"
  /** The image is encrypted and no passphrase was given. */
  | "passphrase-required"
  /** No key slot opens with the passphrase. */
  | "wrong-passphrase"
  /** The operation does not fit the state of the image (for example: shrinking below its snapshots). */
  | "conflict"
  /** Used after close. */
  | "closed"
  /** The underlying file failed; `cause` holds its error. */
  | "io"
  /** An operation was cancelled through its signal. */
  | "aborted";

/** Where an error happened. */
export interface ErrorLocation {
  /** Name of the file, as given by its `RandomAccessFile`. */
  readonly file?: string;
  /** The structure, in the words of the specification: "L1 table", "refcount block", ... */
  readonly structure?: string;
  /** Byte offset in the file. */
  readonly offset?: number;
}

/** Every error this package throws on purpose. */
export class Qcow2Error extends Error {
  override readonly name = "Qcow2Error";
  readonly code: Qcow2ErrorCode;
  readonly file?: string;
  readonly structure?: string;
  readonly offset?: number;
  /** The message without the location. */
  readonly reason: string;

  constructor(code: Qcow2ErrorCode, reason: string, where: ErrorLocation = {}, options?: { cause?: unknown }) {
    const parts = [
      where.structure,
      where.offset === undefined ? undefined : `at offset 0x${where.offset.toString(16)}`,
      where.file === undefined ? undefined : `in ${where.file}`,
    ].filter((part) => part !== undefined);
    super(parts.length > 0 ? `${reason} (${parts.join(" ")})` : reason, options);
    this.code = code;
    this.reason = reason;
    this.file = where.file;
    this.structure = where.structure;
    this.offset = where.offset;
  }
}

/**
 * Runs `action` and says of errors that do not know the file where they happened; an offset they know is one from the
 * start of the structure.
 */
export function located<T>(where: ErrorLocation, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof Qcow2Error) || error.file !== undefined) throw error;
    const offset = where.offset === undefined ? error.offset : where.offset + (error.offset ?? 0);
    throw new Qcow2Error(error.code, error.reason, { ...where, offset }, { cause: error.cause });
  }
}
