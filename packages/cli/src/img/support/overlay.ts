import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CommandError, type Context, messageOf } from "./context.js";
import { openHostFile } from "./host-file.js";
import { type OpenImage, type OpenRequest, openImage } from "./open.js";

/** The image with a temporary, writable layer over it (`-s`): what is written is gone on closing. */
export async function openTemporaryOverlay(context: Context, request: OpenRequest): Promise<OpenImage> {
  const base = await openImage(context, { ...request, write: false });
  const folder = mkdtempSync(join(tmpdir(), "vl."));
  try {
    const file = await openHostFile(join(folder, "overlay.qcow2"), { readOnly: false, create: true });
    const { createQcow2, openQcow2 } = await import("@softmetal/qcow2");
    const { nodePlatform } = await import("@softmetal/qcow2/node");
    await createQcow2(file, { size: base.disk.size, backing: { name: "base", format: "raw" } });
    const qcow2 = await openQcow2(file, {
      readOnly: false,
      backing: base.disk,
      platform: nodePlatform,
      cache: "unsafe",
    });
    return { filename: base.filename, format: base.format, disk: qcow2, qcow2, file, close: () => qcow2.close() };
  } catch (error) {
    await base.close();
    throw new CommandError(`Could not create temporary overlay: ${messageOf(error)}`);
  } finally {
    // The open descriptor keeps the file; nothing is left behind, however the program ends.
    rmSync(folder, { recursive: true, force: true });
  }
}
