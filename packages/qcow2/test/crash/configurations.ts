import {
  createQcow2,
  type Disk,
  keepOpen,
  MemoryFile,
  openQcow2,
  openRaw,
  type Platform,
  portablePlatform,
  type Qcow2CreateOptions,
  type Qcow2Image,
  type Qcow2OpenOptions,
  type RandomAccessFile,
} from "../../src/index.js";
import { nodePlatform } from "../../src/node/index.js";
import { SECTOR } from "./scratch-file.js";

export type StepKind =
  | "write"
  | "zero"
  | "discard"
  | "compressed"
  | "flush"
  | "reopen"
  | "grow"
  | "shrink"
  | "snapshot"
  | "apply"
  | "delete"
  | "bitmap"
  | "commit"
  | "amend"
  | "rebase"
  | "state";

/** A kind of image and of work. */
export interface Configuration {
  readonly name: string;
  readonly create: Omit<Qcow2CreateOptions, "size" | "dataFile" | "backing">;
  /** Sectors of the disk at first, and at most. */
  readonly sectors: number;
  readonly limit: number;
  /** A second recorded file: the external data file, or a qcow2 image below this one, to commit into. */
  readonly second?: "data" | "raw-data" | "base";
  /** A raw backing file that nobody writes; a rebase changes to another one, or to none. */
  readonly backing?: boolean;
  /** Clusters in use by nobody, so that the refcount table is nearly full. */
  readonly leaked?: number;
  /** How likely each step is. */
  readonly steps: Partial<Record<StepKind, number>>;
  /** Share of the states that a run of normal length examines; costly formats get less (default 1). */
  readonly share?: number;
  /** Every how manieth moment of the log is examined (default 1: every one). */
  readonly stride?: number;
  readonly lazy?: boolean;
}

const plain = { write: 8, zero: 2, discard: 2, flush: 3, reopen: 1 };
const everything = {
  ...plain,
  compressed: 2,
  grow: 1,
  shrink: 1,
  snapshot: 1,
  apply: 1,
  delete: 1,
  bitmap: 2,
  state: 0,
};
const noSnapshots = { ...plain, grow: 1, shrink: 1, bitmap: 1 };
const small = { sectors: 150, limit: 230 };

export const configurations: readonly Configuration[] = [
  { name: "512-byte clusters", create: { clusterSize: 512 }, ...small, steps: everything },
  {
    name: "1 KiB clusters, version 2",
    create: { version: 2, clusterSize: 1024 },
    ...small,
    steps: { ...everything, bitmap: 0 },
  },
  { name: "4 KiB clusters", create: { clusterSize: 4096 }, sectors: 400, limit: 600, steps: everything },
  { name: "64 KiB clusters", create: {}, sectors: 900, limit: 1600, steps: everything, share: 0.34 },
  ...([1, 2, 4, 8, 32, 64] as const).map((refcountBits) => ({
    name: `${refcountBits}-bit refcounts`,
    create: { clusterSize: refcountBits > 4 ? 512 : 1024, refcountBits },
    ...small,
    steps: everything,
    share: 0.6,
  })),
  {
    name: "refcount table that grows",
    create: { clusterSize: 512, refcountBits: 64 },
    ...small,
    leaked: 3950,
    steps: { ...everything, write: 12, snapshot: 2 },
    share: 0.25,
  },
  {
    name: "lazy refcounts",
    create: { clusterSize: 1024, lazyRefcounts: true },
    ...small,
    steps: everything,
    lazy: true,
  },
  {
    name: "extended L2 entries",
    create: { clusterSize: 16384, extendedL2: true },
    sectors: 500,
    limit: 800,
    steps: everything,
    share: 0.5,
  },
  {
    name: "overlay with extended L2 entries",
    create: { clusterSize: 16384, extendedL2: true },
    sectors: 500,
    limit: 800,
    backing: true,
    steps: everything,
    share: 0.5,
  },
  { name: "overlay", create: { clusterSize: 1024 }, ...small, backing: true, steps: everything },
  {
    name: "overlay, version 2",
    create: { version: 2, clusterSize: 512 },
    ...small,
    backing: true,
    steps: { ...everything, bitmap: 0, discard: 0 },
    share: 0.6,
  },
  {
    name: "commit into the backing image",
    create: { clusterSize: 1024 },
    ...small,
    second: "base",
    steps: { ...plain, compressed: 2, grow: 1, shrink: 1, bitmap: 1, commit: 2 },
  },
  {
    name: "amend",
    create: { clusterSize: 512 },
    ...small,
    steps: { ...everything, bitmap: 1, amend: 8 },
    lazy: true,
  },
  {
    name: "amend with an external data file",
    create: { clusterSize: 1024 },
    ...small,
    second: "raw-data",
    steps: { ...noSnapshots, amend: 4 },
    lazy: true,
    share: 0.6,
  },
  {
    name: "rebase",
    create: { clusterSize: 1024 },
    ...small,
    backing: true,
    steps: { ...plain, grow: 1, shrink: 1, bitmap: 1, compressed: 2, rebase: 4 },
    share: 0.6,
  },
  {
    name: "rebase with extended L2 entries",
    create: { clusterSize: 16384, extendedL2: true },
    ...small,
    backing: true,
    steps: { ...plain, grow: 1, shrink: 1, rebase: 4 },
    share: 0.3,
  },
  {
    name: "machine state",
    create: { clusterSize: 512 },
    ...small,
    steps: { ...plain, grow: 3, shrink: 2, snapshot: 2, apply: 3, delete: 1, state: 4 },
    share: 0.6,
  },
  { name: "external data file", create: { clusterSize: 512 }, ...small, second: "data", steps: noSnapshots },
  {
    name: "raw external data file",
    create: { clusterSize: 1024 },
    ...small,
    second: "raw-data",
    steps: noSnapshots,
    share: 0.6,
  },
  {
    name: "zstd",
    create: { clusterSize: 2048, compressionType: "zstd" },
    ...small,
    steps: { ...everything, compressed: 8 },
    share: 0.4,
  },
  {
    name: "preallocated metadata",
    create: { clusterSize: 512, preallocation: "metadata" },
    ...small,
    steps: everything,
    share: 0.6,
  },
  {
    name: "AES",
    create: { clusterSize: 1024, encryption: { format: "aes", passphrase: "secret" } },
    ...small,
    steps: { ...everything, compressed: 0 },
    share: 0.4,
  },
  {
    name: "LUKS",
    create: { clusterSize: 4096, encryption: { format: "luks", passphrase: "secret", iterTime: 1 } },
    ...small,
    steps: { ...everything, compressed: 0 },
    share: 0.001,
    stride: 60,
  },
];

