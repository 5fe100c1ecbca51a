import { type CreateMachine, MachineError } from "../api.js";
import { createInThread, type MachineThread } from "../worker/client.js";

export * from "../index.js";

/**
 * Makes a machine in a web worker of its own. The page must be cross-origin isolated.
 * @throws MachineError
 */
export const createMachine: CreateMachine = async (config) => {
  checkIsolation();
  return createInThread(config, startThread);
};

/**
 * Guest memory is shared memory. Some browsers give that to every page, but only isolated ones may pass it between
 * threads, and only they have clocks that are good enough for a guest's timers.
 */
function checkIsolation(): void {
  if (globalThis.crossOriginIsolated) return;
  throw new MachineError(
    "accelerator-unavailable",
    "The page is not cross-origin isolated: serve it with the headers Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp.",
  );
}

function startThread(): MachineThread {
  // Written so, bundlers find it; they want it written in one piece.
  const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  return {
    post: (message) => worker.postMessage(message),
    listen: (listener) => {
      worker.onmessage = (event) => listener(event.data);
    },
    onFailure: (listener) => {
      // A script that does not load gives an event without a message.
      worker.onerror = (event) => listener(event.message || missing(new URL("./worker.js", import.meta.url)));
    },
    terminate: async () => worker.terminate(),
  };
}

const missing = (url: URL) =>
  `The machine's worker could not be loaded from ${url}: bundle @softmetal/vmm/worker to that place.`;
