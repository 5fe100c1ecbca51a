import { CommandError, type Context } from "./context.js";
import { flagOption, splitOptions, switchOption } from "./keyval.js";
import { parseSize, parseWhole, sizeOption, sizeWarning } from "./sizes.js";

type OptionType = "str" | "size" | "num" | "bool";

/** One option of an image format. */
export interface OptionRow {
  readonly name: string;
  readonly type: OptionType;
  readonly help: string;
  /** Shown in the "Formatting" line even when it was not given. */
  readonly shown?: string;
  /** Belongs to the file that holds the image. */
  readonly protocol?: boolean;
  /** Can be given at creation, afterwards (`amend`), or both. */
  readonly when?: "create" | "amend";
}

const row = (name: string, type: OptionType, help: string, more: Partial<OptionRow> = {}): OptionRow => ({
  name,
  type,
  help,
  ...more,
});
const create = { when: "create" } as const;
const amend = { when: "amend" } as const;

/** Options of qcow2, in the order in which they are printed when an image is created. */
const QCOW2: readonly OptionRow[] = [
  row("encryption", "bool", "Encrypt the image with format 'aes'. (Deprecated in favor of encrypt.format=aes)", create),
  row("encrypt.format", "str", "Encrypt the image, format choices: 'aes', 'luks'", create),
  row("encrypt.key-secret", "str", "ID of secret providing qcow AES key or LUKS passphrase", create),
  row("encrypt.cipher-alg", "str", "Name of encryption cipher algorithm", create),
  row("encrypt.cipher-mode", "str", "Name of encryption cipher mode", create),
  row("encrypt.ivgen-alg", "str", "Name of IV generator algorithm", create),
  row("encrypt.ivgen-hash-alg", "str", "Name of IV generator hash algorithm", create),
  row("encrypt.hash-alg", "str", "Name of encryption hash algorithm", create),
  row("encrypt.iter-time", "num", "Time to spend in PBKDF in milliseconds"),
  row("encrypt.keyslot", "num", "Select a single keyslot to modify explicitly", amend),
  row("encrypt.new-secret", "str", "New secret to set in the matching keyslots. Empty string to erase", amend),
  row("encrypt.old-secret", "str", "Select all keyslots that match this password", amend),
  row("encrypt.state", "str", "Select new state of affected keyslots (active/inactive)", amend),
  row("cluster_size", "size", "qcow2 cluster size", { ...create, shown: "65536" }),
  row("extended_l2", "bool", "Extended L2 tables", { ...create, shown: "off" }),
  row("preallocation", "str", "Preallocation mode (allowed values: off, metadata, falloc, full)", create),
  row("compression_type", "str", "Compression method used for image cluster compression", { ...create, shown: "zlib" }),
  row("size", "size", "Virtual disk size"),
  row("compat", "str", "Compatibility level (v2 [0.10] or v3 [1.1])"),
  row("backing_file", "str", "File name of a base image"),
  row("backing_fmt", "str", "Image format of the base image"),
  row("data_file", "str", "File name of an external data file"),
  row("data_file_raw", "bool", "The external data file must stay valid as a raw image"),
  row("lazy_refcounts", "bool", "Postpone refcount updates", { shown: "off" }),
  row("refcount_bits", "num", "Width of a reference count entry in bits", { shown: "16" }),
];

/** Options of luks: those of encrypted qcow2 images without their prefix. */
const LUKS: readonly OptionRow[] = [
  row("size", "size", "Virtual disk size", create),
  row("key-secret", "str", "ID of the secret that provides the keyslot passphrase", create),
  ...QCOW2.filter(({ name }) => /^encrypt\.(?!format$|key-secret$)/.test(name)).map((option) => ({
    ...option,
    name: option.name.slice("encrypt.".length),
  })),
];

const RAW: readonly OptionRow[] = [row("size", "size", "Virtual disk size")];

/** Options of a regular file of the host. */
const HOST_FILE: readonly OptionRow[] = [
  row("nocow", "bool", "Turn off copy-on-write (valid only on btrfs)", { ...create, protocol: true }),
  row("preallocation", "str", "Preallocation mode (allowed values: off, falloc, full)", { ...create, protocol: true }),
  row("extent_size_hint", "size", "Extent size hint for the image file, 0 to disable", { ...create, protocol: true }),
];

export const FORMATS = ["raw", "qcow2", "luks", "file"] as const;
export type Format = (typeof FORMATS)[number];
export const isFormat = (name: string): name is Format => (FORMATS as readonly string[]).includes(name);

