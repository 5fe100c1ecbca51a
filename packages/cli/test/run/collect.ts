import type { spawn } from "node:child_process";

/** Gathers a stream's text, for a test that waits for words in it. */
export function collect(stream: NodeJS.ReadableStream, timeout: number) {
  let text = "";
  let wake = () => {};
  stream.on("data", (chunk) => {
    text += chunk.toString("latin1");
    wake();
  });
  return {
    /** Waits for output that contains this, and gives all of it up to then. */
    async until(wanted: string): Promise<string> {
      const deadline = Date.now() + timeout;
      while (!text.includes(wanted)) {
        if (Date.now() > deadline) throw new Error(`no ${JSON.stringify(wanted)} in ${JSON.stringify(text)}`);
        await new Promise<void>((resolve) => {
          wake = resolve;
          setTimeout(resolve, 100);
        });
      }
      return text;
    },
  };
}

/** The exit status of a process. */
export function ended(child: ReturnType<typeof spawn>): Promise<number | null> {
  if (child.exitCode !== null) return Promise.resolve(child.exitCode);
  return new Promise((resolve) => child.once("exit", (status) => resolve(status)));
}
