import { readFile } from "node:fs/promises";
import { debControl } from "../deb.js";
import { busyboxFromDeb, defaultInitramfs, type KernelFile, kernelFromDeb } from "../default-guest.js";
import { GuestError } from "../errors.js";
import { aptSource } from "./apt.js";
import { defaultCacheDirectory, readCachedGuest, sha256, writeCachedGuest } from "./cache.js";
import { mirrorSource } from "./mirror.js";
import type {
  FetchedPackage,
  Guest,
  GuestArchitecture,
  GuestPackage,
  ObtainOptions,
  PackageSource,
  SourceContext,
} from "./types.js";

/**
 * Kernel packages by preference: Debian's small cloud kernel, then what relatives call theirs. All are meta packages
 * which depend on the package of the current version.
 */
const KERNELS: Record<GuestArchitecture, readonly string[]> = {
  amd64: ["linux-image-cloud-amd64", "linux-image-amd64", "linux-image-virtual", "linux-image-generic"],
  i386: ["linux-image-686", "linux-image-686-pae", "linux-image-generic"],
};
const BUSYBOX = ["busybox-static"];
/** How many meta packages may lead to each other. */
const META_DEPTH = 4;

const COMMAND_LINE = "console=ttyS0";

/**
 * Gives the default guest, from the cache or from its source.
 * @throws GuestError
 */
export async function obtainGuest(options: ObtainOptions = {}): Promise<Guest> {
  const architecture = options.architecture ?? "amd64";
  const source = options.source ?? { kind: "apt" };
  const context: SourceContext = {
    architecture,
    cacheDirectory: options.cacheDirectory ?? defaultCacheDirectory(),
    onProgress: options.onProgress ?? (() => {}),
    signal: options.signal,
  };
  // Files were named on purpose, so that something older in the cache must not win.
  if (!options.refresh && source.kind !== "files") {
    const cached = await readCachedGuest(context.cacheDirectory, architecture);
    if (cached) return cached;
  }
  if (source.kind === "files") {
    const kernel = await readInput(source.kernel);
    const busybox = await readInput(source.busybox);
    return make(context, kernel, busybox);
  }
  const packages = await (source.kind === "apt" ? aptSource(context) : mirrorSource(context, source));
  try {
    const kernel = await packages.fetch(await findKernel(packages, architecture));
    const busybox = await packages.fetch((await packages.find(BUSYBOX)).name);
    return await make(context, kernel, busybox);
  } finally {
    await packages.dispose();
  }
}

/** Follows meta packages to the one that contains the kernel. */
async function findKernel(packages: PackageSource, architecture: GuestArchitecture): Promise<string> {
  let found = await packages.find(KERNELS[architecture]);
  for (let depth = 0; depth < META_DEPTH; depth++) {
    // A package of a kernel version depends on modules and tools, a meta package on another linux-image.
    const next = found.depends.find((name) => name.startsWith("linux-image-"));
    if (next === undefined) break;
    found = await packages.find([next]);
  }
  return found.name;
}

async function make(context: SourceContext, kernelInput: FetchedPackage, busyboxInput: FetchedPackage): Promise<Guest> {
  context.onProgress({ stage: "unpack", package: kernelInput.name });
  const kernel: KernelFile = isDeb(kernelInput.bytes)
    ? await kernelFromDeb(kernelInput.bytes)
    : { version: "", image: kernelInput.bytes };
  context.onProgress({ stage: "unpack", package: busyboxInput.name });
  const busybox = isDeb(busyboxInput.bytes) ? await busyboxFromDeb(busyboxInput.bytes) : busyboxInput.bytes;
  context.onProgress({ stage: "pack" });
  const guest = await writeCachedGuest(context.cacheDirectory, {
    architecture: context.architecture,
    kernelVersion: kernel.version,
    commandLine: COMMAND_LINE,
    packages: [await describe(kernelInput), await describe(busyboxInput)],
    kernel: kernel.image,
    initrd: defaultInitramfs(busybox),
  });
  context.onProgress({ stage: "done" });
  return guest;
}

async function describe({ name, bytes }: FetchedPackage): Promise<GuestPackage> {
  const control = isDeb(bytes) ? await debControl(bytes) : undefined;
  return { name: control?.get("package") ?? name, version: control?.get("version") ?? "", sha256: sha256(bytes) };
}

const isDeb = (bytes: Uint8Array) => new TextDecoder("latin1").decode(bytes.subarray(0, 8)) === "!<arch>\n";

async function readInput(path: string): Promise<FetchedPackage> {
  try {
    return { name: path, bytes: await readFile(path) };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new GuestError("file-failed", `${path} cannot be read: ${reason}.`, { cause: error });
  }
}
