import { readFileSync } from "node:fs";
import { CliError, describeFailure } from "./command/failure.js";
import { nearest } from "./command/options.js";

interface Command {
  help: string;
  /** Commands without it are in `softmetal.ts`. */
  run?(argv: string[]): Promise<number>;
}

/** Each command's code is loaded when it is called, so that none pays for the others. */
const commands: Record<string, Command> = {
  run: { help: "run a machine on this terminal", run: async (argv) => (await import("./run/main.js")).main(argv) },
  guest: { help: "obtain the default guest", run: async (argv) => (await import("./guest/main.js")).main(argv) },
  doctor: { help: "say what this host can do", run: async (argv) => (await import("./doctor/main.js")).main(argv) },
  img: { help: "work on disk images, with the options of qemu-img" },
  io: { help: "read and write inside disk images, with the commands of qemu-io" },
  nbd: { help: "export disk images, with the options of qemu-nbd" },
};

const usage = `Usage: softmetal COMMAND [options]

Commands:
${Object.entries(commands)
  .map(([name, { help }]) => `  ${name.padEnd(8)}${help}\n`)
  .join("")}
softmetal COMMAND --help tells more. softmetal --version prints the version.
`;

function version(): string {
  const file = new URL("../package.json", import.meta.url);
  return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
}

async function main(argv: string[]): Promise<number> {
  const [name, ...rest] = argv;
  if (name === undefined) {
    process.stderr.write(usage);
    return 2;
  }
  if (name === "--help" || name === "-h" || (name === "help" && rest.length === 0)) {
    process.stdout.write(usage);
    return 0;
  }
  if (name === "--version" || name === "-V") {
    process.stdout.write(`softmetal ${version()}\n`);
    return 0;
  }
  if (name === "help") return main([rest[0], "--help"]);
  const run = Object.hasOwn(commands, name) ? commands[name].run : undefined;
  if (run === undefined) {
    const near = nearest(name, Object.keys(commands));
    const hint = near ? `did you mean ${near}?` : "softmetal --help lists the commands.";
    throw new CliError(`there is no command ${name}; ${hint}`, 2);
  }
  return run(rest);
}

/** Everything that `softmetal` does but handling disk images. Ends the process. */
export async function program(argv: string[]): Promise<never> {
  // Whoever reads the output may stop reading, as head does; that is no failure.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));
  }
  try {
    process.exit(await main(argv));
  } catch (error) {
    const { message, exitStatus } = describeFailure(error);
    const name = Object.hasOwn(commands, argv[0] ?? "") ? `softmetal ${argv[0]}` : "softmetal";
    process.stderr.write(`${name}: ${message}\n`);
    if (process.env.SOFTMETAL_DEBUG && error instanceof Error) process.stderr.write(`${error.stack}\n`);
    process.exit(exitStatus);
  }
}
