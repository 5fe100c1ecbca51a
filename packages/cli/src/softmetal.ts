#!/usr/bin/env node
import { IMAGE_COMMANDS, startImages } from "./start-images.js";

async function start(argv: string[]): Promise<void> {
  const [name, ...rest] = argv[0] === "help" && argv.length > 1 ? [argv[1], "--help"] : argv;
  if (name === undefined || !IMAGE_COMMANDS.includes(name)) {
    const { program } = await import("./program.js");
    return program(argv);
  }
  process.exit(await startImages(name, rest, `softmetal ${name}`));
}

start(process.argv.slice(2));
