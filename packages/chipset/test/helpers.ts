import type { InterruptLine } from "../src/index.js";

/** A line that remembers its level and counts its rising edges. */
export class Probe implements InterruptLine {
  level = false;
  edges = 0;

  set(level: boolean): void {
    if (level && !this.level) this.edges++;
    this.level = level;
  }
}
