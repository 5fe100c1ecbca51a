import type { EncryptionCreateOptions, LuksHash, Preallocation, Qcow2CreateOptions } from "@softmetal/qcow2";
import type { NodeFile } from "@softmetal/qcow2/node";
import { CommandError, type Context, errnoText, messageOf } from "./context.js";
import type { CreateOptions, Format } from "./create-options.js";
import { fileOptions, resolveBacking } from "./filename.js";
import { LOCK_CREATE, lockImage } from "./locks.js";
import { openFile } from "./open.js";

const SECTOR = 512;
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

function encryptionOptions(context: Context, options: CreateOptions): EncryptionCreateOptions | undefined {
  const format = options.get("encrypt.format") ?? (options.switch("encryption") ? "aes" : undefined);
  if (format === undefined) return undefined;
  if (format !== "aes" && format !== "luks") throw new CommandError(`Invalid parameter '${format}'`);
  const id = options.get("encrypt.key-secret");
  if (id === undefined) throw new CommandError("Parameter 'encrypt.key-secret' is required for cipher");
  const passphrase = context.secrets.get(id);
  if (passphrase === undefined) throw new CommandError(`No secret with id '${id}'`);
  if (format === "aes") return { format, passphrase };
  const hashes = ["sha1", "sha256", "sha512", "ripemd160"] as const satisfies readonly LuksHash[];
  return {
    format,
    passphrase,
    cipher: oneOf(options, "encrypt.cipher-alg", ["aes-128", "aes-192", "aes-256"] as const),
    mode: oneOf(options, "encrypt.cipher-mode", ["xts", "cbc"] as const),
    ivGenerator: oneOf(options, "encrypt.ivgen-alg", ["plain", "plain64", "essiv"] as const),
    ivHash: oneOf(options, "encrypt.ivgen-hash-alg", hashes),
    hash: oneOf(options, "encrypt.hash-alg", hashes),
    iterTime: options.number("encrypt.iter-time"),
  };
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
    await lockImage(context, file.fd, name, LOCK_CREATE, false);
  } catch (error) {
    await file.close();
    throw error;
  }
  return file;
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
  if (!Number.isSafeInteger(bytes)) throw tooLarge(format);
  const qcow2 = format === "qcow2" ? qcow2Options(context, options, bytes) : undefined;
  const rawMode =
    qcow2 === undefined ? (oneOf(options, "preallocation", ["off", "falloc", "full"] as const) ?? "off") : "off";
  const target = fileOptions(filename);
  if (target.driver === "nbd") return createOnExport(context, filename, qcow2, bytes);
  if (target.driver !== "file" || typeof target.filename !== "string") {
    throw new CommandError(`Protocol driver '${String(target.driver)}' does not support image creation`);
  }
  const file = await createHostFile(context, target.filename);
  try {
    const library = await import("@softmetal/qcow2");
    if (qcow2 === undefined) {
      await library.createRaw(file, { size: bytes, preallocation: rawMode });
      // As QEMU does: with the first block allocated, direct I/O can find out its alignment by reading it.
      await file.write(new Uint8Array(Math.min(bytes, FIRST_BLOCK)), 0);
      return;
    }
    const { nodePlatform } = await import("@softmetal/qcow2/node");
    const dataName = options.get("data_file");
    const dataFile =
      dataName === undefined ? undefined : await createHostFile(context, resolveBacking(dataName, target.filename));
    try {
      await library.createQcow2(file, {
        ...qcow2,
        platform: nodePlatform,
        dataFile: dataFile && { file: dataFile, name: dataName!, raw: options.switch("data_file_raw") },
      });
    } finally {
      await dataFile?.close();
    }
  } catch (error) {
    if (error instanceof CommandError) throw error;
    const { code } = error as { code?: string };
    throw code === "too-large" || code === "EFBIG" ? tooLarge(format) : new CommandError(messageOf(error));
  } finally {
    await file.close();
  }
}

async function createOnExport(
  context: Context,
  filename: string,
  qcow2: Qcow2CreateOptions | undefined,
  size: number,
): Promise<void> {
  const file = await openFile(context, fileOptions(filename), false);
  try {
    if (qcow2 !== undefined) {
      const { createQcow2 } = await import("@softmetal/qcow2");
      await createQcow2(file, qcow2);
    } else if ((await file.size()) < size)
      throw new CommandError("The image file is smaller than the wanted size and cannot grow");
  } finally {
    await file.close();
  }
}
