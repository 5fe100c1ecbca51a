import type { Qcow2Image } from "@softmetal/qcow2";
import { Arguments, FORCE_SHARE, IMAGE_OPTS, OBJECT } from "../support/common.js";
import { CommandError, type Context, messageOf, UsageError } from "../support/context.js";
import { flag } from "../support/getopt.js";
import { openImage } from "../support/open.js";
import { snapshotTable } from "../support/snapshots.js";

/** `snapshot -l | -c | -a | -d`. */
export async function run(context: Context, args: readonly string[]): Promise<number> {
  const options = await Arguments.parse(context, args, {
    short: "la:c:d:hqU",
    long: { help: flag("h"), ...OBJECT, ...IMAGE_OPTS, ...FORCE_SHARE },
  });
  const actions = options.options.filter(({ key }) => "lacd".includes(key));
  if (actions.length > 1) throw new UsageError("Cannot mix '-l', '-a', '-c', '-d'");
  if (options.operands.length !== 1) throw new UsageError("Expecting one image file name");
  const [action] = actions;
  const list = action === undefined || action.key === "l";
  const image = await openImage(context, {
    filename: options.operands[0],
    imageOpts: options.has("image-opts"),
    write: !list,
    forceShare: options.has("U"),
    metadataOnly: true,
  });
  try {
    if (action === undefined) return 0;
    if (action.key === "l") {
      const snapshots = (await image.qcow2?.info())?.snapshots ?? [];
      if (snapshots.length > 0) context.out(`Snapshot list:\n${snapshotTable(snapshots)}`);
      return 0;
    }
    await perform(image.qcow2, action.key, action.value);
  } finally {
    await image.close();
  }
  return 0;
}

async function perform(image: Qcow2Image | undefined, action: string, name: string): Promise<void> {
  const verb = action === "c" ? "create" : action === "a" ? "apply" : "delete";
  const fail = (reason: string): never => {
    throw new CommandError(`Could not ${verb} snapshot '${name}': ${reason}`);
  };
  if (image === undefined) {
    return fail(
      {
        create: "-95 (Operation not supported)",
        apply: "Block driver does not support snapshots",
        delete: "snapshot not found",
      }[verb],
    );
  }
  try {
    if (verb === "create") {
      // What qemu-img stores where no machine runs.
      await image.createSnapshot({ name, icount: 0n });
      return;
    }
    const id = findSnapshot(image.listSnapshots(), name, verb);
    if (id === undefined)
      fail(verb === "apply" ? "Failed to load snapshot: No such file or directory" : "snapshot not found");
    if (verb === "apply") await image.applySnapshot(id!);
    else await image.deleteSnapshot(id!);
  } catch (error) {
    if (error instanceof CommandError) throw error;
    fail(verb === "create" ? errnoOf(error) : messageOf(error));
  }
}

/** Creation fails with an error number. */
function errnoOf(error: unknown): string {
  const { name, code } = error as { name?: string; code?: string };
  if (name === "Qcow2Error" && code === "conflict") return "-22 (Invalid argument)";
  if (name === "Qcow2Error" && code === "unsupported") return "-95 (Operation not supported)";
  if (name === "Qcow2Error" && code === "too-large") return "-27 (File too large)";
  return messageOf(error);
}

/** Deleting goes by name alone; applying takes an id before a name. */
function findSnapshot(
  snapshots: readonly { id: string; name: string }[],
  text: string,
  verb: string,
): string | undefined {
  const byName = snapshots.find(({ name }) => name === text);
  if (verb === "delete") return byName?.id;
  return (snapshots.find(({ id }) => id === text) ?? byName)?.id;
}
