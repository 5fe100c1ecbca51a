import type { LuksInfo, Qcow2Info, RandomAccessFile } from "@softmetal/qcow2";
import { CommandError, type Context, messageOf } from "./context.js";
import type { Format } from "./create-options.js";
import { displayName } from "./filename.js";
import { checkEncryptionFormat, fileNode, formatOf, rootOptions } from "./image-node.js";
import type { OptionTree } from "./keyval.js";
import { checkNodeOptions, strongOptions } from "./node-options.js";
import type { OpenImage, OpenRequest } from "./open.js";
import { closeQuietly, type FileRequest, openFile } from "./open-file.js";

/** What can be told of an image without opening what it refers to. */
export interface ImageLook {
  /** As it is shown to the user. */
  readonly filename: string;
  readonly format: Format;
  /** Bytes of the virtual disk. */
  readonly size: number;
  readonly qcow2?: Qcow2Info;
  readonly luks?: LuksInfo;
  readonly file: RandomAccessFile;
  readonly dataFile?: RandomAccessFile;
}

/** The same of an image that is open. */
export function lookOf(image: OpenImage): ImageLook {
  const { filename, format, disk, qcow2, luks, file, dataFile } = image;
  return { filename, format, size: disk.size, qcow2: qcow2?.info(), luks: luks?.info(), file, dataFile };
}

/**
 * Looks at an image for as long as `use` takes, without keeping others from writing to it. Loads a good deal less than
 * opening it. Ends the command with "Could not open ...".
 */
export async function lookAtImage<T>(
  context: Context,
  request: Pick<OpenRequest, "filename" | "imageOpts" | "format" | "forceShare">,
  use: (look: ImageLook) => Promise<T>,
): Promise<T> {
  const lookups: (() => Promise<void>)[] = [];
  let look: Look;
  try {
    const [looked] = await Promise.allSettled([
      lookAt(context, rootOptions(request), { forceShare: request.forceShare, metadataOnly: true, lookups }),
    ]);
    try {
      // That somebody uses it comes before whatever else there is to complain about.
      for (const lookup of lookups) await lookup();
    } catch (error) {
      if (looked.status === "fulfilled") await looked.value.close();
      throw error;
    }
    if (looked.status === "rejected") throw looked.reason;
    look = looked.value;
  } catch (error) {
    throw new CommandError(`Could not open '${request.filename}': ${messageOf(error)}`);
  }
  try {
    return await use(look);
  } finally {
    await look.close();
  }
}

interface Look extends ImageLook {
  close(): Promise<void>;
}

async function lookAt(context: Context, node: OptionTree, request: FileRequest): Promise<Look> {
  const below = fileNode(node);
  const file = await openFile(context, below, true, request);
  try {
    const format = await formatOf(node, file);
    if (format === "qcow2") {
      checkNodeOptions(node, format, true);
      const { inspectQcow2 } = await import("@softmetal/qcow2/inspect");
      const qcow2 = await inspectQcow2(file);
      checkEncryptionFormat(node, qcow2.encryption);
      const filename = displayName(below, format, strongOptions(node, format));
      return { filename, format, size: qcow2.virtualSize, qcow2, file, close: async () => file.close() };
    }
  } catch (error) {
    await closeQuietly(file);
    throw error;
  }
  const { openNode } = await import("./open.js");
  const image = await openNode(
    context,
    node,
    { ...request, metadataOnly: true, noBacking: true, withoutKey: true },
    0,
    file,
  );
  return { ...lookOf(image), close: () => image.close() };
}
