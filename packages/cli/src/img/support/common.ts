import { readFileSync } from "node:fs";
import { CommandError, type Context, Exit, errnoText, HelpWanted } from "./context.js";
import { flag, getopt, type OptionSpec, type ParsedOptions, valued } from "./getopt.js";
import { splitOptions } from "./keyval.js";

/** Long options that several commands share. */
export const OBJECT = { object: valued("object") };
export const IMAGE_OPTS = { "image-opts": flag("image-opts") };
export const FORCE_SHARE = { "force-share": flag("U") };
export const OUTPUT = { output: valued("output") };

/** The options of a command line with the easy questions answered. */
export class Arguments {
  readonly operands: readonly string[];
  readonly #parsed: ParsedOptions;

  private constructor(parsed: ParsedOptions) {
    this.#parsed = parsed;
    this.operands = parsed.operands;
  }

  /**
   * `--object` is defined in passing.
   * @throws HelpWanted
   */
  static async parse(context: Context, args: readonly string[], spec: OptionSpec): Promise<Arguments> {
    const parsed = new Arguments(getopt(args, spec));
    if (parsed.has("h")) throw new HelpWanted();
    const objects = parsed.all("object");
    if (objects.length > 0) {
      // Brings all of Node's cryptography along.
      const { defineObject } = await import("./objects.js");
      for (const value of objects) defineObject(context, value);
    }
    return parsed;
  }

  has(key: string): boolean {
    return this.#parsed.options.some((option) => option.key === key);
  }
  /** The last value of an option. */
  value(key: string): string | undefined {
    return this.#parsed.options.findLast((option) => option.key === key)?.value;
  }
  all(key: string): string[] {
    return this.#parsed.options.filter((option) => option.key === key).map(({ value }) => value);
  }
  /** In the order of the command line. */
  get options(): ParsedOptions["options"] {
    return this.#parsed.options;
  }
  /** `--output=human|json`; true for JSON. */
  get json(): boolean {
    const value = this.value("output");
    if (value === undefined || value === "human") return false;
    if (value === "json") return true;
    throw new CommandError("--output must be used with human or json as argument.");
  }
}

const CACHE_MODES = ["none", "off", "writeback", "writethrough", "directsync", "unsafe"];

/** `-t`/`-T`: a cache mode, checked. */
export function cacheMode(mode: string | undefined, what = "cache"): string | undefined {
  if (mode === undefined || CACHE_MODES.includes(mode)) return mode;
  throw new CommandError(`Invalid ${what} option: ${mode}`);
}

/** `-T`: there are no trace events here, which is how unknown ones are treated. */
export function warnTrace(context: Context, options: string): void {
  const parts = splitOptions(options, "enable");
  const last = (wanted: string) => parts.findLast(({ key }) => key === wanted)?.value;
  const unknown = (event: string): string | undefined =>
    event.includes("*") ? undefined : `trace event '${event}' does not exist`;
  const enabled = last("enable");
  const warning = enabled === undefined ? undefined : unknown(enabled);
  if (warning !== undefined) context.warn(warning);
  const file = last("events");
  if (file !== undefined) warnTraceFile(context, file, unknown);
}

/** A list of events: a line each, without a line that begins with "#"; "-" switches one off. */
function warnTraceFile(context: Context, file: string, unknown: (event: string) => string | undefined): void {
  let lines: string[] = [];
  try {
    lines = readFileSync(file, "utf8").split("\n");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    // A folder can be opened, and has no lines.
    if (code !== "EISDIR") {
      context.terminal.err(`${context.program}:${file}: ${errnoText(error) ?? code}\n`);
      throw new Exit(1);
    }
  }
  for (const [index, line] of lines.entries()) {
    if (line === "" || line.startsWith("#")) continue;
    const warning = unknown(line.replace(/^-/, ""));
    if (warning !== undefined) context.terminal.err(`${context.program}:${file}:${index + 1}: warning: ${warning}\n`);
  }
}

/** `snapshot.id=1,snapshot.name=x`, or an id or name by itself. */
export function snapshotParameter(text: string): { id?: string; name?: string; any?: string } {
  if (!text.startsWith("snapshot.")) return { any: text };
  const parts = new Map(text.split(",").map((part) => [part.split("=")[0], part.slice(part.indexOf("=") + 1)]));
  return { id: parts.get("snapshot.id"), name: parts.get("snapshot.name") };
}
