import { report } from "../img/main.js";
import { Arguments, cacheMode } from "../img/support/common.js";
import { CommandError, Context, UsageError } from "../img/support/context.js";
import { flag, getopt, valued } from "../img/support/getopt.js";
import { ProcessTerminal, type Terminal } from "../img/support/terminal.js";
import { Complaint } from "./requests.js";
import { Session } from "./session.js";
import { openOrExplain, VERBS, type Verb } from "./verbs.js";

const USAGE = `Usage: %program% [OPTIONS]... [-c STRING]... [file]
Disk exerciser with the command language of qemu-io

  --object OBJECTDEF   define an object such as 'secret' for
                       passwords and/or encryption keys
  --image-opts         treat file as option string
  -c, --cmd STRING     execute command with its arguments
                       from the given string
  -f, --format FMT     specifies the format of the image
  -r, --read-only      open read-only
  -s, --snapshot       use a temporary overlay
  -t, --cache=MODE     use the given cache mode for the image
  -d, --discard=MODE   use the given discard mode for the image
  -U, --force-share    accept that others write to the image
  -h, --help           display this help and exit
  -V, --version        output version information and exit

See '%program% -c help' for information on available commands.
`;

/** `softmetal io`: returns the exit status. */
export async function main(
  argv: string[],
  programName: string,
  terminal: Terminal = new ProcessTerminal(),
): Promise<number> {
  const context = new Context(programName, terminal);
  const session = new Session(context);
  try {
    return await exercise(session, argv);
  } catch (error) {
    return report(context, error);
  } finally {
    await session.close().catch(() => {});
  }
}

async function exercise(session: Session, argv: readonly string[]): Promise<number> {
  const { context } = session;
  let options: Arguments;
  try {
    options = new Arguments(context, argv, {
      short: "hVc:rsnCmki:t:d:f:T:U",
      long: {
        help: flag("h"),
        version: flag("V"),
        cmd: valued("c"),
        "read-only": flag("r"),
        snapshot: flag("s"),
        nocache: flag("n"),
        "copy-on-read": flag("C"),
        misalign: flag("m"),
        "native-aio": flag("k"),
        aio: valued("i"),
        cache: valued("t"),
        discard: valued("d"),
        format: valued("f"),
        trace: valued("T"),
        "force-share": flag("U"),
        object: valued("object"),
        "image-opts": flag("image-opts"),
      },
    });
  } catch (error) {
    if (error instanceof UsageError) context.terminal.err(USAGE.replaceAll("%program%", context.program));
    throw error instanceof UsageError ? new CommandError(error.message) : error;
  }
  if (options.has("h")) {
    context.out(USAGE.replaceAll("%program%", context.program));
    return 0;
  }
  if (options.has("V")) {
    const { COMPATIBLE_VERSION } = await import("../img/help.js");
    context.out(`${context.program} version ${COMPATIBLE_VERSION} (Softmetal)\n`);
    return 0;
  }
  if (options.operands.length > 1) {
    context.terminal.err(USAGE.replaceAll("%program%", context.program));
    return 1;
  }
  const imageOpts = options.has("image-opts");
  if (imageOpts && options.has("f")) throw new CommandError("--image-opts and -f are mutually exclusive");
  const cache = cacheMode(options.value("t"));
  if (options.operands.length === 1) {
    await openOrExplain(session, {
      filename: options.operands[0],
      imageOpts,
      format: options.value("f"),
      write: !options.has("r"),
      overlay: options.has("s"),
      forceShare: options.has("U"),
      cache,
      discard: !["ignore", "off"].includes(options.value("d") ?? "unmap"),
    });
  }
  await commandLoop(session, options.all("c"));
  return session.failed ? 1 : 0;
}

async function commandLoop(session: Session, commands: readonly string[]): Promise<void> {
  for (const line of commands) if (await execute(session, line)) return;
  if (commands.length > 0) return session.settle();
  for (;;) {
    const line = session.context.terminal.readLine(`${session.context.program}> `);
    if (line === undefined) return session.settle();
    if (await execute(session, line)) return session.settle();
  }
}

/** One command line; true ends the program. */
async function execute(session: Session, line: string): Promise<boolean> {
  const [name, ...args] = line.split(" ").filter((word) => word !== "");
  if (name === undefined) return false;
  const { context } = session;
  const complain = (text: string): false => {
    context.terminal.err(`${text}\n`);
    session.failed = true;
    return false;
  };
  if (name === "help" || name === "?") return help(session, args);
  const verb = VERBS.find((candidate) => candidate.name === name || candidate.aliases?.includes(name));
  if (verb === undefined) return complain(`command "${name}" not found`);
  if (verb.image && session.image === undefined) return complain("no file open, try 'help open'");
  if (args.length < verb.min || (verb.max >= 0 && args.length > verb.max)) {
    return complain(`bad argument count ${args.length} to ${verb.name}, expected ${expectation(verb)}`);
  }
  let parsed: ReturnType<typeof getopt>;
  try {
    parsed = getopt(args, { short: verb.options });
  } catch (error) {
    const bad = /'-*(.)/.exec((error as Error).message)?.[1] ?? "?";
    const missing = (error as Error).message.startsWith("missing");
    complain(`${name}: ${missing ? "option requires an argument" : "invalid option"} -- '${bad}'`);
    return usage(session, verb);
  }
  const { operands } = parsed;
  if (operands.length < verb.min || operands.length > (verb.operands ?? Number.POSITIVE_INFINITY))
    return usage(session, verb);
  try {
    if (verb.writes && session.image?.disk.readOnly) throw new CommandError("Block node is read-only");
    return (await verb.run(session, new Map(parsed.options.map(({ key, value }) => [key, value])), operands)) === true;
  } catch (error) {
    session.failed = true;
    if (error instanceof Complaint) context.out(`${error.message}\n`);
    else report(context, error);
    return false;
  }
}

/** The verb was used wrongly: its one-line description. */
function usage(session: Session, verb: Verb): false {
  session.context.out(`${oneLine(verb)}\n`);
  session.failed = true;
  return false;
}

function expectation({ min, max }: Verb): string {
  if (max === -1) return `at least ${min} arguments`;
  return min === max ? `${min} arguments` : `between ${min} and ${max} arguments`;
}

const oneLine = ({ name, usage, summary }: Verb): string => `${name} ${usage}${usage === "" ? "" : " "}-- ${summary}`;

function help(session: Session, args: readonly string[]): false {
  const { context } = session;
  if (args.length === 0) {
    context.out(
      `${VERBS.map(oneLine).join("\n")}\nhelp [command] -- help for one or all commands\n\nUse 'help commandname' for extended help.\n`,
    );
    return false;
  }
  const verb = VERBS.find(({ name }) => name === args[0]);
  context.out(verb === undefined ? `command ${args[0]} not found\n` : `${oneLine(verb)}\n`);
  return false;
}
