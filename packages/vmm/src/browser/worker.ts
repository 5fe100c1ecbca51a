import type { Request } from "../worker/protocol.js";
import { serve } from "../worker/serve.js";
import { makeTranslator } from "../worker/translator-only.js";

/** The part of a dedicated worker's scope that is used here. */
interface WorkerScope {
  postMessage(message: unknown, transfer?: ArrayBuffer[]): void;
  onmessage: ((event: { data: Request }) => void) | null;
}
const scope = globalThis as unknown as WorkerScope;

serve(
  {
    post: (message, transfer) => scope.postMessage(message, transfer),
    listen: (listener) => {
      scope.onmessage = (event) => listener(event.data);
    },
  },
  makeTranslator,
);