const ROWS: Readonly<Record<Format, readonly OptionRow[]>> = { raw: RAW, qcow2: QCOW2, luks: LUKS, file: RAW };

/** The rows a format accepts, with those of the file below when its name is known. */
export function optionRows(format: Format, use: "create" | "amend", withFile: boolean): OptionRow[] {
  const own = ROWS[format].filter(({ when }) => when === undefined || when === use);
  if (use === "amend" || !(withFile || format === "file")) return own;
  return [...own, ...HOST_FILE.filter(({ name }) => !own.some((other) => other.name === name))];
}

/** The values of `-o`, which are refused when they could not be joined by commas. */
export function optionLists(texts: readonly string[]): readonly string[] {
  for (const text of texts) {
    const odd = /,*$/.exec(text)![0].length % 2 === 1;
    if (text === "" || text.startsWith(",") || odd) throw new CommandError(`Invalid option list: ${text}`);
  }
  return texts;
}

/** The value of `-o` may ask for help instead. */
export const wantsHelp = (text: string): boolean =>
  splitOptions(text).some(({ key, value }) => value === undefined && (key === "help" || key === "?"));

/** Prints the rows as `-o help` does. */
export function printOptionHelp(context: Context, title: string, rows: readonly OptionRow[]): void {
  const lines = [...rows]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map(
      ({ name, type, help }) => `  ${`${name}=<${type === "bool" ? "bool (on/off)" : type}>`.padEnd(22)} - ${help}\n`,
    );
  context.out(`${title}\n${lines.join("")}`);
}

const UINT64_MAX = (1n << 64n) - 1n;

/** Negative numbers wrap around. */
function parseNumber(name: string, text: string): bigint {
  const value = parseWhole(text);
  if (value === undefined) throw new CommandError(`Parameter '${name}' expects a number`);
  if (value > UINT64_MAX || -value > UINT64_MAX)
    throw new CommandError(`Value '${text}' is too large for parameter '${name}'`);
  return BigInt.asUintN(64, value);
}

/** Parsed `-o` options; the last of equal names counts. */
export class CreateOptions {
  readonly #values = new Map<string, string>();

  constructor(
    readonly rows: readonly OptionRow[],
    /** Hears of values that are understood but deserve a warning. */
    private readonly warn: (message: string) => void = () => {},
  ) {}

  /** Adds `name=value,...`; unknown names and malformed values are refused. */
  add(text: string): void {
    for (const part of splitOptions(text)) {
      // An option whose own name begins with "no" is there with a value only.
      const { key, value } = flagOption(part);
      if (!this.rows.some(({ name }) => name === key)) throw new CommandError(`Invalid parameter '${key}'`);
      this.set(key, value);
    }
  }

  set(name: string, value: string): void {
    const known = this.rows.find((candidate) => candidate.name === name);
    if (known?.type === "bool") switchOption(name, value);
    if (known?.type === "num") parseNumber(name, value);
    if (known?.type === "size") {
      const warning = sizeWarning(value);
      if (warning !== undefined) this.warn(warning);
      sizeOption(name, value);
    }
    this.#values.set(name, value);
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }
  get(name: string): string | undefined {
    return this.#values.get(name);
  }
  delete(name: string): void {
    this.#values.delete(name);
  }
  switch(name: string): boolean | undefined {
    const value = this.#values.get(name);
    return value === undefined ? undefined : switchOption(name, value);
  }
  size(name: string): number | undefined {
    const value = this.#values.get(name);
    return value === undefined ? undefined : sizeOption(name, value);
  }
  /** A whole number of 64 bits, with its sign. */
  number(name: string): number | undefined {
    const value = this.#values.get(name);
    return value === undefined ? undefined : Number(BigInt.asIntN(64, parseNumber(name, value)));
  }

  /** `name=value name=value`, as in the "Formatting" line. */
  toString(): string {
    return this.rows
      .map(({ name, type, shown }) => {
        const given = this.#values.get(name);
        if (given === undefined) return shown === undefined ? undefined : `${name}=${shown}`;
        // Both are printed as signed numbers of 64 bits.
        if (type === "size") return `${name}=${BigInt.asIntN(64, parseSize(given) as bigint)}`;
        if (type === "num") return `${name}=${BigInt.asIntN(64, parseNumber(name, given))}`;
        return `${name}=${type === "str" ? given.replaceAll(",", ",,") : given}`;
      })
      .filter((part) => part !== undefined)
      .join(" ");
  }
}
