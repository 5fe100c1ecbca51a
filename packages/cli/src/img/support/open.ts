import { type Disk, type LuksDisk, openQcow2, openRaw, type Qcow2Image, type RandomAccessFile } from "@softmetal/qcow2";
import { CommandError, type Context, messageOf } from "./context.js";
import type { Format } from "./create-options.js";
import { displayName, fileOptions, resolveBacking } from "./filename.js";
import { checkEncryptionFormat, fileNode, formatOf, imageNode, namedNode, rootOptions } from "./image-node.js";
import { isTree, type OptionTree, switchOption } from "./keyval.js";
import { checkNodeOptions, strongOptions } from "./node-options.js";
import { closeQuietly, type FileRequest, openFile, sizeOf } from "./open-file.js";

/** How an image is wanted. */
export interface OpenRequest extends Pick<FileRequest, "forceShare" | "metadataOnly"> {
  /** A file name, `json:{...}`, a URL, or with `imageOpts` a `key=value,...` list. */
  readonly filename: string;
  readonly imageOpts?: boolean;
  readonly format?: string;
  readonly write?: boolean;
  /** Leave the backing chain away. */
  readonly noBacking?: boolean;
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
const TOO_DEEP = "The backing chain is too long, or a loop";

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

type NodeRequest = Omit<OpenRequest, "filename" | "imageOpts" | "format"> & FileRequest;

/** Opens the image that a node describes, in `given` when its file is open already; that is closed when it cannot be done. */
export async function openNode(
  context: Context,
  node: OptionTree,
  request: NodeRequest,
  depth: number,
  given?: RandomAccessFile,
): Promise<OpenImage> {
  if (request.forceShare && request.write && depth === 0) {
    throw new CommandError("force-share=on can only be used with read-only images");
  }
  if (request.write && depth === 0) checkWritable(node);
  if (depth > MAX_DEPTH) throw new CommandError(TOO_DEEP);
  const below = fileNode(node);
  const readOnly = !request.write;
  const cache = request.cache === "unsafe" ? "unsafe" : "writeback";
  const file = given ?? (await openFile(context, below, readOnly, request));
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
      const limits = { offset: sizeOf(node, "offset"), size: sizeOf(node, "size") };
      if (limits.offset !== undefined || limits.size !== undefined) {
        const { checkPart } = await import("./part-file.js");
        checkPart(await file.size(), limits.offset, limits.size);
      }
      const disk = await openRaw(file, { readOnly, cache, ...limits });
      return { filename, format, disk, file, close: () => disk.close() };
    }
    const passphrase = request.withoutKey ? undefined : passphraseOf(context, node, format);
    // The faster compression and encryption of Node are only worth loading when there is something to do for them.
    const platform =
      request.metadataOnly && passphrase === undefined
        ? undefined
        : (await import("@softmetal/qcow2/node")).nodePlatform;
    if (format === "luks") {
      if (passphrase === undefined && !request.withoutKey) throw keyRequired("key-secret");
      const { openLuks } = await import("@softmetal/qcow2");
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
  request: NodeRequest,
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
    const reason = messageOf(error);
    // Else every layer of a loop would be told.
    throw new CommandError(reason === TOO_DEEP ? reason : `Could not open backing file: ${reason}`);
  }
}

function passphraseOf(context: Context, node: OptionTree, format: Format): string | undefined {
  const options = format === "luks" ? node : node.encrypt;
  const id = isTree(options) ? options["key-secret"] : undefined;
  return id === undefined ? undefined : context.secret(String(id));
}

const keyRequired = (option: string): CommandError => new CommandError(`Parameter '${option}' is required for cipher`);

function warnProbedRaw(context: Context, filename: string): void {
  context.terminal.err(
    `WARNING: Image format was not specified for '${filename}' and probing guessed raw.\n` +
      "         Automatically detecting the format is dangerous for raw images, write operations on block 0 will be restricted.\n" +
      "         Specify the 'raw' format explicitly to remove the restrictions.\n",
  );
}
