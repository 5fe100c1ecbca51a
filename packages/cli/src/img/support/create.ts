import { statSync, unlinkSync } from "node:fs";
import type {
  EncryptionCreateOptions,
  LuksCreateOptions,
  LuksHash,
  Preallocation,
  Qcow2CreateOptions,
} from "@softmetal/qcow2";
import type { NodeFile } from "@softmetal/qcow2/node";
import { CommandError, type Context, errnoText, messageOf } from "./context.js";
import type { CreateOptions, Format } from "./create-options.js";
import { fileOptions, resolveBacking } from "./filename.js";
import { LOCK_CREATE, lockImage } from "./locks.js";
import { openFile } from "./open-file.js";

const SECTOR = 512;
/** What may be stored as the format of a backing file: also what QEMU alone can open. */
const KNOWN_FORMATS: readonly string[] = (
  "blkdebug blklogwrites blkverify bochs cloop compress copy-before-write copy-on-read dmg file ftp ftps gluster " +
  "host_cdrom host_device http https iscsi iser luks nbd nfs null-aio null-co nvme parallels preallocate qcow qcow2 qed " +
  "quorum raw rbd replication snapshot-access ssh throttle vdi vhdx vmdk vpc vvfat"
).split(" ");
const FIRST_BLOCK = 4096;

/** Options of qcow2 in the library's terms; contradictions are refused in the words people know. */
export function qcow2Options(context: Context, options: CreateOptions, size: number): Qcow2CreateOptions {
  const refuse = (message: string): never => {
    throw new CommandError(message);
  };
  const version = compatVersion(options.get("compat"));
  const preallocation = oneOf(options, "preallocation", ["off", "metadata", "falloc", "full"] as const) ?? "off";
  const compressionType = oneOf(options, "compression_type", ["zlib", "zstd"] as const) ?? "zlib";
  const clusterSize = options.size("cluster_size") ?? 65_536;
  const extendedL2 = options.switch("extended_l2") ?? false;
  const lazyRefcounts = options.switch("lazy_refcounts") ?? false;
  const refcountBits = options.number("refcount_bits") ?? 16;
  const backing = options.get("backing_file");
  const backingFormat = options.get("backing_fmt");
  const isPower = (value: number): boolean => Number.isInteger(Math.log2(value));
  const v3 = "compatibility level 1.1 and above (use version=v3 or greater)";
  if (!isPower(clusterSize) || clusterSize < 512 || clusterSize > 2 << 20) {
    refuse("Cluster size must be a power of two between 512 and 2048k");
  }
  if (extendedL2 && clusterSize < 16_384)
    refuse("Extended L2 entries are only supported with cluster sizes of at least 16384 bytes");
  if (backing !== undefined && preallocation !== "off" && !extendedL2) {
    refuse("Backing file and preallocation can only be used at the same time if extended_l2 is enabled");
  }
  if (backingFormat !== undefined && !KNOWN_FORMATS.includes(backingFormat))
    refuse(`Parameter 'backing-fmt' does not accept value '${backingFormat}'`);
  if (backing === undefined && options.has("backing_fmt")) refuse("Backing format cannot be used without backing file");
  if (version === 2 && lazyRefcounts) refuse(`Lazy refcounts only supported with ${v3}`);
  if (!isPower(refcountBits) || refcountBits > 64)
    refuse("Refcount width must be a power of two and may not exceed 64 bits");
  if (version === 2 && refcountBits !== 16)
    refuse(`Different refcount widths than 16 bits require ${v3.replace("and", "or")}`);
  if (options.switch("data_file_raw") && !options.has("data_file")) refuse("data-file-raw requires data-file");
  if (options.switch("data_file_raw") && backing !== undefined) {
    refuse("Backing file and data-file-raw cannot be used at the same time");
  }
  if (version === 2 && options.has("data_file")) refuse(`External data files are only supported with ${v3}`);
  if (version === 2 && compressionType !== "zlib") refuse(`Non-zlib compression type is only supported with ${v3}`);
  if (version === 2 && extendedL2) refuse(`Extended L2 entries are only supported with ${v3}`);
  return {
    size,
    version,
    clusterSize,
    refcountBits,
    lazyRefcounts,
    extendedL2,
    compressionType,
    preallocation: preallocation as Preallocation,
    backing:
      backing === undefined || backing === "" ? undefined : { name: backing, format: options.get("backing_fmt") },
    encryption: encryptionOptions(context, options),
  };
}

/** 2 or 3 from `compat`. */
export function compatVersion(compat: string | undefined): 2 | 3 {
  if (compat === undefined || compat === "1.1" || compat === "v3") return 3;
  if (compat === "0.10" || compat === "v2") return 2;
  throw new CommandError(`Parameter 'version' does not accept value '${compat}'`);
}

function oneOf<const T extends string>(options: CreateOptions, name: string, values: readonly T[]): T | undefined {
  const value = options.get(name);
  if (value === undefined) return undefined;
  const found = values.find((candidate) => candidate === value);
  if (found === undefined)
    throw new CommandError(`Parameter '${name.replaceAll("_", "-")}' does not accept value '${value}'`);
  return found;
}

