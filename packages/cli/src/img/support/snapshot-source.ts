import { snapshotParameter } from "./common.js";
import { CommandError, type Context } from "./context.js";
import { flagOption, splitOptions } from "./keyval.js";
import { type OpenImage, type OpenRequest, openImage } from "./open.js";

/** Opens an image, or with the value of `-l` an internal snapshot of it. */
export async function openSnapshotSource(
  context: Context,
  request: OpenRequest,
  parameter: string | undefined,
): Promise<OpenImage> {
  if (parameter === undefined) return openImage(context, request);
  const { id, name, any } = snapshotParameter(parameter);
  const look = await openImage(context, { ...request, noBacking: true, metadataOnly: true });
  let found: string | undefined;
  try {
    if (look.qcow2 === undefined) {
      throw new CommandError(
        `Failed to load snapshot: Block format '${look.format}' used by device '' does not support temporarily loading ` +
          "internal snapshots",
      );
    }
    found = look.qcow2
      .info()
      .snapshots.find((s) =>
        any !== undefined ? s.id === any || s.name === any : (id ?? s.id) === s.id && (name ?? s.name) === s.name,
      )?.id;
  } finally {
    await look.close();
  }
  if (found === undefined) throw new CommandError("Failed to load snapshot: Can't find snapshot");
  return openImage(context, { ...request, snapshot: found });
}

/** Refuses a malformed value of `-l` before anything is opened. */
export function checkSnapshotParameter(context: Context, text: string | undefined): void {
  if (!text?.startsWith("snapshot.")) return;
  for (const part of splitOptions(text)) {
    const { key, value } = flagOption(part);
    if (part.value === undefined)
      context.warn(`short-form boolean option '${part.key}' deprecated\nPlease use ${key}=${value} instead`);
    if (key === "snapshot.id" || key === "snapshot.name") continue;
    context.error(`Invalid parameter '${key}'`);
    throw new CommandError(`Failed in parsing snapshot param '${text}'`);
  }
}
