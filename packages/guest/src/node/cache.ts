import { createHash, randomBytes } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { defaultEntries } from "../default-guest.js";
import { GuestError } from "../errors.js";
import { createInitramfs } from "../initramfs.js";
import type { Guest, GuestArchitecture, GuestPackage } from "./types.js";

/** What a guest's directory holds besides its files. */
interface Manifest {
  architecture: GuestArchitecture;
  kernelVersion: string;
  commandLine: string;
  packages: GuestPackage[];
  /** SHA-256 of the two files, so that a damaged cache is noticed. */
  kernelSha256: string;
  initrdSha256: string;
}

export const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** `$XDG_CACHE_HOME/softmetal`, or `~/.cache/softmetal` (XDG Base Directory Specification). */
export function defaultCacheDirectory(): string {
  const base = process.env.XDG_CACHE_HOME;
  // The specification says that relative paths are to be ignored.
  return join(base?.startsWith("/") ? base : join(homedir(), ".cache"), "softmetal");
}

/** A guest made by another version of this package has another /init or layout, so that its name differs. */
const FORMAT = sha256(createInitramfs(defaultEntries(new Uint8Array()))).slice(0, 8);

const directoryOf = (cache: string, architecture: GuestArchitecture) =>
  join(cache, "guests", `${architecture}-${FORMAT}`);

/** The cached guest, or `undefined` when there is none that is whole. */
export async function readCachedGuest(cache: string, architecture: GuestArchitecture): Promise<Guest | undefined> {
  const directory = directoryOf(cache, architecture);
  const kernel = join(directory, "kernel");
  const initrd = join(directory, "initrd");
  try {
    const manifest: Manifest = JSON.parse(await readFile(join(directory, "guest.json"), "utf8"));
    if (sha256(await readFile(kernel)) !== manifest.kernelSha256) return undefined;
    if (sha256(await readFile(initrd)) !== manifest.initrdSha256) return undefined;
    const { kernelVersion, commandLine, packages } = manifest;
    return { architecture, kernelVersion, kernel, initrd, commandLine, packages };
  } catch {
    // Missing or unreadable: it is obtained again, and a real obstacle shows when it is written.
    return undefined;
  }
}

/** Writes a guest under a temporary name and renames it into place, so that a reader never sees half of one. */
export async function writeCachedGuest(
  cache: string,
  guest: Omit<Guest, "kernel" | "initrd"> & { kernel: Uint8Array; initrd: Uint8Array },
): Promise<Guest> {
  const directory = directoryOf(cache, guest.architecture);
  const { kernel, initrd, ...described } = guest;
  const unique = `${process.pid}-${randomBytes(4).toString("hex")}`;
  const temporary = `${directory}.new-${unique}`;
  const old = `${directory}.old-${unique}`;
  try {
    await mkdir(temporary, { recursive: true });
    const manifest: Manifest = { ...described, kernelSha256: sha256(kernel), initrdSha256: sha256(initrd) };
    await writeFile(join(temporary, "kernel"), kernel);
    await writeFile(join(temporary, "initrd"), initrd);
    await writeFile(join(temporary, "guest.json"), `${JSON.stringify(manifest, undefined, 2)}\n`);
    await rename(directory, old).catch(ignoreMissing);
    await rename(temporary, directory).catch(async (error: NodeJS.ErrnoException) => {
      // Somebody else put the same guest there a moment ago.
      if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
    });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new GuestError("file-failed", `The guest cannot be stored in ${cache}: ${reason}.`, { cause: error });
  } finally {
    await Promise.all([temporary, old].map((path) => rm(path, { recursive: true, force: true })));
  }
  return { ...described, kernel: join(directory, "kernel"), initrd: join(directory, "initrd") };
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== "ENOENT") throw error;
}
