/** Processor architecture of a guest, with Debian's names. */
export type GuestArchitecture = "amd64" | "i386";

/** Where the default guest's kernel and busybox come from. */
export type GuestSource =
  /** The package archives that this Debian system (or a relative) is set up for. */
  | { kind: "apt" }
  /** A Debian mirror. `suite` is a release name or `stable`; the default is `bookworm`, the last with 32-bit kernels. */
  | { kind: "mirror"; url: string; suite?: string }
  /** Files: a kernel (package or image) and busybox (package or static program). */
  | { kind: "files"; kernel: string; busybox: string };

/** What `obtainGuest` is doing. Sizes are in bytes. */
export type GuestProgress =
  | { stage: "lists"; message: string }
  | { stage: "download"; package: string; received: number; total?: number }
  | { stage: "unpack"; package: string }
  | { stage: "pack" }
  | { stage: "done" };

/** A package that a guest was made of. */
export interface GuestPackage {
  name: string;
  version: string;
  /** Of the package file, or of the file given. */
  sha256: string;
}

/** A guest which is ready to boot. */
export interface Guest {
  architecture: GuestArchitecture;
  /** For example `6.1.0-42-cloud-amd64`; empty when not known. */
  kernelVersion: string;
  /** Paths of the files. */
  kernel: string;
  initrd: string;
  /** Kernel command line for a serial console. */
  commandLine: string;
  packages: GuestPackage[];
}

export interface ObtainOptions {
  /** Default `amd64`. */
  architecture?: GuestArchitecture;
  /** Default: apt. */
  source?: GuestSource;
  /** Directory of the cache. Default: `softmetal` in the XDG cache directory. */
  cacheDirectory?: string;
  /** Obtain it again even when it is in the cache. */
  refresh?: boolean;
  onProgress?: (progress: GuestProgress) => void;
  signal?: AbortSignal;
}

/** A package file in memory. */
export interface FetchedPackage {
  name: string;
  bytes: Uint8Array;
}

/** What every source offers. */
export interface PackageSource {
  /** The first of the named packages that the source has, with its dependencies. */
  find(candidates: readonly string[]): Promise<{ name: string; depends: string[] }>;
  fetch(name: string): Promise<FetchedPackage>;
  /** Frees what the source made on the disk. */
  dispose(): Promise<void>;
}

export interface SourceContext {
  architecture: GuestArchitecture;
  cacheDirectory: string;
  onProgress: (progress: GuestProgress) => void;
  signal?: AbortSignal;
}
