import { constants } from "node:os";
import type { SessionEnd } from "./exit-status.js";
import type { SessionConsole } from "./session.js";

const SIGNALS = ["SIGTERM", "SIGHUP", "SIGINT"] as const;
/** Attributes off, cursor visible, alternate screen left: what a guest may have changed. */
const RESET_SCREEN = "\x1b[0m\x1b[?25h\x1b[?1049l";

/** The process's own terminal. `restore` gives it back as it was, and is also called when the process exits. */
export class HostConsole implements SessionConsole {
  readonly interactive: boolean;
  readonly input: AsyncIterable<Uint8Array>;
  readonly signalled: Promise<Extract<SessionEnd, { kind: "signal" }>>;
  readonly #cleanUp: (() => void)[] = [];

  constructor() {
    const { stdin, stdout } = process;
    this.interactive = stdin.isTTY === true && stdout.isTTY === true;
    this.input = stdin;
    this.signalled = new Promise((resolve) => {
      for (const name of SIGNALS) {
        this.#listen(name, () => resolve({ kind: "signal", name, number: constants.signals[name] }));
      }
    });
    if (this.interactive) {
      stdin.setRawMode(true);
      // Whoever stopped and continued this process has set the terminal's mode for himself meanwhile.
      this.#listen("SIGCONT", () => stdin.setRawMode(true));
      const onExit = () => this.restore();
      process.on("exit", onExit);
      this.#cleanUp.push(() => {
        process.off("exit", onExit);
        stdin.setRawMode(false);
        stdout.write(RESET_SCREEN);
      });
    }
  }

  write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      process.stdout.write(bytes, (error) => (error ? reject(error) : resolve()));
    });
  }

  message(text: string): void {
    process.stderr.write(this.interactive ? text.replace(/\n/g, "\r\n") : text);
  }

  size(): { rows: number; columns: number } | undefined {
    const { rows, columns } = process.stdout;
    return rows > 0 && columns > 0 ? { rows, columns } : undefined;
  }

  /** Safe to call more than once. */
  restore(): void {
    for (const undo of this.#cleanUp.splice(0)) undo();
    process.stdin.destroy();
  }

  #listen(name: NodeJS.Signals, listener: () => void): void {
    process.on(name, listener);
    this.#cleanUp.push(() => process.off(name, listener));
  }
}
