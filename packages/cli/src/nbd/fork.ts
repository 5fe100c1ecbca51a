import { spawn } from "node:child_process";
import { FORKED } from "./options.js";

/** `--fork`: the same command in the background; returns when it serves, or with its status when it fails to start. */
export function fork(argv: readonly string[]): Promise<number> {
  const words = process.argv.slice(1, process.argv.length - argv.length);
  const child = spawn(process.execPath, [...words, ...argv.filter((arg) => arg !== "--fork")], {
    detached: true,
    env: { ...process.env, [FORKED]: "1" },
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  return new Promise((resolve) => {
    child.once("message", () => {
      child.unref();
      if (child.connected) child.disconnect();
      resolve(0);
    });
    child.once("exit", (status) => resolve(status ?? 1));
    child.once("error", () => resolve(1));
  });
}
