import { readLockList } from "./img/support/lock-list.js";

/** Names of the commands in `images.ts`. */
export const IMAGE_COMMANDS: readonly string[] = ["img", "io", "nbd"];

/** Runs a command for disk images; gives the exit status. What can be waited for meanwhile is begun before it is loaded. */
export async function startImages(name: string, argv: string[], programName: string): Promise<number> {
  const locks = name === "img" && argv[0] === "info" && process.platform === "linux" ? readLockList() : undefined;
  // Not import(), for which Node would start its loader of ES modules.
  const { commands, useLockList } = require("./images.cjs") as typeof import("./images.js");
  if (locks) useLockList(locks);
  const { main } = await commands[name]();
  return main(argv, programName);
}
