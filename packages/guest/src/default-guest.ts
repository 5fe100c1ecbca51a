import { debControl, debFiles } from "./deb.js";
import { GuestError } from "./errors.js";
import { initScript, profile } from "./init-script.js";
import { createInitramfs, type InitramfsEntry } from "./initramfs.js";

/** A kernel file, however it was obtained. */
export interface KernelFile {
  /** For example `6.1.0-42-cloud-amd64`; empty when not known. */
  version: string;
  image: Uint8Array;
}

/** Largest kernel image and busybox that are believed. */
const KERNEL_LIMIT = 256 * 2 ** 20;
const BUSYBOX_LIMIT = 64 * 2 ** 20;

/**
 * Takes the kernel image (`/boot/vmlinuz-*`) out of a Debian kernel package.
 * @throws GuestError `bad-package` and those of `debFiles`
 */
export async function kernelFromDeb(deb: Uint8Array): Promise<KernelFile> {
  for await (const entry of debFiles(deb)) {
    const version = /^boot\/vmlinuz-(.+)$/.exec(entry.path)?.[1];
    if (version !== undefined && entry.kind === "file") return { version, image: await entry.read(KERNEL_LIMIT) };
  }
  const name = (await debControl(deb)).get("package") ?? "the package";
  throw new GuestError("bad-package", `${name} contains no kernel image (/boot/vmlinuz-*).`);
}

/**
 * Takes the busybox program out of Debian's `busybox-static`.
 * @throws GuestError `bad-package` and those of `debFiles`
 */
export async function busyboxFromDeb(deb: Uint8Array): Promise<Uint8Array> {
  for await (const entry of debFiles(deb)) {
    if (/^(usr\/)?bin\/busybox$/.test(entry.path) && entry.kind === "file") return await entry.read(BUSYBOX_LIMIT);
  }
  throw new GuestError("bad-package", "The busybox package contains no /bin/busybox.");
}

/**
 * The initramfs of the default guest: a static busybox, `/init`, and what they need before `/dev` is mounted.
 * @param more Further entries, such as kernel modules.
 * @throws GuestError `bad-package`, `bad-entry`
 */
export function defaultInitramfs(busybox: Uint8Array, more: readonly InitramfsEntry[] = []): Uint8Array {
  checkStatic(busybox);
  return createInitramfs([...defaultEntries(busybox), ...more]);
}

/** What is in the default initramfs, in order. */
export function defaultEntries(busybox: Uint8Array): InitramfsEntry[] {
  return [
    { kind: "file", path: "init", mode: 0o755, data: initScript },
    { kind: "file", path: "bin/busybox", mode: 0o755, data: busybox },
    { kind: "symlink", path: "bin/sh", target: "busybox" },
    ...["sbin", "usr/bin", "usr/sbin", "etc", "dev", "proc", "sys", "run"].map(
      (path): InitramfsEntry => ({ kind: "directory", path }),
    ),
    { kind: "directory", path: "tmp", mode: 0o1777 },
    { kind: "directory", path: "root", mode: 0o700 },
    { kind: "file", path: "etc/profile", data: profile },
    { kind: "file", path: "etc/passwd", data: "root::0:0:root:/:/bin/sh\n" },
    { kind: "file", path: "etc/group", data: "root:x:0:\n" },
    // The kernel opens the console for /init before anything is mounted on /dev.
    { kind: "device", path: "dev/console", type: "character", major: 5, minor: 1 },
    { kind: "device", path: "dev/null", type: "character", major: 1, minor: 3, mode: 0o666 },
  ];
}

/** A busybox with a program interpreter would need libraries, and the guest would panic without saying why. */
function checkStatic(busybox: Uint8Array): void {
  const elf = busybox.length >= 64 && busybox[0] === 0x7f && busybox[1] === 0x45;
  if (!elf) throw new GuestError("bad-package", "The busybox given is not an ELF program.");
  const view = new DataView(busybox.buffer, busybox.byteOffset, busybox.byteLength);
  const is64 = busybox[4] === 2;
  const offset = is64 ? Number(view.getBigUint64(32, true)) : view.getUint32(28, true);
  const size = view.getUint16(is64 ? 54 : 42, true);
  const count = view.getUint16(is64 ? 56 : 44, true);
  const PT_INTERP = 3;
  for (let i = 0; i < count; i++) {
    const at = offset + i * size;
    if (at + 4 > busybox.length) throw new GuestError("bad-package", "The busybox given is truncated.");
    if (view.getUint32(at, true) === PT_INTERP) {
      throw new GuestError("bad-package", "The busybox given is not static; Debian's package busybox-static has one.");
    }
  }
}
