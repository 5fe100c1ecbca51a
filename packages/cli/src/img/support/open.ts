import { statSync } from "node:fs";
import type { Disk, LuksDisk, Qcow2Image, RandomAccessFile } from "@softmetal/qcow2";
import { CommandError, type Context, errnoText, messageOf } from "./context.js";
import { type Format, isFormat } from "./create-options.js";
import { displayName, fileOptions, nbdUri, resolveBacking } from "./filename.js";
import { isTree, nestOptions, type OptionTree, parseOptions, switchOption } from "./keyval.js";
import { LOCK_METADATA, LOCK_READ, LOCK_WRITE, type LockRequest, lockImage } from "./locks.js";
import { checkFileOptions, checkNodeOptions, strongOptions } from "./node-options.js";
import { sizeOption } from "./sizes.js";

/** How an image is wanted. */
export interface OpenRequest {
  /** A file name, `json:{...}`, a URL, or with `imageOpts` a `key=value,...` list. */
  readonly filename: string;
  readonly imageOpts?: boolean;
  readonly format?: string;
  readonly write?: boolean;
  /** `-U`: accept that somebody else has the image open for writing. */
  readonly forceShare?: boolean;
  /** Leave the backing chain away. */
  readonly noBacking?: boolean;
  /** Only metadata is wanted: the image is only looked at for a moment. */
  readonly metadataOnly?: boolean;
  /** An encrypted image may stay locked. */
  readonly withoutKey?: boolean;
  /** Further options of the image node, as `--image-opts` would give them. */
  readonly extra?: OptionTree;
  /** `-t`/`-T`: "unsafe" leaves the flushes away. */
  readonly cache?: string;
  /** Read this internal snapshot instead of the current state. */
  readonly snapshot?: string;
  /** Open for repair: neither refuse a corrupt image nor repair a dirty one on opening. */
  readonly repair?: boolean;
  /** Discards are passed on to the file below. */
  readonly discard?: boolean;
  /** Open the layer this many below the image for writing, too, and hand it out as `base`. */
  readonly openBase?: number;
}

/** An image that is open. */
export interface OpenImage {
  /** As it is shown to the user. */
  readonly filename: string;
  readonly format: Format;
  readonly disk: Disk;
  /** The same disk, when it is a qcow2 image. */
  readonly qcow2?: Qcow2Image;
  /** The same disk, when it is a LUKS volume in a file of its own. */
  readonly luks?: LuksDisk;
  /** The file that holds the image. */
  readonly file: RandomAccessFile;
  /** The external data file, when there is one. */
  readonly dataFile?: RandomAccessFile;
  /** The layer that was asked for with `openBase`. */
  readonly base?: Disk;
  close(): Promise<void>;
}

/** Deeper chains are taken for loops. */
const MAX_DEPTH = 256;

/** Opens an image, or ends the command with "Could not open ...". */
export async function openImage(context: Context, request: OpenRequest): Promise<OpenImage> {
  if (request.imageOpts && request.format !== undefined)
    throw new CommandError("--image-opts and --format are mutually exclusive");
  try {
    return await openNode(context, { ...rootOptions(request), ...request.extra }, request, 0);
  } catch (error) {
    throw new CommandError(`Could not open '${request.filename}': ${messageOf(error)}`);
  }
}

/** The options of the image node a request stands for. */
function rootOptions(request: OpenRequest): OptionTree {
  const { filename, imageOpts, format } = request;
  if (imageOpts) return imageNode(givenOptions(filename), format, true);
  if (filename === "") throw new CommandError("The 'file' block driver requires a file name");
  return namedNode(filename, format);
}

/** The image node that a name stands for. */
function namedNode(name: string, format: string | undefined): OptionTree {
  return imageNode(fileOptions(name), format, name.startsWith("json:"));
}

/** The node of `--image-opts`, where a file has to be described: there are no others to refer to by name. */
function givenOptions(text: string): OptionTree {
  const options = nestOptions(parseOptions(text, "file"));
  const { file } = options;
  if (typeof file === "string") throw new CommandError(`Cannot find device='${file}' nor node-name='${file}'`);
  if (options.driver === undefined && file === undefined) throw new CommandError("Must specify either driver or file");
  return options;
}

/**
 * Puts an image format over a bare protocol; `driver` undefined stands for probing. A file of the host that is described as
 * the image is one as it is.
 */
