import { Worker } from "node:worker_threads";
import type { CreateMachine } from "../api.js";
import { createInThread, type MachineThread } from "../worker/client.js";

export * from "../index.js";

/**
 * Makes a machine in a worker thread of its own.
 * @throws MachineError
 */
export const createMachine: CreateMachine = (config) => createInThread(config, startThread);

function startThread(): MachineThread {
  const worker = new Worker(new URL("./worker.js", import.meta.url));
  return {
    post: (message) => worker.postMessage(message),
    listen: (listener) => {
      worker.on("message", listener);
    },
    onFailure: (listener) => {
      worker.on("error", (error) => listener(error.message));
    },
    terminate: async () => {
      await worker.terminate();
    },
  };
}