/** Algorithms that LUKS headers may name but that are not available here. */
const UNSUPPORTED: Readonly<Record<string, readonly string[]>> = {
  "cipher-alg": [
    ...["des", "3des", "cast5-128"],
    ...["serpent", "twofish"].flatMap((name) => [`${name}-128`, `${name}-192`, `${name}-256`]),
  ],
  "cipher-mode": ["ecb", "ctr"],
};

/** LUKS in the library's terms; `prefix` stands before the names of the options ("encrypt." for qcow2). */
export function luksOptions(context: Context, options: CreateOptions, prefix: "" | "encrypt."): LuksCreateOptions {
  const hashes: readonly LuksHash[] = ["md5", "sha1", "sha224", "sha256", "sha384", "sha512", "ripemd160"];
  const choice = <T extends string>(name: string, values: readonly T[]): T | undefined => {
    const value = options.get(prefix + name);
    const found = values.find((candidate) => candidate === value);
    if (value !== undefined && found === undefined) {
      throw new CommandError(
        UNSUPPORTED[name]?.includes(value)
          ? `Algorithm '${value}' not supported`
          : `Parameter '${name}' does not accept value '${value}'`,
      );
    }
    return found;
  };
  const settings = {
    format: "luks",
    cipher: choice("cipher-alg", ["aes-128", "aes-192", "aes-256"]),
    mode: choice("cipher-mode", ["xts", "cbc"]),
    // The library would take essiv for cbc.
    ivGenerator: choice("ivgen-alg", ["plain", "plain64", "essiv"]) ?? "plain64",
    ivHash: choice("ivgen-hash-alg", hashes),
    hash: choice("hash-alg", hashes),
    iterTime: options.number(`${prefix}iter-time`),
  } as const;
  return { ...settings, passphrase: passphraseOption(context, options, prefix) };
}

function passphraseOption(context: Context, options: CreateOptions, prefix: "" | "encrypt."): string {
  const id = options.get(`${prefix}key-secret`);
  if (id === undefined) throw new CommandError(`Parameter '${prefix}key-secret' is required for cipher`);
  return context.secret(id);
}

function encryptionOptions(context: Context, options: CreateOptions): EncryptionCreateOptions | undefined {
  if (options.has("encrypt.format") && options.has("encryption"))
    throw new CommandError("'encrypt.format' and its alias 'encryption' can't be used at the same time");
  const format = options.get("encrypt.format") ?? (options.switch("encryption") ? "aes" : undefined);
  if (format === undefined) {
    if (options.rows.some(({ name }) => name.startsWith("encrypt.") && options.has(name)))
      throw new CommandError("Parameter 'encrypt.format' is missing");
    return undefined;
  }
  if (format === "luks") return luksOptions(context, options, "encrypt.");
  if (format !== "aes") throw new CommandError(`Parameter 'format' does not accept value '${format}'`);
  return { format, passphrase: passphraseOption(context, options, "encrypt.") };
}

/** Creates (or empties) a file of the host, unless somebody uses it. */
async function createHostFile(context: Context, name: string): Promise<NodeFile> {
  const { openHostFile } = await import("./host-file.js");
  let file: NodeFile;
  try {
    file = await openHostFile(name, { readOnly: false, create: true });
  } catch (error) {
    throw new CommandError(`Could not create '${name}': ${errnoText(error) ?? messageOf(error)}`);
  }
  try {
    await lockImage(context, file.fd, name, LOCK_CREATE);
  } catch (error) {
    await file.close();
    throw error;
  }
  return file;
}

/** A character device takes no image (how that shows is up to the device), and a block device none larger than it. */
async function checkGrowing(file: NodeFile, format: Format, bytes: number): Promise<void> {
  const stat = statSync(file.name);
  if (stat.isBlockDevice() && format === "raw" && bytes > file.size())
    throw new CommandError("Cannot grow device files");
  if (!stat.isCharacterDevice()) return;
  if (format !== "qcow2") throw new CommandError("Cannot grow device files");
  try {
    await file.write(new Uint8Array(FIRST_BLOCK), 0);
  } catch (error) {
    throw new CommandError(`Could not write qcow2 header: ${errnoText(error) ?? messageOf(error)}`);
  }
  throw new CommandError("Image is not in qcow2 format");
}

const tooLarge = (format: Format): CommandError =>
  new CommandError(
    `The image size is too large for file format '${format}'${format === "qcow2" ? " (try using a larger cluster size)" : ""}`,
  );