function imageNode(options: OptionTree, format: string | undefined, described: boolean): OptionTree {
  const driver = typeof options.driver === "string" ? options.driver : undefined;
  if (driver === "file" && described && format !== undefined && format !== driver)
    throw new CommandError('A block device must be specified for "file"');
  if (driver !== undefined && isFormat(driver) && (described || driver !== "file")) return options;
  const isProtocol = driver !== undefined && ["file", "nbd", "http", "https"].includes(driver);
  if (driver !== undefined && !isProtocol) throw new CommandError(`Unknown driver '${driver}'`);
  if (format !== undefined && !isFormat(format)) throw new CommandError(`Unknown driver '${format}'`);
  const wrapped = isProtocol || typeof options.filename === "string" ? { file: options } : options;
  return format === undefined ? wrapped : { ...wrapped, driver: format };
}

async function openNode(context: Context, node: OptionTree, request: OpenRequest, depth: number): Promise<OpenImage> {
  if (request.forceShare && request.write && depth === 0) {
    throw new CommandError("force-share=on can only be used with read-only images");
  }
  if (request.write && depth === 0) checkWritable(node);
  if (depth > MAX_DEPTH) throw new CommandError("The backing chain is too long, or a loop");
  const below = fileNode(node);
  const readOnly = !request.write;
  const cache = request.cache === "unsafe" ? "unsafe" : "writeback";
  const file = await openFile(context, below, readOnly, request);
  let opened: Disk | undefined;
  /** The data file that the options name, until the image has taken it. */
  let chosenData: RandomAccessFile | undefined;
  try {
    const format = await formatOf(node, file);
    // A node that is the file itself has been checked as such.
    if (format !== "file") checkNodeOptions(node, format, request.noBacking === true);
    const filename = displayName(below, format, strongOptions(node, format));
    if (format === "raw" || format === "file") {
      if (node.driver === undefined && request.write) warnProbedRaw(context, filename);
      const { openRaw } = await import("@softmetal/qcow2");
      const limits = { offset: sizeOf(node, "offset"), size: sizeOf(node, "size") };
      if (limits.offset !== undefined || limits.size !== undefined) {
        const { checkPart } = await import("./part-file.js");
        checkPart(await file.size(), limits.offset, limits.size);
      }
      const disk = await openRaw(file, { readOnly, cache, ...limits });
      return { filename, format, disk, file, close: () => disk.close() };
    }
    const { openLuks, openQcow2 } = await import("@softmetal/qcow2");
    const passphrase = request.withoutKey ? undefined : passphraseOf(context, node, format);
    // The faster compression and encryption of Node are only worth loading when there is something to do for them.
    const platform =
      request.metadataOnly && passphrase === undefined
        ? undefined
        : (await import("@softmetal/qcow2/node")).nodePlatform;
    if (format === "luks") {
      if (passphrase === undefined && !request.withoutKey) throw keyRequired("key-secret");
      const luks = await openLuks(file, { readOnly, cache, passphrase, metadataOnly: request.withoutKey, platform });
      return { filename, format, disk: luks, luks, file, close: () => luks.close() };
    }
    let dataFile: RandomAccessFile | undefined;
    let base: Disk | undefined;
    if (isTree(node["data-file"]) && !request.withoutKey)
      chosenData = dataFile = await openFile(context, node["data-file"], readOnly, request);
    const qcow2 = await openQcow2(file, {
      readOnly,
      platform,
      cache,
      metadataOnly: request.withoutKey,
      repair: request.repair,
      snapshot: request.snapshot,
      discard: request.discard ?? node.discard !== "ignore",
      passphrase,
      lazyRefcounts:
        node["lazy-refcounts"] === undefined
          ? undefined
          : switchOption("lazy-refcounts", String(node["lazy-refcounts"])),
      backing: request.noBacking
        ? "none"
        : async ({ name, format: stored }) => {
            const below = await openBacking(context, node, { name, format: stored, from: filename }, request, depth);
            base = depth + 1 === request.openBase ? below.disk : below.base;
            return below.disk;
          },
      // Whoever looks without a key looks at the header: a name in there is no reason to open a file.
      dataFile: request.withoutKey
        ? "none"
        : (dataFile ??
          (async (name, _from, dataReadOnly) => {
            dataFile = await openFile(context, fileOptions(resolveBacking(name, filename)), dataReadOnly, request);
            return dataFile;
          })),
    });
    opened = qcow2;
    checkEncryptionFormat(node, qcow2.info().encryption);
    if (chosenData !== undefined && !qcow2.info().hasDataFile)
      throw new CommandError("'data-file' can only be set for images with an external data file");
    chosenData = undefined;
    // To be repaired, the library opens it without.
    if (qcow2.info().encryption !== "none" && passphrase === undefined && !request.withoutKey)
      throw keyRequired("encrypt.key-secret");
    return { filename, format, disk: qcow2, qcow2, file, dataFile, base, close: () => qcow2.close() };
  } catch (error) {
    await closeQuietly(opened ?? file);
    if (chosenData !== undefined) await closeQuietly(chosenData);
    throw error;
  }
}

