/** A failure that the person can do something about: one line, and the status the process ends with. */
export class CliError extends Error {
  override readonly name = "CliError";
  constructor(
    message: string,
    /** 2 for a wrong command line, 1 for everything else. */
    readonly exitStatus: 1 | 2 = 1,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Error codes of the libraries that mean: the command line asked for something impossible. */
const USAGE_CODES = new Set(["bad-config", "bad-cpu"]);
/** Errors of the libraries, whose messages are written for people. */
const LIBRARY_ERRORS = new Set(["GuestError", "MachineError"]);

/** The line to print for an error and the exit status. */
export function describeFailure(error: unknown): { message: string; exitStatus: number } {
  if (error instanceof CliError) return { message: error.message, exitStatus: error.exitStatus };
  if (error instanceof Error && LIBRARY_ERRORS.has(error.name)) {
    const code = "code" in error ? String(error.code) : "";
    return { message: oneLine(error.message), exitStatus: USAGE_CODES.has(code) ? 2 : 1 };
  }
  const text = error instanceof Error ? error.message : String(error);
  return { message: `internal error: ${oneLine(text)} (SOFTMETAL_DEBUG=1 shows where)`, exitStatus: 1 };
}

const oneLine = (text: string) => text.replace(/\s*\n\s*/g, " ");
