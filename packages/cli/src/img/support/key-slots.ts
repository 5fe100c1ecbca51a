import type { LuksInfo, Qcow2Image } from "@softmetal/qcow2";
import { CommandError, type Context } from "./context.js";
import type { CreateOptions } from "./create-options.js";

/** What changes passphrases: a LUKS volume, or a qcow2 image with one inside. */
type KeyHolder = Pick<Qcow2Image, "addPassphrase" | "removePassphrase">;

const NAMES = ["state", "keyslot", "new-secret", "old-secret", "iter-time"] as const;

/** Whether any option is about passphrases; `prefix` stands before their names ("encrypt." for qcow2). */
export const amendsKeys = (options: CreateOptions, prefix: "" | "encrypt."): boolean =>
  NAMES.some((name) => options.has(prefix + name));

/** Adds or erases a passphrase, or refuses to in the words people know. */
export async function amendKeys(
  context: Context,
  image: KeyHolder,
  { slots }: LuksInfo,
  options: CreateOptions,
  prefix: "" | "encrypt.",
  force: boolean,
): Promise<void> {
  const refuse = (message: string): never => {
    throw new CommandError(message);
  };
  const given = (name: (typeof NAMES)[number]): string | undefined => options.get(prefix + name);
  const state = given("state");
  if (state === undefined) return refuse("Parameter 'state' is missing");
  if (state !== "active" && state !== "inactive") refuse(`Parameter 'state' does not accept value '${state}'`);
  const slot = options.number(`${prefix}keyslot`);
  const newSecret = given("new-secret");
  const oldSecret = given("old-secret");
  const checkSlot = (): void => {
    if (slot !== undefined && slots[slot] === undefined)
      // QEMU prints the number with a sign or without.
      refuse(
        `Invalid keyslot ${state === "active" ? slot >>> 0 : slot} specified, must be between 0 and ${slots.length - 1}`,
      );
  };
  if (state === "active") {
    if (newSecret === undefined) return refuse("'new-secret' is required to activate a keyslot");
    if (oldSecret !== undefined) refuse("'old-secret' must not be given when activating keyslots");
    checkSlot();
    if (slot === undefined && slots.every(({ active }) => active))
      refuse("Can't add a keyslot - all keyslots are in use");
    if (slot !== undefined && slots[slot].active && !force)
      refuse(`Refusing to overwrite active keyslot ${slot} - please erase it first`);
    const passphrase = context.secret(newSecret);
    await image.addPassphrase({ passphrase, slot, force, iterTime: options.number(`${prefix}iter-time`) });
    return;
  }
  if (newSecret !== undefined) refuse("'new-secret' must not be given when erasing keyslots");
  if (given("iter-time") !== undefined) refuse("'iter-time' must not be given when erasing keyslots");
  const passphrase = oldSecret === undefined ? undefined : context.secret(oldSecret);
  if (slot === undefined && passphrase === undefined) {
    refuse(
      "To erase keyslot(s), either explicit keyslot index or the password currently contained in them must be given",
    );
  }
  checkSlot();
  try {
    await image.removePassphrase({ slot, passphrase, force });
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === "wrong-passphrase") {
      refuse(
        slot === undefined
          ? "No keyslots match given (old) password for erase operation"
          : `Given keyslot ${slot} doesn't contain the given old password for erase operation`,
      );
    }
    if (code === "not-found") refuse(`Given keyslot ${slot} is already erased (inactive) `);
    if (code === "conflict") {
      refuse(
        slot === undefined
          ? "All the active keyslots match the (old) password that was given and erasing them will erase all the data in the image irreversibly - refusing operation"
          : `Attempt to erase the only active keyslot ${slot} which will erase all the data in the image irreversibly - refusing operation`,
      );
    }
    throw error;
  }
}
