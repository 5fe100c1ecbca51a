import type { Arguments } from "../img/support/common.js";
import { CommandError } from "../img/support/context.js";

/** The first descriptor that is handed over (sd_listen_fds(3)). */
const FIRST_DESCRIPTOR = 3;

/** How many sockets the starter of this process has opened for it: systemd, or `nbdinfo [ softmetal-nbd ... ]`. */
function inheritedCount(): number {
  const { LISTEN_PID, LISTEN_FDS } = process.env;
  return LISTEN_PID === String(process.pid) && /^\d+$/.test(LISTEN_FDS ?? "") ? Number(LISTEN_FDS) : 0;
}

/** The descriptor of the listening socket that this process was given, if any. */
export const inheritedSocket = (): number | undefined => (inheritedCount() > 0 ? FIRST_DESCRIPTOR : undefined);

/** Refuses what contradicts a socket that is already open. */
export function checkActivation(options: Arguments): void {
  const count = inheritedCount();
  if (count === 0) return;
  const contradictions: readonly [string, string][] = [
    ["c", "NBD device can't be set when using socket activation"],
    ["k", "Unix socket can't be set when using socket activation"],
    ["b", "The interface can't be set when using socket activation"],
    ["p", "TCP port number can't be set when using socket activation"],
    ["L", "List mode is incompatible with socket activation"],
  ];
  for (const [key, message] of contradictions) if (options.has(key)) throw new CommandError(message);
  if (count > 1) throw new CommandError("qemu-nbd does not support socket activation with LISTEN_FDS > 1");
}
