import type { Page } from "playwright-core";

/** A dedicated worker of a page. */
export interface BrowserWorker {
  /** What it posted first. */
  readonly message: unknown;
  /** Calls a global function of the worker. */
  call(name: string, ...values: unknown[]): Promise<unknown>;
}

/**
 * Starts a worker in a page.
 * @param url A module that posts one message when it has run.
 * @throws Error when the module cannot be loaded, or fails.
 */
export async function startWorker(page: Page, url: string): Promise<BrowserWorker> {
  const [worker, message] = await Promise.all([
    page.waitForEvent("worker"),
    page.evaluate(
      (url) =>
        new Promise((resolve, reject) => {
          const worker = new Worker(url, { type: "module" });
          worker.onmessage = (event) => resolve(event.data);
          worker.onerror = (event) => reject(new Error(event.message || `${url} could not be loaded`));
        }),
      url,
    ),
  ]);
  return {
    message,
    call: (name, ...values) =>
      worker.evaluate(
        ({ name, values }) => {
          const functions = globalThis as unknown as Record<string, (...values: unknown[]) => unknown>;
          return functions[name](...values);
        },
        { name, values },
      ),
  };
}
