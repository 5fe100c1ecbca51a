import { statSync } from "node:fs";
import type { RandomAccessFile } from "@softmetal/qcow2";
import { CommandError, type Context, errnoText, messageOf } from "./context.js";
import { displayName, nbdUri } from "./filename.js";
import { fileNode } from "./image-node.js";
import type { OptionTree } from "./keyval.js";
import { LOCK_METADATA, LOCK_READ, LOCK_WRITE, type LockRequest, lockImage, lookForLocks } from "./locks.js";
import { checkFileOptions, checkNodeOptions, strongOptions } from "./node-options.js";
import { sizeOption } from "./sizes.js";

/** How a file is wanted. */
export interface FileRequest {
  /** `-U`: accept that somebody else has the image open for writing. */
  readonly forceShare?: boolean;
  /** Only metadata is wanted. */
  readonly metadataOnly?: boolean;
  /**
   * The file is read for a moment, so that nobody has to be kept from writing to it: takes what tells whether somebody is,
   * for later.
   */
  readonly lookups?: (() => Promise<void>)[];
}

/** An option that is a number of bytes. */
export const sizeOf = (node: OptionTree, key: string): number | undefined =>
  node[key] === undefined ? undefined : sizeOption(key, String(node[key]));

export async function closeQuietly(it: Pick<RandomAccessFile, "close">): Promise<void> {
  try {
    await it.close();
  } catch {
    // Something else has gone wrong before, and that is told.
  }
}

function lockRequest(readOnly: boolean, request: FileRequest): LockRequest {
  if (!readOnly) return LOCK_WRITE;
  return request.metadataOnly ? LOCK_METADATA : LOCK_READ;
}

/**
 * Opens the file an image lies in: on the host, behind NBD or on a web server. With `lookups`, whether it is in use is
 * still to be asked.
 */
export async function openFile(
  context: Context,
  options: OptionTree,
  readOnly: boolean,
  request: FileRequest = {},
): Promise<RandomAccessFile> {
  if (typeof options.driver !== "string" && typeof options.filename !== "string")
    throw new CommandError("Must specify either driver or file");
  const driver = options.driver ?? "file";
  if (driver === "nbd") {
    const { NbdFile } = await import("./nbd-file.js");
    const { clientCredentials } = await import("./tls-objects.js");
    const id = options["tls-creds"];
    const tls = id === undefined ? {} : await clientCredentials(context, String(id));
    const tlsHostname = options["tls-hostname"] === undefined ? undefined : String(options["tls-hostname"]);
    const uri = nbdUri(options);
    return NbdFile.open(uri, uri, readOnly, { ...tls, tlsHostname });
  }
  if (driver === "http" || driver === "https") {
    if (!readOnly) throw new CommandError("block device is read-only: a file on a web server cannot be written");
    const { HttpFile } = await import("./http-file.js");
    const timeout = options.timeout === undefined ? undefined : Number(options.timeout);
    return HttpFile.open(String(options.url ?? options.filename), timeout);
  }
  if (driver === "raw") {
    checkNodeOptions(options, "raw", true);
    const whole = await openFile(context, fileNode(options), readOnly, request);
    try {
      const name = displayName(fileNode(options), "raw", strongOptions(options, "raw"));
      const { PartFile } = await import("./part-file.js");
      return await PartFile.open(whole, name, sizeOf(options, "offset"), sizeOf(options, "size"));
    } catch (error) {
      await closeQuietly(whole);
      throw error;
    }
  }
  if (driver !== "file") throw new CommandError(`Unknown driver '${String(driver)}'`);
  checkFileOptions(options);
  const name = options.filename;
  if (typeof name !== "string") throw new CommandError("The 'file' block driver requires a file name");
  checkRegular(name);
  const lookups = readOnly ? request.lookups : undefined;
  const file = await openOnHost(name, readOnly, lookups !== undefined);
  try {
    const locks = lockRequest(readOnly, request);
    if (!request.forceShare && lookups !== undefined) lookups.push(lookForLocks(file.fd, name, locks));
    else if (!request.forceShare) await lockImage(context, file.fd, name, locks);
  } catch (error) {
    await file.close();
    throw error;
  }
  return file;
}

async function openOnHost(name: string, readOnly: boolean, brief: boolean): Promise<RandomAccessFile & { fd: number }> {
  try {
    // Block devices do not say how large they are; the library's class finds out.
    if (brief && statSync(name).isFile()) return new (await import("./metadata-file.js")).MetadataFile(name);
    return await (await import("./host-file.js")).openHostFile(name, { readOnly });
  } catch (error) {
    throw new CommandError(`Could not open '${name}': ${errnoText(error) ?? messageOf(error)}`);
  }
}

function checkRegular(name: string): void {
  let stat: ReturnType<typeof statSync>;
  try {
    stat = statSync(name);
  } catch {
    return; // Opening says what is wrong.
  }
  if (stat.isFile() || stat.isBlockDevice() || stat.isCharacterDevice()) return;
  throw new CommandError(`'file' driver requires '${name}' to be a regular file`);
}
