import { concatenate } from "./byte-reader.js";

/** An entry as cpio stores it. */
export interface CpioEntry {
  path: string;
  /** File type and permission bits, as in `st_mode`. */
  mode: number;
  data: Uint8Array;
  /** Device numbers, for device nodes. */
  rdevMajor: number;
  rdevMinor: number;
  links: number;
}

const TRAILER: CpioEntry = {
  path: "TRAILER!!!",
  mode: 0,
  data: new Uint8Array(),
  rdevMajor: 0,
  rdevMinor: 0,
  links: 1,
};

/**
 * Writes a cpio archive in the "newc" format, the one that Linux unpacks as an initramfs
 * (Linux, Documentation/driver-api/early-userspace/buffer-format.rst). All owners are root and all times 0, so that equal
 * entries give equal bytes.
 */
export function writeCpio(entries: readonly CpioEntry[]): Uint8Array {
  const parts: Uint8Array[] = [];
  let at = 0;
  const push = (part: Uint8Array) => {
    parts.push(part);
    at += part.length;
    const padding = (4 - (at % 4)) % 4;
    if (padding > 0) parts.push(new Uint8Array(padding));
    at += padding;
  };
  [...entries, TRAILER].forEach((entry, i) => {
    const name = new TextEncoder().encode(`${entry.path}\0`);
    const fields = [
      entry === TRAILER ? 0 : i + 1, // ino
      entry.mode,
      0, // uid
      0, // gid
      entry.links,
      0, // mtime
      entry.data.length,
      0, // devmajor
      0, // devminor
      entry.rdevMajor,
      entry.rdevMinor,
      name.length,
      0, // check
    ];
    const header = `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`;
    push(concatenate([new TextEncoder().encode(header), name]));
    push(entry.data);
  });
  return concatenate(parts);
}
