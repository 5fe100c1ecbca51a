/** Executes decoded code: the interpreter, or emitted blocks. */
export interface Executor {
  /** Executes records, beginning with this one, until one leaves execution. */
  run(record: number): void;
}

/** Ways to execute: see `CpuOptions.tier`. */
export type Tier = "interpreter" | "blocks";