/** Refuses to write to an image or a file that is described as read-only. */
function checkWritable(node: OptionTree): void {
  for (const each of isTree(node.file) ? [node, node.file] : [node]) {
    if (each["read-only"] !== undefined && switchOption("read-only", String(each["read-only"])))
      throw new CommandError("Block node is read-only");
  }
}

async function openBacking(
  context: Context,
  node: OptionTree,
  backing: { name: string; format?: string; from: string },
  request: OpenRequest,
  depth: number,
): Promise<OpenImage> {
  try {
    const chosen = node.backing;
    const options = isTree(chosen)
      ? imageNode(chosen, undefined, true)
      : namedNode(resolveBacking(backing.name, backing.from), backing.format);
    return await openNode(
      context,
      options,
      { ...request, write: depth + 1 === request.openBase, snapshot: undefined },
      depth + 1,
    );
  } catch (error) {
    throw new CommandError(`Could not open backing file: ${messageOf(error)}`);
  }
}

function fileNode(node: OptionTree): OptionTree {
  if (isTree(node.file)) return node.file;
  if (node.driver === "file") return node;
  if (typeof node.file === "string") return fileOptions(node.file);
  if (typeof node.filename === "string") return fileOptions(node.filename);
  throw new CommandError('A block device must be specified for "file"');
}

const sizeOf = (node: OptionTree, key: string): number | undefined =>
  node[key] === undefined ? undefined : sizeOption(key, String(node[key]));

function passphraseOf(context: Context, node: OptionTree, format: Format): string | undefined {
  const options = format === "luks" ? node : node.encrypt;
  const id = isTree(options) ? options["key-secret"] : undefined;
  return id === undefined ? undefined : context.secret(String(id));
}

async function closeQuietly(it: Pick<RandomAccessFile, "close">): Promise<void> {
  try {
    await it.close();
  } catch {
    // Something else has gone wrong before, and that is told.
  }
}

function checkEncryptionFormat({ encrypt }: OptionTree, actual: "none" | "aes" | "luks"): void {
  const format = isTree(encrypt) ? encrypt.format : undefined;
  if (format === undefined || format === actual) return;
  throw new CommandError(
    actual === "none"
      ? `No encryption in image header, but options specified format '${format}'`
      : `Header reported '${actual}' encryption format but options specify '${format}'`,
  );
}

const keyRequired = (option: string): CommandError => new CommandError(`Parameter '${option}' is required for cipher`);

async function formatOf(node: OptionTree, file: RandomAccessFile): Promise<Format> {
  if (typeof node.driver === "string" && isFormat(node.driver)) return node.driver;
  return probeFormat(file);
}

/** What the first bytes look like. */
async function probeFormat(file: RandomAccessFile): Promise<Format> {
  const head = Buffer.alloc(8);
  if ((await file.read(head, 0)) < 8) return "raw";
  if (head.readUInt32BE(0) === 0x514649fb && head.readUInt32BE(4) >= 2) return "qcow2";
  return head.toString("latin1") === "LUKS\xba\xbe\0\x01" ? "luks" : "raw";
}

function warnProbedRaw(context: Context, filename: string): void {
  context.terminal.err(
    `WARNING: Image format was not specified for '${filename}' and probing guessed raw.\n` +
      "         Automatically detecting the format is dangerous for raw images, write operations on block 0 will be restricted.\n" +
      "         Specify the 'raw' format explicitly to remove the restrictions.\n",
  );
}

function lockRequest(readOnly: boolean, request: Pick<OpenRequest, "metadataOnly">): LockRequest {
  if (!readOnly) return LOCK_WRITE;
  return request.metadataOnly ? LOCK_METADATA : LOCK_READ;
}

/** Opens the file an image lies in: on the host, behind NBD or on a web server. */
export async function openFile(
  context: Context,
  options: OptionTree,
  readOnly: boolean,
  request: Pick<OpenRequest, "forceShare" | "metadataOnly"> = {},
): Promise<RandomAccessFile> {
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
  const file = await openOnHost(name, readOnly, readOnly && request.metadataOnly === true);
  try {
    if (!request.forceShare) {
      await lockImage(
        context,
        file.fd,
        name,
        lockRequest(readOnly, request),
        readOnly && request.metadataOnly === true,
      );
    }
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
  if (stat.isFile() || stat.isBlockDevice()) return;
  throw new CommandError(`'file' driver requires '${name}' to be a regular file`);
}
