import type { Terminal } from "./img/support/terminal.js";

export interface ImageCommand {
  main(argv: string[], programName: string, terminal?: Terminal): Promise<number>;
}

/** The commands for disk images. The executables load this when they have nothing else to wait for. */
export const commands: Readonly<Record<string, () => Promise<ImageCommand>>> = {
  img: () => import("./img/main.js"),
  io: () => import("./io/main.js"),
  nbd: () => import("./nbd/main.js"),
};

export { useLockList } from "./img/support/system.js";
