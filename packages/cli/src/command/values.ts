import { readFile, stat } from "node:fs/promises";
import { CliError } from "./failure.js";

const UNITS: Record<string, number> = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };

/** A size like `512M`, `1.5G` or `262144K`; without a unit it is in MiB, as people know it from QEMU. */
export function parseSize(option: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([KMG])?(?:i?B)?$/i.exec(text);
  if (!match) throw new CliError(`--${option} ${text} is not a size; write it like 512M or 1.5G.`, 2);
  return Math.round(Number(match[1]) * UNITS[(match[2] ?? "M").toUpperCase()]);
}

/** A whole number, decimal or with 0x. */
export function parseInteger(option: string, text: string, max = 0xffffffff): number {
  const value = /^(0x[0-9a-f]+|\d+)$/i.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value) || value > max) {
    throw new CliError(`--${option} ${text} is not a number from 0 to 0x${max.toString(16)}.`, 2);
  }
  return value;
}

/** One of a few words. */
export function parseChoice<const C extends string>(option: string, text: string, choices: readonly C[]): C {
  const found = choices.find((choice) => choice === text);
  if (found === undefined) throw new CliError(`--${option} ${text} is not known; choose ${choices.join(", ")}.`, 2);
  return found;
}

/** A file's bytes, with a limit above which it cannot be meant. @throws CliError */
export async function readInput(what: string, path: string, limit: number): Promise<Uint8Array> {
  try {
    const { size } = await stat(path);
    if (size > limit) {
      throw new CliError(`The ${what} ${path} has ${size} bytes, more than fit into the machine's memory.`);
    }
    return await readFile(path);
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw new CliError(`The ${what} ${path} cannot be read: ${reasonOf(error)}.`, 1, { cause: error });
  }
}

const REASONS: Record<string, string> = {
  ENOENT: "there is no such file",
  EACCES: "you are not permitted to",
  EPERM: "you are not permitted to",
  EISDIR: "it is a directory",
  ENOTDIR: "part of the path is not a directory",
  ELOOP: "its symbolic links lead in a circle",
};

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return REASONS[code ?? ""] ?? message;
}
