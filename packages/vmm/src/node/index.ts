import { Worker } from "node:worker_threads";
import type { CreateMachine } from "../api.js";
import { createInThread, type MachineThread } from "../worker/client.js";
import type { Report } from "../worker/protocol.js";
import { Doorbell } from "./doorbell.js";

export * from "../index.js";
export { type KvmAvailability, kvmAvailability } from "../kvm/availability.js";

/**
 * Makes a machine in a worker thread of its own.
 * @throws MachineError
 */
export const createMachine: CreateMachine = (config) => createInThread(config, startThread);

function startThread(): MachineThread {
  const worker = new Worker(new URL("./worker.js", import.meta.url));
  let doorbell: Doorbell | undefined;
  return {
    post: (message) => {
      const post = () => worker.postMessage(message);
      if (doorbell) doorbell.ring(post);
      else post();
    },
    listen: (listener) => {
      worker.on("message", (report: Report) => {
        if (report.type === "created" && report.doorbell) doorbell = new Doorbell(report.doorbell);
        listener(report);
      });
    },
    onFailure: (listener) => {
      worker.on("error", (error) => listener(error.message));
    },
    terminate: async () => {
      doorbell?.dispose();
      doorbell = undefined;
      await worker.terminate();
    },
  };
}
