import { parentPort } from "node:worker_threads";
import { serve } from "../worker/serve.js";
import { makeEngineWith } from "./engines.js";

const port = parentPort!;
/** Messages handled so far; the embedding program counts those that it posts. */
let handled = 0;

serve(
  {
    post: (message, transfer) => port.postMessage(message, transfer),
    listen: (listener) => {
      port.on("message", (message) => {
        listener(message);
        handled++;
      });
    },
  },
  makeEngineWith(() => handled),
);
