import { constants } from "node:os";
import { type Guest, type ObtainOptions, obtainGuest } from "@softmetal/guest/node";
import { ProgressLine } from "./progress.js";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Obtains a guest with progress on standard error. A signal ends the process once the temporary files are removed. */
export async function obtainWithProgress(options: Omit<ObtainOptions, "onProgress" | "signal">): Promise<Guest> {
  const progress = new ProgressLine(process.stderr);
  const abort = new AbortController();
  let received: (typeof SIGNALS)[number] | undefined;
  const onSignal = (name: NodeJS.Signals) => {
    received ??= SIGNALS.find((signal) => signal === name);
    abort.abort();
  };
  for (const name of SIGNALS) process.on(name, onSignal);
  try {
    return await obtainGuest({ ...options, signal: abort.signal, onProgress: (step) => progress.show(step) });
  } catch (error) {
    if (received === undefined) throw error;
    progress.clear();
    return process.exit(128 + constants.signals[received]);
  } finally {
    progress.clear();
    for (const name of SIGNALS) process.off(name, onSignal);
  }
}
