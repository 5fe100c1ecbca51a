import { parseQemuJson, type QemuJson } from "@softmetal/qcow2/json";
import { CommandError } from "./context.js";

/** One `key=value` of an option string, in order; `value` is undefined for a bare word. */
export interface KeyValue {
  readonly key: string;
  readonly value: string | undefined;
}

/**
 * Splits `a=b,c=d`; a doubled comma inside a value stands for one comma. A bare word ends at the first comma, unless it is
 * the first one and stands for the value of `implied`.
 */
export function splitOptions(text: string, implied?: string): KeyValue[] {
  const parts: KeyValue[] = [];
  for (let at = 0; at < text.length; ) {
    const name = /^[^=,]*/.exec(text.slice(at))![0];
    const hasValue = text[at + name.length] === "=";
    if (!hasValue && (parts.length > 0 || implied === undefined)) {
      parts.push({ key: name, value: undefined });
      at += name.length + 1;
      continue;
    }
    if (hasValue) at += name.length + 1;
    const value = /^(?:[^,]|,,)*/.exec(text.slice(at))![0];
    parts.push({ key: hasValue ? name : implied!, value: value.replaceAll(",,", ",") });
    at += value.length + 1;
  }
  return parts;
}

/** A bare word is a boolean that is on; "no" in front turns it off. */
export function flagOption({ key, value }: KeyValue): { key: string; value: string } {
  if (value !== undefined) return { key, value };
  return key.startsWith("no") ? { key: key.slice(2), value: "off" } : { key, value: "on" };
}

/** `--image-opts` and the like, by name; a first bare word is the value of `implied`. */
export function parseOptions(text: string, implied?: string): Map<string, string> {
  return new Map(
    splitOptions(text, implied)
      .map(flagOption)
      .map(({ key, value }) => [key, value]),
  );
}

/** on/off of an option. */
export function switchOption(name: string, value: string | undefined): boolean {
  if (value === undefined || ["on", "yes", "true", "y"].includes(value)) return true;
  if (["off", "no", "false", "n"].includes(value)) return false;
  throw new CommandError(`Parameter '${name}' expects 'on' or 'off'`);
}

/** A tree of block device options: dotted keys become nested objects. */
export interface OptionTree {
  [key: string]: OptionValue;
}
export type OptionValue = string | number | boolean | null | OptionTree | OptionValue[];

/** `file.filename=x` as `{ file: { filename: "x" } }`. */
export function nestOptions(flat: Iterable<[string, string]>): OptionTree {
  const root: OptionTree = Object.create(null);
  for (const [path, value] of flat) insert(root, path.split("."), value);
  return root;
}

function insert(root: OptionTree, path: readonly string[], value: OptionValue): void {
  let node = root;
  for (const key of path.slice(0, -1)) {
    const next = node[key];
    // "file=x,file.driver=y" names a node and describes it: contradictory.
    if (next !== undefined && !isTree(next))
      throw new CommandError(`Cannot mix scalar and non-scalar keys at '${key}'`);
    node[key] ??= Object.create(null) as OptionTree;
    node = node[key] as OptionTree;
  }
  node[path[path.length - 1]] = value;
}

/** Whether an option's value is a nested object. */
export const isTree = (value: OptionValue | undefined): value is OptionTree =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The options of a `json:{...}` file name, dotted keys nested as well. */
export function parseJsonName(name: string): OptionTree {
  let value: QemuJson;
  try {
    value = parseQemuJson(name.slice("json:".length));
  } catch (error) {
    throw new CommandError(`Could not parse the JSON options: ${(error as Error).message}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new CommandError("Invalid JSON object given");
  const root: OptionTree = Object.create(null);
  const walk = (tree: object, prefix: readonly string[]): void => {
    for (const [key, child] of Object.entries(tree) as [string, OptionValue][]) {
      const path = [...prefix, ...key.split(".")];
      if (path.length > 64) throw new CommandError("Invalid JSON object given");
      if (isTree(child)) walk(child, path);
      else insert(root, path, child);
    }
  };
  walk(value, []);
  return root;
}
