import { existsSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { NbdServer } from "@softmetal/nbd";
import { listen, type NbdListener } from "@softmetal/nbd/node";
import { CommandError, type Context, errnoText, messageOf } from "../img/support/context.js";
import { type OpenImage, openImage } from "../img/support/open.js";
import { openTemporaryOverlay } from "../img/support/overlay.js";
import { serverCredentials } from "../img/support/tls-objects.js";
import { inheritedSocket } from "./activation.js";
import { dirtyBitmap, ServedDisk } from "./disk.js";
import { DEFAULT_BIND, type NbdSettings } from "./options.js";

/** Opens the image and serves it until the last client has left (or, with `-t`, until a signal). */
export async function serve(context: Context, settings: NbdSettings, ready: () => void): Promise<number> {
  const tls = settings.tlsCreds === undefined ? undefined : await tlsFor(context, settings.tlsCreds);
  const image = await openServed(context, settings);
  try {
    const server = new NbdServer({ exports: [exportOf(image, settings)], tls });
    await run(context, settings, server, ready);
    if (!image.disk.readOnly) await image.disk.flush();
  } finally {
    await image.close();
  }
  return 0;
}

async function tlsFor(context: Context, id: string) {
  try {
    return await serverCredentials(context, id);
  } catch (error) {
    throw new CommandError(`Failed to get TLS creds: ${messageOf(error)}`);
  }
}

async function openServed(context: Context, settings: NbdSettings): Promise<OpenImage> {
  const { filename, imageOpts, format, cache, discard, snapshot } = settings;
  const request = { filename, imageOpts, format, cache, discard, write: !settings.readOnly };
  try {
    if (snapshot !== undefined) return await openSnapshot(context, request, snapshot);
    return settings.overlay ? await openTemporaryOverlay(context, request) : await openImage(context, request);
  } catch (error) {
    if (error instanceof SnapshotMissing) throw error;
    const reason = messageOf(error).replace(`Could not open '${filename}': `, "");
    throw new CommandError(`Failed to blk_new_open '${filename}': ${reason}`);
  }
}

/** The image opens, but what was asked for is not in it. */
class SnapshotMissing extends CommandError {}

async function openSnapshot(
  context: Context,
  request: Parameters<typeof openImage>[1],
  wanted: { id?: string; name?: string; any?: string },
): Promise<OpenImage> {
  const look = await openImage(context, { ...request, write: false, noBacking: true, metadataOnly: true });
  const snapshots = look.qcow2?.info().snapshots ?? [];
  await look.close();
  const { id, name, any } = wanted;
  const found = snapshots.find((entry) =>
    any === undefined
      ? (id ?? entry.id) === entry.id && (name ?? entry.name) === entry.name
      : entry.id === any || entry.name === any,
  );
  if (found === undefined) throw new SnapshotMissing("Failed to load snapshot: Can't find snapshot");
  return openImage(context, { ...request, write: false, snapshot: found.id });
}

function exportOf(image: OpenImage, settings: NbdSettings) {
  const { offset } = settings;
  const { size } = image.disk;
  if (offset > size) {
    throw new CommandError(`Offset (${offset}) cannot be greater than size of the containing file (${size})`);
  }
  const readOnly = settings.readOnly || image.disk.readOnly;
  const { discard, detectZeroes, writethrough } = settings;
  const disk = new ServedDisk(image, { start: offset, readOnly, discard, detectZeroes, writethrough });
  const contexts: Record<string, ReturnType<typeof dirtyBitmap>> = {};
  if (settings.allocationDepth) contexts["qemu:allocation-depth"] = disk.allocationDepth.bind(disk);
  for (const name of settings.bitmaps) {
    if (!image.qcow2?.listBitmaps().some((bitmap) => bitmap.name === name)) {
      throw new CommandError(`Bitmap '${name}' is not found`);
    }
    contexts[`qemu:dirty-bitmap:${name}`] = dirtyBitmap(image.qcow2, name, offset);
  }
  return {
    name: settings.exportName,
    description: settings.description,
    disk,
    readOnly,
    contexts,
    multiConn: settings.maxClients !== 1,
  };
}

async function run(context: Context, settings: NbdSettings, server: NbdServer, ready: () => void): Promise<void> {
  let finish = (): void => {};
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const listener = await startListening(settings, server, ({ exportName, error, connections }) => {
    if (error !== undefined && settings.verbose) context.warn(error.message);
    // A client that only looked around does not count as one that has left.
    if (!settings.persistent && connections === 0 && exportName !== undefined) finish();
  });
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) process.on(signal, finish);
  try {
    if (settings.pidFile !== undefined) writePid(settings.pidFile);
    ready();
    await finished;
  } finally {
    for (const signal of signals) process.off(signal, finish);
    await listener.close();
    if (settings.socket !== undefined) rmSync(settings.socket, { force: true });
    if (settings.pidFile !== undefined) rmSync(settings.pidFile, { force: true });
  }
}

async function startListening(
  settings: NbdSettings,
  server: NbdServer,
  onConnectionEnd: NonNullable<Parameters<typeof listen>[2]>["onConnectionEnd"],
): Promise<NbdListener> {
  const { socket, port, bind } = settings;
  if (socket !== undefined) removeStaleSocket(socket);
  const fd = inheritedSocket();
  const address =
    fd !== undefined ? { fd } : socket === undefined ? { port, host: bind ?? DEFAULT_BIND } : { path: socket };
  try {
    return await listen(server, address, { maxConnections: settings.maxClients, onConnectionEnd });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOTFOUND" || code === "EAI_AGAIN") {
      throw new CommandError(`address resolution failed for ${bind}:${port}: Name or service not known`);
    }
    // libuv reports a missing folder as a lack of permission.
    const missing = code === "EACCES" && socket !== undefined && !existsSync(dirname(socket));
    const known = code === "EADDRINUSE" ? "Address already in use" : missing ? "No such file or directory" : undefined;
    const reason = known ?? errnoText(error) ?? messageOf(error);
    throw new CommandError(`Failed to bind socket${socket === undefined ? "" : ` to ${socket}`}: ${reason}`);
  }
}

/** As QEMU does: a socket of that name from an earlier run is in the way and goes; another file stays. */
function removeStaleSocket(path: string): void {
  try {
    if (statSync(path).isSocket()) rmSync(path);
  } catch {
    // Not there, or not ours to judge: listening says what is wrong.
  }
}

function writePid(path: string): void {
  try {
    writeFileSync(path, `${process.pid}\n`);
  } catch (error) {
    throw new CommandError(`Could not create '${path}': ${errnoText(error) ?? messageOf(error)}`);
  }
}
