import type { RandomAccessFile } from "@softmetal/qcow2";
import { CommandError } from "./context.js";
import { type Format, isFormat } from "./create-options.js";
import { fileOptions } from "./filename.js";
import { isTree, nestOptions, type OptionTree, parseOptions } from "./keyval.js";
import type { OpenRequest } from "./open.js";

/** The options of the image node a request stands for. */
export function rootOptions(request: Pick<OpenRequest, "filename" | "imageOpts" | "format">): OptionTree {
  const { filename, imageOpts, format } = request;
  if (imageOpts) return imageNode(nestOptions(parseOptions(filename, "file")), format, true);
  if (filename === "") throw new CommandError("The 'file' block driver requires a file name");
  return namedNode(filename, format);
}

/** The image node that a name stands for. */
export function namedNode(name: string, format: string | undefined): OptionTree {
  return imageNode(fileOptions(name), format, name.startsWith("json:"));
}

/** A description has to say something of the file, and there are no other nodes to refer to by name. */
function checkDescription({ driver, file }: OptionTree, format: string | undefined): void {
  if (typeof file === "string") throw new CommandError(`Cannot find device='${file}' nor node-name='${file}'`);
  const describesFile = isTree(file) && Object.keys(file).length > 0;
  if (typeof driver !== "string" && format === undefined && !describesFile)
    throw new CommandError("Must specify either driver or file");
}

/**
 * Puts an image format over a bare protocol; `driver` undefined stands for probing. A file of the host that is described as
 * the image is one as it is.
 */
export function imageNode(options: OptionTree, format: string | undefined, described: boolean): OptionTree {
  if (described) checkDescription(options, format);
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

/** The node of the file that an image lies in. */
export function fileNode(node: OptionTree): OptionTree {
  if (isTree(node.file)) return node.file;
  if (node.driver === "file") return node;
  if (typeof node.file === "string") return fileOptions(node.file);
  if (typeof node.filename === "string") return fileOptions(node.filename);
  throw new CommandError('A block device must be specified for "file"');
}

/** The format the options name, or what the first bytes of the file look like. */
export async function formatOf(node: OptionTree, file: RandomAccessFile): Promise<Format> {
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

export function checkEncryptionFormat({ encrypt }: OptionTree, actual: "none" | "aes" | "luks"): void {
  const format = isTree(encrypt) ? encrypt.format : undefined;
  if (format === undefined || format === actual) return;
  throw new CommandError(
    actual === "none"
      ? `No encryption in image header, but options specified format '${format}'`
      : `Header reported '${actual}' encryption format but options specify '${format}'`,
  );
}
