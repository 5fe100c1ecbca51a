import { concatenate } from "./byte-reader.js";
import { type CpioEntry, writeCpio } from "./cpio.js";
import { GuestError } from "./errors.js";

/** Something to be in an initramfs. Paths are absolute or relative to its root; parents are made as needed. */
export type InitramfsEntry =
  | { kind: "file"; path: string; data: Uint8Array | string /** Default 0644. */; mode?: number }
  | { kind: "directory"; path: string /** Default 0755. */; mode?: number }
  | { kind: "symlink"; path: string; target: string }
  | {
      kind: "device";
      path: string;
      type: "character" | "block";
      major: number;
      minor: number;
      /** Default 0600. */
      mode?: number;
    };

/** File types in `st_mode` (inode(7)). */
const S_IFDIR = 0o040000;
const S_IFCHR = 0o020000;
const S_IFBLK = 0o060000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;

/**
 * Builds an initramfs (an uncompressed cpio archive, which every kernel takes).
 * @throws GuestError `bad-entry`
 */
export function createInitramfs(entries: readonly InitramfsEntry[]): Uint8Array {
  const made = new Map<string, CpioEntry>();
  for (const entry of entries) {
    const path = cleanPath(entry.path);
    const parents = path.split("/").slice(0, -1);
    parents.forEach((_, i) => {
      const parent = parents.slice(0, i + 1).join("/");
      const known = made.get(parent);
      if (!known) made.set(parent, encode({ kind: "directory", path: parent }, parent));
      else if ((known.mode & 0o170000) !== S_IFDIR) {
        throw new GuestError("bad-entry", `The initramfs entry ${path} lies inside ${parent}, which is no directory.`);
      }
    });
    if (made.has(path)) {
      if (entry.kind === "directory" && (made.get(path)!.mode & 0o170000) === S_IFDIR) {
        made.get(path)!.mode = encode(entry, path).mode;
        continue;
      }
      throw new GuestError("bad-entry", `The initramfs entry ${path} was given twice.`);
    }
    made.set(path, encode(entry, path));
  }
  return writeCpio([...made.values()]);
}

/** Compresses an initramfs with gzip, for kernels built with CONFIG_RD_GZIP. It boots slower than an uncompressed one. */
export async function gzip(bytes: Uint8Array): Promise<Uint8Array> {
  const stream = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream().pipeThrough(new CompressionStream("gzip"));
  const parts: Uint8Array[] = [];
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return concatenate(parts);
    parts.push(value);
  }
}

function encode(entry: InitramfsEntry, path: string): CpioEntry {
  const make = (mode: number, data = new Uint8Array(), rdevMajor = 0, rdevMinor = 0, links = 1): CpioEntry => ({
    path,
    mode,
    data,
    rdevMajor,
    rdevMinor,
    links,
  });
  const permissions = (fallback: number) => {
    const mode = ("mode" in entry ? entry.mode : undefined) ?? fallback;
    if (!Number.isInteger(mode) || mode < 0 || mode > 0o7777) {
      throw new GuestError("bad-entry", `The mode of the initramfs entry ${path} is not between 0 and 07777.`);
    }
    return mode;
  };
  switch (entry.kind) {
    case "file":
      return make(
        S_IFREG | permissions(0o644),
        typeof entry.data === "string" ? new TextEncoder().encode(entry.data) : (entry.data as Uint8Array<ArrayBuffer>),
      );
    case "directory":
      return make(S_IFDIR | permissions(0o755), undefined, 0, 0, 2);
    case "symlink":
      return make(S_IFLNK | 0o777, new TextEncoder().encode(entry.target));
    case "device":
      if (![entry.major, entry.minor].every((n) => Number.isInteger(n) && n >= 0 && n <= 0xfffff)) {
        throw new GuestError("bad-entry", `The device numbers of the initramfs entry ${path} are not acceptable.`);
      }
      return make(
        (entry.type === "block" ? S_IFBLK : S_IFCHR) | permissions(0o600),
        undefined,
        entry.major,
        entry.minor,
      );
  }
}

function cleanPath(path: string): string {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.length === 0 || parts.includes("..") || path.includes("\0")) {
    throw new GuestError("bad-entry", `${JSON.stringify(path)} is not a path inside an initramfs.`);
  }
  return parts.join("/");
}
