#!/usr/bin/env node

interface Command {
  main(argv: string[], programName: string): Promise<number>;
}

/** The commands for disk images are in this file's bundle: short as they are, they need a quick start. */
const IMAGE_COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  img: () => import("./img/main.js"),
  io: () => import("./io/main.js"),
  nbd: () => import("./nbd/main.js"),
};

async function start(argv: string[]): Promise<void> {
  const [name, ...rest] = argv[0] === "help" && argv.length > 1 ? [argv[1], "--help"] : argv;
  if (name === undefined || !Object.hasOwn(IMAGE_COMMANDS, name)) {
    const { program } = await import("./program.js");
    return program(argv);
  }
  const { main } = await IMAGE_COMMANDS[name]();
  process.exit(await main(rest, `softmetal ${name}`));
}

start(process.argv.slice(2));
