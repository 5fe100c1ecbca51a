import { report } from "../img/main.js";
import { Arguments, warnTrace } from "../img/support/common.js";
import { CommandError, Context, HelpWanted, UsageError } from "../img/support/context.js";
import { flag, getopt, type ParsedOptions, valued } from "../img/support/getopt.js";
import { ProcessTerminal, type Terminal } from "../img/support/terminal.js";
import { Complaint, Misuse } from "./requests.js";
import { Session } from "./session.js";
import { findVerb, imageModes, oneLine, openOrExplain, type Verb } from "./verbs.js";

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
  -n, --nocache        short for -t none
  -C, --copy-on-read   store in the image what is read from its backing file
  -m, --misalign       accepted for compatibility
  -k, --native-aio     accepted for compatibility
  -i, --aio=MODE       accepted for compatibility (threads, native or io_uring)
  -t, --cache=MODE     use the given cache mode for the image
  -d, --discard=MODE   use the given discard mode for the image
  -T, --trace PATTERN  accepted for compatibility
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
    options = await Arguments.parse(context, argv, {
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
    if (error instanceof HelpWanted) {
      context.out(USAGE.replaceAll("%program%", context.program));
      return 0;
    }
    if (!(error instanceof UsageError)) throw error;
    context.error(error.standard);
    context.terminal.err(USAGE.replaceAll("%program%", context.program));
    return 1;
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
  const modes = imageModes({ cache: options.value("t"), aio: options.value("i"), discard: options.value("d") });
  for (const pattern of options.all("T")) warnTrace(context, pattern);
  if (options.operands.length === 1) {
    await openOrExplain(session, {
      filename: options.operands[0],
      imageOpts,
      format: options.value("f"),
      write: !options.has("r"),
      overlay: options.has("s"),
      forceShare: options.has("U"),
      copyOnRead: options.has("C"),
      ...modes,
      cache: options.value("t") ?? (options.has("n") ? "none" : undefined),
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
  const verb = findVerb(name);
  if (verb === undefined) return complain(`command "${name}" not found`);
  if (verb.image && session.image === undefined) return complain("no file open, try 'help open'");
  if (args.length < verb.min || (verb.max >= 0 && args.length > verb.max)) {
    return complain(`bad argument count ${args.length} to ${verb.name}, expected ${expectation(verb)}`);
  }
  let parsed: ParsedOptions;
  try {
    parsed = verb.raw ? { options: [], operands: args } : getopt(args, { short: verb.options });
  } catch (error) {
    complain(`${name}: ${(error as UsageError).standard}`);
    return usage(session, verb);
  }
  const { operands } = parsed;
  if (
    operands.length < (verb.leastOperands ?? verb.min) ||
    operands.length > (verb.operands ?? Number.POSITIVE_INFINITY)
  )
    return usage(session, verb);
  try {
    if (verb.writes && session.image?.disk.readOnly) throw new CommandError("Block node is read-only");
    return (await verb.run(session, new Map(parsed.options.map(({ key, value }) => [key, value])), operands)) === true;
  } catch (error) {
    if (error instanceof Misuse) return usage(session, verb);
    session.failed = true;
    if (error instanceof Complaint) context.terminal[error.to](`${error.message}\n`);
    else report(context, error);
    return false;
  }
}

/** The verb was used wrongly: its one-line description. */
function usage(session: Session, verb: Verb): false {
  session.context.out(`${oneLine(verb, verb.name)}\n`);
  session.failed = true;
  return false;
}

function expectation({ min, max }: Verb): string {
  if (max === -1) return `at least ${min} arguments`;
  return min === max ? `${min} arguments` : `between ${min} and ${max} arguments`;
}
