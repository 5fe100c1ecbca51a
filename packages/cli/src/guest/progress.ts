import type { GuestProgress } from "@softmetal/guest/node";

/** Where the progress goes: standard error, or a stand-in. */
export interface ProgressOutput {
  isTTY?: boolean;
  write(text: string): unknown;
}

const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1);

/** Shows what the obtaining of a guest is at: one line rewritten on a terminal, else a line for each step. */
export class ProgressLine {
  readonly #output: ProgressOutput;
  #shown = false;
  #lastStep = "";

  constructor(output: ProgressOutput) {
    this.#output = output;
  }

  show(progress: GuestProgress): void {
    const [step, detail] = describe(progress);
    if (this.#output.isTTY) {
      this.#output.write(`\r\x1b[K${step}${detail}`);
      this.#shown = true;
    } else if (step !== this.#lastStep) {
      this.#output.write(`${step}\n`);
    }
    this.#lastStep = step;
  }

  /** Removes the line from a terminal. */
  clear(): void {
    if (this.#shown) this.#output.write("\r\x1b[K");
    this.#shown = false;
  }
}

function describe(progress: GuestProgress): [step: string, detail: string] {
  switch (progress.stage) {
    case "lists":
      return [progress.message, ""];
    case "download": {
      const { received, total } = progress;
      const percent = total ? ` (${Math.floor((100 * received) / total)} %)` : "";
      return [`downloading ${progress.package}`, `: ${megabytes(received)} MB${percent}`];
    }
    case "unpack":
      return [`unpacking ${progress.package}`, ""];
    case "pack":
      return ["packing the initramfs", ""];
    case "done":
      return ["the guest is ready", ""];
  }
}
