import { Errno, TransmissionFlag } from "../protocol.js";

/** A run of bytes with the same status, in the order of the disk. */
export interface Extent {
  /** Bytes. */
  length: number;
  /** Flags of the metadata context; for `base:allocation` {@link StateFlag}. */
  flags: number;
}

/**
 * The disk an export needs. Ranges are inside `size`; calls may overlap in time.
 * Without `write` the export is read-only.
 */
export interface NbdDisk {
  /** Bytes. */
  readonly size: number;
  /** Fills `target` from `offset`. */
  read(offset: number, target: Uint8Array): Promise<void>;
  write?(offset: number, data: Uint8Array): Promise<void>;
  /** Makes every completed write durable. */
  flush?(): Promise<void>;
  /** Gives the range up; it may read as anything afterwards. */
  trim?(offset: number, length: number): Promise<void>;
  /** Makes the range read as zeros; `mayTrim` allows a hole. Rejecting `fast` with `ENOTSUP` means: no faster than writing. */
  writeZeroes?(offset: number, length: number, options: { mayTrim: boolean; fast: boolean }): Promise<void>;
  /** Extents from `offset`, covering any non-empty part of the range. */
  blockStatus?(offset: number, length: number): Promise<Extent[]>;
}

/** A disk offered under a name. */
export interface NbdExport {
  /** At most 4096 bytes of UTF-8; the empty name is the default export. */
  readonly name: string;
  readonly description?: string;
  readonly disk: NbdDisk;
  /** Refuse writes even though the disk has `write`. */
  readonly readOnly?: boolean;
  /** Whether clients may use several connections at once (default true). One disk object serves all of them. */
  readonly multiConn?: boolean;
  /** Further metadata contexts by name, for example `qemu:dirty-bitmap:b0`. */
  readonly contexts?: Readonly<Record<string, (offset: number, length: number) => Promise<Extent[]>>>;
  /** Preferred block size, bytes; 4096 unless given. */
  readonly preferredBlockSize?: number;
}

/** Whether the export accepts writes. */
export const isWritable = (target: NbdExport): boolean => !target.readOnly && target.disk.write !== undefined;

/** The transmission flags of an export. */
export function transmissionFlags(target: NbdExport, structured: boolean): number {
  let flags =
    TransmissionFlag.HAS_FLAGS | TransmissionFlag.SEND_FLUSH | TransmissionFlag.SEND_FUA | TransmissionFlag.SEND_CACHE;
  // One disk object serves every connection, so a flush on one covers the writes of all.
  if (target.multiConn !== false) flags |= TransmissionFlag.CAN_MULTI_CONN;
  if (structured) flags |= TransmissionFlag.SEND_DF;
  if (!isWritable(target)) return flags | TransmissionFlag.READ_ONLY;
  flags |= TransmissionFlag.SEND_WRITE_ZEROES;
  if (target.disk.trim) flags |= TransmissionFlag.SEND_TRIM;
  if (target.disk.writeZeroes) flags |= TransmissionFlag.SEND_FAST_ZERO;
  return flags;
}

/** The wire's error number for what a disk threw: by Node's error codes, else `EIO`. */
export function errnoOf(error: unknown): number {
  const { code } = (error ?? {}) as { code?: unknown };
  switch (code) {
    case "EPERM":
    case "EACCES":
    case "EROFS":
    case "readonly":
      return Errno.EPERM;
    case "ENOSPC":
    case "EDQUOT":
    case "EFBIG":
      return Errno.ENOSPC;
    case "ENOMEM":
      return Errno.ENOMEM;
    case "EINVAL":
    case "range":
      return Errno.EINVAL;
    case "ENOTSUP":
    case "EOPNOTSUPP":
      return Errno.ENOTSUP;
    default:
      return Errno.EIO;
  }
}