/** Makes an image. The caller has printed what is going to be made. */
export async function createImage(
  context: Context,
  filename: string,
  format: Format,
  options: CreateOptions,
  size: number,
): Promise<void> {
  const bytes = Math.ceil(size / SECTOR) * SECTOR;
  // Sizes are signed numbers of 64 bits elsewhere, and rounding up leaves them.
  if (bytes >= 2 ** 63) {
    throw new CommandError(
      format === "qcow2"
        ? "Could not resize image: Image size cannot be negative"
        : "Could not resize file: Invalid argument",
    );
  }
  if (!Number.isSafeInteger(bytes)) throw tooLarge(format);
  const qcow2 = format === "qcow2" ? qcow2Options(context, options, bytes) : undefined;
  const luks = format === "luks" ? luksOptions(context, options, "") : undefined;
  const preallocation = qcow2 === undefined ? filePreallocation(options, format) : "off";
  const target = fileOptions(filename);
  if (target.driver === "nbd") return createOnExport(context, filename, bytes, qcow2, luks);
  if (target.driver !== "file" || typeof target.filename !== "string") {
    throw new CommandError(`Protocol driver '${String(target.driver)}' does not support image creation`);
  }
  const file = await createHostFile(context, target.filename);
  try {
    await checkGrowing(file, format, bytes);
    const library = await import("@softmetal/qcow2");
    if (format === "raw" || format === "file") {
      await library.createRaw(file, { size: bytes, preallocation });
      // As QEMU does: with the first block allocated, direct I/O can find out its alignment by reading it.
      await file.write(new Uint8Array(Math.min(bytes, FIRST_BLOCK)), 0);
      return;
    }
    const { nodePlatform } = await import("@softmetal/qcow2/node");
    if (luks !== undefined) {
      await library.createLuks(file, { ...luks, size: bytes, preallocation, platform: nodePlatform });
      return;
    }
    const dataName = options.get("data_file");
    const dataFile =
      dataName === undefined ? undefined : await createHostFile(context, resolveBacking(dataName, target.filename));
    try {
      await library.createQcow2(file, {
        ...qcow2!,
        platform: nodePlatform,
        dataFile: dataFile && { file: dataFile, name: dataName!, raw: options.switch("data_file_raw") },
      });
    } finally {
      await dataFile?.close();
    }
  } catch (error) {
    if (error instanceof CommandError) throw error;
    const { code } = error as { code?: string };
    if (code === "too-large" || code === "EFBIG") throw tooLarge(format);
    await removeFailed(file, format);
    const failed = preallocationFailure(error, format, options.get("preallocation"));
    if (failed === undefined) throw new CommandError(messageOf(error));
    throw new CommandError(`${format === "qcow2" ? "Could not resize image: " : ""}${failed}`);
  } finally {
    await file.close();
  }
}

/** The failure of a file that may not become so large, as the commands that copy put it. */
export const copyCreateFailure = (error: unknown): string =>
  messageOf(error).replace(
    /^The image size is too large for file format '(?!qcow2).*/,
    "Could not resize file: File too large",
  );

/** What a failed preallocation is called; undefined when it is not that which failed. */
export function preallocationFailure(error: unknown, format: string, mode: string | undefined): string | undefined {
  const reason = errnoText(error);
  if (reason === undefined || (mode !== "full" && mode !== "falloc")) return undefined;
  const what = mode === "full" ? "Could not write zeros for preallocation" : "Could not preallocate new data";
  return `${format === "qcow2" ? "Failed to resize underlying file: " : ""}${what}: ${reason}`;
}

/** Half an image is of no use, and what the file held before is lost already. */
async function removeFailed(file: NodeFile, format: Format): Promise<void> {
  try {
    if (format === "raw" || format === "file") await file.truncate(0);
    else if (statSync(file.name).isFile()) unlinkSync(file.name);
  } catch {
    // The failure before this one is told.
  }
}

/** `preallocation` of the formats that are a file of the host with at most a header in front. */
function filePreallocation(options: CreateOptions, format: Format): "off" | "falloc" | "full" {
  const value = options.get("preallocation");
  if (value === undefined || value === "off" || value === "falloc" || value === "full") return value ?? "off";
  // There is no metadata to allocate, and nobody minds being asked.
  if (value === "metadata" && format === "luks") return "off";
  throw new CommandError(
    value === "metadata" ? `Unsupported preallocation mode: ${value}` : `invalid parameter value: ${value}`,
  );
}

async function createOnExport(
  context: Context,
  filename: string,
  size: number,
  qcow2: Qcow2CreateOptions | undefined,
  luks: LuksCreateOptions | undefined,
): Promise<void> {
  const file = await openFile(context, fileOptions(filename), false).catch((error: unknown) => {
    throw new CommandError(
      `Protocol driver 'nbd' does not support image creation, and opening the image failed: ${messageOf(error)}`,
    );
  });
  try {
    const { createLuks, createQcow2 } = await import("@softmetal/qcow2");
    const { nodePlatform } = await import("@softmetal/qcow2/node");
    if (qcow2 !== undefined) await createQcow2(file, { ...qcow2, platform: nodePlatform });
    else if (luks !== undefined) await createLuks(file, { ...luks, size, platform: nodePlatform });
    else if ((await file.size()) < size)
      throw new CommandError("The image file is smaller than the wanted size and cannot grow");
  } finally {
    await file.close();
  }
}
