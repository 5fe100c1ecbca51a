import { UsageError } from "./context.js";

/** Long options by name: the short key they stand for and whether they take a value. */
export interface OptionSpec {
  /** Short options as for getopt(3): a letter, followed by ":" when it takes a value. */
  readonly short: string;
  readonly long?: Readonly<Record<string, { readonly key: string; readonly value: boolean }>>;
  /** Stop at the first operand instead of looking for options behind it. */
  readonly stopAtOperand?: boolean;
}

export interface ParsedOptions {
  /** In the order of the command line. */
  readonly options: readonly { readonly key: string; readonly value: string }[];
  readonly operands: readonly string[];
}

/** A flag without a value. */
export const flag = (key: string) => ({ key, value: false });
/** An option with a value. */
export const valued = (key: string) => ({ key, value: true });

/**
 * getopt_long(3): grouped short options, `--name=value`, unambiguous prefixes, operands anywhere, `--`. Behind `--help` and
 * `--version` nothing counts any more.
 */
export function getopt(args: readonly string[], spec: OptionSpec): ParsedOptions {
  const options: { key: string; value: string }[] = [];
  const operands: string[] = [];
  const ending = [spec.long?.help?.key, spec.long?.version?.key];
  for (let index = 0; index < args.length; index++) {
    if (options.some(({ key }) => ending.includes(key))) break;
    const arg = args[index];
    if (arg === "--") {
      operands.push(...args.slice(index + 1));
      break;
    }
    if (arg.startsWith("--")) {
      const equals = arg.indexOf("=");
      const name = equals < 0 ? arg.slice(2) : arg.slice(2, equals);
      const found = findLong(name, spec);
      if (found === undefined) throw new UsageError(`unrecognized option '${arg}'`, unknownLong(arg, name, spec));
      if (!found.value && equals >= 0) {
        throw new UsageError(`unrecognized option '${arg}'`, `option '--${name}' doesn't allow an argument`);
      }
      if (!found.value) options.push({ key: found.key, value: "" });
      else if (equals >= 0) options.push({ key: found.key, value: arg.slice(equals + 1) });
      else if (index + 1 < args.length) options.push({ key: found.key, value: args[++index] });
      else throw new UsageError(`missing argument for option '${arg}'`, `option '${arg}' requires an argument`);
    } else if (arg.startsWith("-") && arg.length > 1) {
      for (let at = 1; at < arg.length; at++) {
        const position = arg[at] === ":" ? -1 : spec.short.indexOf(arg[at]);
        if (position < 0) throw new UsageError(`unrecognized option '${arg}'`, `invalid option -- '${arg[at]}'`);
        if (spec.short[position + 1] !== ":") {
          options.push({ key: arg[at], value: "" });
          if (ending.includes(arg[at])) break;
          continue;
        }
        if (at + 1 < arg.length) options.push({ key: arg[at], value: arg.slice(at + 1) });
        else if (index + 1 < args.length) options.push({ key: arg[at], value: args[++index] });
        else {
          const standard = `option requires an argument -- '${arg[at]}'`;
          throw new UsageError(`missing argument for option '${arg}'`, standard);
        }
        break;
      }
    } else {
      if (spec.stopAtOperand) {
        operands.push(...args.slice(index));
        break;
      }
      operands.push(arg);
    }
  }
  return { options, operands };
}

function longMatches(name: string, spec: OptionSpec): string[] {
  return Object.keys(spec.long ?? {}).filter((candidate) => name !== "" && candidate.startsWith(name));
}

function unknownLong(arg: string, name: string, spec: OptionSpec): string {
  const matches = longMatches(name, spec);
  if (matches.length === 0) return `unrecognized option '${arg}'`;
  return `option '${arg}' is ambiguous; possibilities:${matches.map((match) => ` '--${match}'`).join("")}`;
}

function findLong(name: string, spec: OptionSpec) {
  const long = spec.long ?? {};
  if (Object.hasOwn(long, name)) return long[name];
  const matches = longMatches(name, spec);
  const keys = new Set(matches.map((match) => long[match].key));
  return keys.size === 1 ? long[matches[0]] : undefined;
}
