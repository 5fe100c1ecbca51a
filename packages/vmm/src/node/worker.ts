import { parentPort } from "node:worker_threads";
import { serve } from "../worker/serve.js";

const port = parentPort!;
serve({
  post: (message) => port.postMessage(message),
  listen: (listener) => {
    port.on("message", listener);
  },
});
