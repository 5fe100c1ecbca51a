import { CommandError, Context, Exit, HelpWanted, messageOf, UsageError } from "./support/context.js";
import { getopt } from "./support/getopt.js";
import { OutputClosed, ProcessTerminal, type Terminal } from "./support/terminal.js";

/** A subcommand: its arguments without its name; returns the exit status. */
export type Command = (context: Context, args: readonly string[]) => Promise<number>;

/** Each command is loaded when it is used. */
const COMMANDS: Readonly<Record<string, () => Promise<{ run: Command }>>> = {
  amend: () => import("./commands/amend.js"),
  bench: () => import("./commands/bench.js"),
  bitmap: () => import("./commands/bitmap.js"),
  check: () => import("./commands/check.js"),
  commit: () => import("./commands/commit.js"),
  compare: () => import("./commands/compare.js"),
  convert: () => import("./commands/convert.js"),
  create: () => import("./commands/create.js"),
  dd: () => import("./commands/dd.js"),
  info: () => import("./commands/info.js"),
  map: () => import("./commands/map.js"),
  measure: () => import("./commands/measure.js"),
  rebase: () => import("./commands/rebase.js"),
  resize: () => import("./commands/resize.js"),
  snapshot: () => import("./commands/snapshot.js"),
};

/** `softmetal img`: returns the exit status. `programName` is the prefix of error lines. */
export async function main(
  argv: string[],
  programName: string,
  terminal: Terminal = new ProcessTerminal(),
): Promise<number> {
  const context = new Context(programName, terminal);
  try {
    return await dispatch(context, argv).catch((error: unknown) => {
      if (error instanceof HelpWanted) return help(context);
      throw error;
    });
  } catch (error) {
    return report(context, error);
  }
}

async function dispatch(context: Context, argv: readonly string[]): Promise<number> {
  if (argv.length === 0) throw new UsageError("Not enough arguments");
  const { options, operands } = getopt(argv, {
    short: "hVT:",
    long: { help: { key: "h", value: false }, version: { key: "V", value: false }, trace: { key: "T", value: true } },
    stopAtOperand: true,
  });
  for (const { key, value } of options) {
    if (key === "h") return help(context);
    if (key === "V") return version(context);
    // There are no events to list.
    if (value === "help" || value === "?") return 0;
    (await import("./support/common.js")).warnTrace(context, value);
  }
  if (operands.length === 0) return 0;
  const [name, ...args] = operands;
  if (!Object.hasOwn(COMMANDS, name)) throw new UsageError(`Command not found: ${name}`);
  const { run } = await COMMANDS[name]();
  return run(context, args);
}

async function help(context: Context): Promise<number> {
  const { HELP } = await import("./help.js");
  context.out(HELP.replaceAll("%program%", context.program));
  return 0;
}

async function version(context: Context): Promise<number> {
  const { COMPATIBLE_VERSION } = await import("./help.js");
  context.out(`${context.program} version ${COMPATIBLE_VERSION} (Softmetal)\n`);
  return 0;
}

/** Prints what ended a command and returns the exit status: one line, never a stack. */
export function report(context: Context, error: unknown): number {
  if (error instanceof OutputClosed) return 1;
  if (error instanceof Exit) return error.exitCode;
  try {
    context.error(messageOf(error));
    if (error instanceof UsageError) context.terminal.err(`Try '${context.program} --help' for more information\n`);
  } catch (failure) {
    if (!(failure instanceof OutputClosed)) throw failure;
  }
  return error instanceof CommandError ? error.exitCode : 1;
}
