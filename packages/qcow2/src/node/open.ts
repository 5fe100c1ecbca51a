import { existsSync } from "node:fs";
import { dirname, isAbsolute, resolve } from "node:path";
import { parseBackingName } from "../backing-name.js";
import type { Disk } from "../disk.js";
import { Qcow2Error } from "../errors.js";
import type { RandomAccessFile } from "../file.js";
import { createQcow2 } from "../image/create.js";
import type { Qcow2Image } from "../image/image.js";
import { openQcow2 } from "../image/open.js";
import type { Passphrase, Qcow2CreateOptions, Qcow2OpenOptions } from "../image/types.js";
import { openLuks } from "../luks-disk.js";
import { type ImageFormat, probeFormat } from "../probe.js";
import { openRaw } from "../raw/raw-disk.js";
import { type NodeFileOptions, openFile } from "./file.js";
import { nodePlatform } from "./platform.js";

const MAX_CHAIN = 200;

export interface OpenImageOptions extends Omit<Qcow2OpenOptions, "backing" | "dataFile"> {
  /** The format; without it the first bytes decide. */
  readonly format?: ImageFormat;
  /** How files are opened. */
  readonly file?: Omit<NodeFileOptions, "readOnly" | "create">;
  /** Leave backing files closed; unallocated parts read as zeros. */
  readonly backingChain?: boolean;
  /** A disk that takes the place of the backing file that the header names. */
  readonly backing?: Disk;
  /** Passphrases of backing files, by resolved path. */
  readonly passphraseFor?: (path: string) => Passphrase | undefined;
  /** Opens names that are no paths (URLs); undefined when it does not know them either. */
  readonly openOther?: (name: string, readOnly: boolean) => Promise<RandomAccessFile | undefined>;
}

/** Opens an image with its backing chain and data file, all relative to where the image is. */
export function openImage(path: string, options: OpenImageOptions & { readonly format: "qcow2" }): Promise<Qcow2Image>;
export function openImage(path: string, options?: OpenImageOptions): Promise<Disk>;
export function openImage(path: string, options: OpenImageOptions = {}): Promise<Disk> {
  return openLayer(path, options, 0);
}

/** Creates a qcow2 image, or makes an existing file one. An external data file is the caller's to open and close. */
export async function createImage(path: string, options: Qcow2CreateOptions): Promise<void> {
  const file = await openFile(path, { create: true });
  try {
    await createQcow2(file, { platform: nodePlatform, ...options });
  } finally {
    await file.close();
  }
}

async function openName(name: string, options: OpenImageOptions, readOnly: boolean): Promise<RandomAccessFile> {
  if (options.openOther !== undefined && /^[a-z][a-z0-9+.-]+:/i.test(name)) {
    const file = await options.openOther(name, readOnly);
    if (file !== undefined) return file;
  }
  return openFile(name, { ...options.file, readOnly });
}

async function openLayer(
  path: string,
  options: OpenImageOptions,
  depth: number,
  offset?: number,
  size?: number,
): Promise<Disk> {
  const readOnly = options.readOnly ?? options.snapshot !== undefined;
  const file = await openName(path, options, readOnly);
  try {
    const format = options.format ?? (await probeFormat(file));
    const platform = options.platform ?? nodePlatform;
    if (format === "raw") return await openRaw(file, { readOnly, offset, size, cache: options.cache });
    if (format === "luks") {
      const { passphrase, metadataOnly, cache } = options;
      return await openLuks(file, { readOnly, passphrase, metadataOnly, cache, platform });
    }
    if (format !== "qcow2") throw new Qcow2Error("unsupported", `format ${format}`, { file: path });
    return await openQcow2(file, {
      ...options,
      readOnly,
      platform,
      backing:
        options.backing ??
        (options.backingChain === false
          ? "none"
          : (request) => openBacking(request.name, request.format, request.from, options, depth + 1)),
      dataFile: (name, from, dataReadOnly) => openDataFile(name, from, options, dataReadOnly),
    });
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Beside the image, or else where the name leads from the working directory, which is where QEMU looks. */
async function openDataFile(
  name: string,
  from: string,
  options: OpenImageOptions,
  readOnly: boolean,
): Promise<RandomAccessFile> {
  const beside = resolveName(name, from);
  return openName(existsSync(beside) ? beside : name, options, readOnly);
}

async function openBacking(
  name: string,
  storedFormat: string | undefined,
  from: string,
  options: OpenImageOptions,
  depth: number,
): Promise<Disk> {
  if (depth > MAX_CHAIN) throw new Qcow2Error("too-large", "the backing chain is too long, or a loop", { file: from });
  const backing = parseBackingName(name);
  const path = resolveName(backing.file, from);
  const format = backing.format ?? storedFormat;
  if (format !== undefined && format !== "raw" && format !== "qcow2" && format !== "luks") {
    throw new Qcow2Error("unsupported", `format ${format} of backing file ${path}`, { file: from });
  }
  return openLayer(
    path,
    {
      format,
      readOnly: true,
      file: options.file,
      platform: options.platform,
      cache: options.cache,
      metadataOnly: options.metadataOnly,
      l2CacheSize: options.l2CacheSize,
      refcountCacheSize: options.refcountCacheSize,
      passphrase: options.passphraseFor?.(path),
      passphraseFor: options.passphraseFor,
      openOther: options.openOther,
    },
    depth,
    backing.offset,
    backing.size,
  );
}

/** Resolves a name in an image's header against the image's own path. URLs stay as they are. */
export function resolveName(name: string, from: string): string {
  const path = parseBackingName(name).file;
  if (isAbsolute(path) || /^[a-z][a-z0-9+.-]+:/i.test(path)) return path;
  return resolve(dirname(from), path);
}
