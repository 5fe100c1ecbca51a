import { CommandError } from "./context.js";
import type { Format } from "./create-options.js";
import { isTree, type OptionTree, switchOption } from "./keyval.js";
import { ordered, type Printable } from "./qdict.js";
import { sizeOption } from "./sizes.js";

type Kind = "text" | "switch" | "size";

/** Options that every node takes. */
const COMMON: Readonly<Record<string, Kind>> = {
  driver: "text",
  "node-name": "text",
  "read-only": "switch",
  "auto-read-only": "switch",
  "force-share": "switch",
  "cache.direct": "switch",
  "cache.no-flush": "switch",
  discard: "text",
  "detect-zeroes": "text",
};

const STRUCTURES = ["main-header", "active-l1", "active-l2", "refcount-table", "refcount-block", "snapshot-table"];

const BY_FORMAT: Readonly<Record<Format, Readonly<Record<string, Kind>>>> = {
  raw: { offset: "size", size: "size" },
  file: {},
  luks: { "key-secret": "text" },
  qcow2: {
    "lazy-refcounts": "switch",
    "pass-discard-request": "switch",
    "pass-discard-snapshot": "switch",
    "pass-discard-other": "switch",
    "overlap-check": "text",
    "overlap-check.template": "text",
    ...Object.fromEntries(
      [...STRUCTURES, "inactive-l1", "inactive-l2", "bitmap-directory"].map((name) => [
        `overlap-check.${name}`,
        "switch",
      ]),
    ),
    "cache-size": "size",
    "l2-cache-size": "size",
    "l2-cache-entry-size": "size",
    "refcount-cache-size": "size",
    "cache-clean-interval": "text",
    "encrypt.format": "text",
    "encrypt.key-secret": "text",
  },
};

const HOST_FILE = ["driver", "filename", "aio", "aio-max-batch", "locking", "pr-manager", "x-check-cache-dropped"];

/** The options that decide what the node holds, as they are shown in its name. */
const STRONG: Readonly<Record<Format, readonly string[]>> = {
  raw: ["offset", "size"],
  file: [],
  luks: ["key-secret"],
  qcow2: ["encrypt.key-secret"],
};

/** Leaves of a tree by dotted name, without the nodes it is made of. */
function flat(tree: OptionTree, children: readonly string[], prefix = ""): Map<string, unknown> {
  const leaves = new Map<string, unknown>();
  for (const [key, value] of Object.entries(tree)) {
    if (prefix === "" && children.includes(key)) continue;
    if (isTree(value)) for (const [name, leaf] of flat(value, [], `${prefix}${key}.`)) leaves.set(name, leaf);
    else leaves.set(prefix + key, value);
  }
  return leaves;
}

/** Refuses options that a format does not have, and values they cannot have. */
export function checkNodeOptions(node: OptionTree, format: Format, noBacking: boolean): void {
  const children = [
    "file",
    "filename",
    ...(format === "qcow2" ? ["data-file", ...(noBacking ? [] : ["backing"])] : []),
  ];
  const options = flat(node, children);
  const kinds = { ...COMMON, ...BY_FORMAT[format] };
  const encryption = [...options.keys()].find((name) => name.startsWith("encrypt.") && !Object.hasOwn(kinds, name));
  if (format === "qcow2" && encryption !== undefined)
    throw new CommandError(`Parameter '${encryption.slice("encrypt.".length)}' is unexpected`);
  for (const [name, value] of options) {
    const kind = Object.hasOwn(kinds, name) ? kinds[name] : undefined;
    if (kind === "switch") switchOption(name, typeof value === "boolean" ? (value ? "on" : "off") : String(value));
    if (kind === "size") sizeOption(name, String(value));
  }
  const discard = options.get("discard");
  if (discard !== undefined && !["ignore", "off", "unmap", "on"].includes(String(discard)))
    throw new CommandError("Invalid discard option");
  const overlap = options.get("overlap-check") ?? options.get("overlap-check.template");
  if (overlap !== undefined && !["none", "constant", "cached", "all"].includes(String(overlap))) {
    throw new CommandError(
      `Unsupported value '${overlap}' for qcow2 option 'overlap-check'. ` +
        "Allowed are any of the following: none, constant, cached, all",
    );
  }
  const [unknown] = ordered(
    Object.fromEntries([...options].filter(([name]) => !Object.hasOwn(kinds, name))) as Record<string, Printable>,
  );
  if (unknown !== undefined)
    throw new CommandError(`Block format '${format}' does not support the option '${unknown[0]}'`);
}

/** The same for a file of the host. */
export function checkFileOptions(node: OptionTree): void {
  const options = flat(node, []);
  const known = (name: string): boolean => HOST_FILE.includes(name) || Object.hasOwn(COMMON, name);
  const unknown = [...options.keys()].find((name) => !known(name));
  if (unknown !== undefined) throw new CommandError(`Block protocol 'file' doesn't support the option '${unknown}'`);
}

/** What of a node's options decides what it holds, by dotted name. */
export function strongOptions(node: OptionTree, format: Format): { [name: string]: Printable } {
  const options = flat(node, ["file", "backing", "data-file"]);
  return Object.fromEntries(
    STRONG[format].filter((name) => options.has(name)).map((name) => [name, options.get(name) as Printable]),
  );
}