/** Raw backing files: their names, sectors and the number that sector 0 holds. One is shorter than the disk may become. */
const BACKING_FILES = [
  { name: "base.raw", sectors: 180, first: 0xb000_0000 },
  { name: "other.raw", sectors: 215, first: 0xc000_0000 },
] as const;

/** Sector `index` of the backing file at first holds this number. */
export function backingValue(configuration: Configuration, sector: number): number {
  const { sectors, first } = BACKING_FILES[0];
  return configuration.backing === true && sector < sectors ? first + sector : 0;
}

/** The raw backing files by name. */
export const backingContents: ReadonlyMap<string, Uint8Array> = new Map(
  BACKING_FILES.map(({ name, sectors, first }) => {
    const words = new Uint32Array((sectors * SECTOR) / 4);
    for (let i = 0; i < words.length; i++) words[i] = first + Math.floor((i * 4) / SECTOR);
    return [name, new Uint8Array(words.buffer)];
  }),
);

/** Compression without the thread pool, whose turns would cost more than the work on such small clusters. */
const platform: Platform = { ...portablePlatform, crypto: () => nodePlatform.crypto() };

const rawBackings = new Map([...backingContents].map(([name, content]) => [name, new MemoryFile(name, content)]));

export async function openBackingFile(name: string): Promise<Disk> {
  return openRaw(keepOpen(rawBackings.get(name)!), { readOnly: true });
}

/** The backing file as the header names it at first. */
export function backingName({ backing, second }: Configuration): { name: string; format: string } | undefined {
  if (backing === true) return { name: "base.raw", format: "raw" };
  return second === "base" ? { name: "second", format: "qcow2" } : undefined;
}

/** Names of backing files that the header may have; undefined is none. */
export function backingNames(configuration: Configuration): (string | undefined)[] {
  if ((configuration.steps.rebase ?? 0) > 0) return [undefined, ...rawBackings.keys()];
  return [backingName(configuration)?.name];
}

export async function createImages(configuration: Configuration, files: readonly RandomAccessFile[]): Promise<void> {
  const { create, second, sectors } = configuration;
  const size = sectors * SECTOR;
  if (second === "base") await createQcow2(files[1], { size, clusterSize: 512 });
  await createQcow2(files[0], {
    ...create,
    size,
    platform,
    dataFile:
      second === "data" || second === "raw-data"
        ? { file: files[1], name: "second", raw: second === "raw-data" }
        : undefined,
    backing: backingName(configuration),
  });
}

export interface Opened {
  readonly image: Qcow2Image;
  /** The image below, open for writing, when work commits into it. */
  readonly base: Qcow2Image | undefined;
}

export async function openImages(
  configuration: Configuration,
  files: readonly RandomAccessFile[],
  options: Qcow2OpenOptions = {},
): Promise<Opened> {
  const { create, second } = configuration;
  let base: Qcow2Image | undefined;
  let backing: Qcow2OpenOptions["backing"];
  if (second === "base") {
    backing = base = await openQcow2(keepOpen(files[1]), { readOnly: options.readOnly });
  } else if (configuration.backing === true) {
    backing = ({ name }) => openBackingFile(name);
  }
  const image = await openQcow2(files[0], {
    ...options,
    platform,
    passphrase: create.encryption?.passphrase,
    backing,
    dataFile: second === "data" || second === "raw-data" ? keepOpen(files[1]) : undefined,
  });
  return { image, base };
}
