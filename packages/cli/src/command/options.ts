import { parseArgs } from "node:util";
import { CliError } from "./failure.js";

/** One option of a command. Those without `argument` are switches. */
export interface OptionRow {
  short?: string;
  /** Name of the argument in the help. */
  argument?: string;
  /** May be given several times. */
  multiple?: boolean;
  help: string;
}

export type OptionTable = Readonly<Record<string, OptionRow>>;

type Value<R extends OptionRow> = R extends { argument: string }
  ? R extends { multiple: true }
    ? string[]
    : string
  : boolean;

export type OptionValues<T extends OptionTable> = { [K in keyof T]?: Value<T[K]> };

/**
 * Parses a command's arguments by its table. `--help` is understood by every command.
 * @throws CliError with exit status 2
 */
export function parseOptions<T extends OptionTable>(
  command: string,
  table: T,
  argv: readonly string[],
): OptionValues<T> & { help?: boolean } {
  const options = Object.fromEntries(
    Object.entries({ ...table, help: { short: "h", help: "" } as OptionRow }).map(([name, row]) => [
      name,
      {
        type: row.argument === undefined ? ("boolean" as const) : ("string" as const),
        ...(row.short ? { short: row.short } : {}),
        ...(row.multiple ? { multiple: true } : {}),
      },
    ]),
  );
  try {
    const { values, tokens } = parseArgs({ args: [...argv], options, tokens: true, strict: true });
    const seen = new Set<string>();
    for (const token of tokens) {
      if (token.kind !== "option" || options[token.name]?.multiple) continue;
      if (seen.has(token.name)) throw new CliError(`--${token.name} was given twice.`, 2);
      seen.add(token.name);
    }
    return values as OptionValues<T> & { help?: boolean };
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw new CliError(`${explain(error, table)} Try softmetal ${command} --help.`, 2);
  }
}

function explain(error: unknown, table: OptionTable): string {
  const { code, message } = error as { code?: string; message: string };
  const option = /'(?:-\w, )?(-[^ ']*)/.exec(message)?.[1] ?? "";
  if (code === "ERR_PARSE_ARGS_UNKNOWN_OPTION") {
    const near = nearest(option.replace(/^-+/, ""), Object.keys(table));
    return `There is no option ${option}${near ? `; did you mean --${near}?` : "."}`;
  }
  if (code === "ERR_PARSE_ARGS_UNEXPECTED_POSITIONAL") {
    return `${/'([^']*)'/.exec(message)?.[1] ?? "An argument"} is not an option, and this command takes nothing else.`;
  }
  if (code === "ERR_PARSE_ARGS_INVALID_OPTION_VALUE") {
    const row = table[option.replace(/^-+/, "")];
    if (row && row.argument === undefined) return `${option} takes no value.`;
    return `${option} needs a value${row?.argument ? ` (${row.argument})` : ""}; one that begins with - is written ${option}=VALUE.`;
  }
  return `${message.split("\n")[0].replace(/\.?$/, ".")}`;
}

/** The candidate that differs least from a word, when it differs little. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(word, candidate);
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length];
}

/** The options as a help text, one a line. */
export function optionHelp(table: OptionTable): string {
  const rows = Object.entries({ ...table, help: { short: "h", help: "this text" } as OptionRow });
  const lines = rows.map(([name, row]): [string, string] => [
    `  ${row.short ? `-${row.short}, ` : "    "}--${name}${row.argument ? ` ${row.argument}` : ""}`,
    row.help,
  ]);
  const width = Math.max(...lines.map(([left]) => left.length)) + 2;
  return lines
    .map(([left, help]) => `${left.padEnd(width)}${help.replace(/\n/g, `\n${" ".repeat(width)}`)}\n`)
    .join("");
}
