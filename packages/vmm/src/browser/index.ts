import type { CreateMachine } from "../api.js";
import { createInThread, type MachineThread } from "../worker/client.js";

export * from "../index.js";

/**
 * Makes a machine in a web worker of its own. The page must be cross-origin isolated: guest memory is shared memory.
 * @throws MachineError
 */
export const createMachine: CreateMachine = (config) => createInThread(config, startThread);

function startThread(): MachineThread {
  const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  return {
    post: (message) => worker.postMessage(message),
    listen: (listener) => {
      worker.onmessage = (event) => listener(event.data);
    },
    onFailure: (listener) => {
      worker.onerror = (event) => listener(event.message);
    },
    terminate: async () => worker.terminate(),
  };
}
