import type { Context } from "./context.js";

/** The `-p` line: rewritten in place, at most once per percent step. */
export class ProgressLine {
  #last = -1;
  constructor(
    private readonly context: Context,
    private readonly enabled: boolean,
    /** Percent between two prints. */
    private readonly step = 2,
  ) {
    this.#print(0);
  }

  /** Work done so far and in all, same unit. */
  readonly update = (done: number, total: number): void => {
    const percent = total > 0 ? Math.min(100, (done / total) * 100) : 100;
    if (percent >= this.#last + this.step || (percent === 100 && this.#last !== 100)) this.#print(percent);
  };

  /** All is done: the last print, and the end of the line. */
  end(): void {
    this.#print(100);
    this.endLine();
  }

  /** The end of the line alone. */
  endLine(): void {
    if (this.enabled) this.context.out("\n");
  }

  #print(percent: number): void {
    this.#last = percent;
    if (this.enabled) this.context.out(`    (${percent.toFixed(2).padStart(3)}/100%)\r`);
  }
}
