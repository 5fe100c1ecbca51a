/** A value as it is printed: dictionaries in QEMU's order. */
export type Printable =
  | string
  | number
  | bigint
  | boolean
  | readonly Printable[]
  | { readonly [key: string]: Printable | undefined };

const BUCKETS = 512;

/** The hash QEMU keeps dictionaries by; it decides the order in which scripts see the keys. */
function bucket(key: string): number {
  const bytes = Buffer.from(key);
  let value = Math.imul(0x238f13af, bytes.length) >>> 0;
  for (const [index, byte] of bytes.entries()) value = (value + (byte << ((index * 5) % 24))) >>> 0;
  return ((Math.imul(1103515243, value) + 12345) >>> 0) % BUCKETS;
}

/** The entries of a dictionary in QEMU's order; undefined values are left out. */
export function ordered(dictionary: { readonly [key: string]: Printable | undefined }): [string, Printable][] {
  return Object.entries(dictionary)
    .map(([key, value], index) => ({ key, value, index, bucket: bucket(key) }))
    .filter((entry): entry is typeof entry & { value: Printable } => entry.value !== undefined)
    .sort((a, b) => a.bucket - b.bucket || b.index - a.index)
    .map(({ key, value }) => [key, value]);
}

const isList = (value: Printable): value is readonly Printable[] => Array.isArray(value);
const isDictionary = (value: Printable): value is { readonly [key: string]: Printable | undefined } =>
  typeof value === "object" && !Array.isArray(value);

/** JSON with four spaces, as `--output=json` prints it. */
export function toJson(value: Printable, indent = 0): string {
  const pad = " ".repeat(indent + 4);
  const end = `\n${" ".repeat(indent)}`;
  if (isList(value)) {
    if (value.length === 0) return `[${end}]`;
    return `[\n${value.map((item) => pad + toJson(item, indent + 4)).join(",\n")}${end}]`;
  }
  if (isDictionary(value)) {
    const entries = ordered(value).map(([key, item]) => `${pad}${JSON.stringify(key)}: ${toJson(item, indent + 4)}`);
    return entries.length === 0 ? `{${end}}` : `{\n${entries.join(",\n")}${end}}`;
  }
  return typeof value === "string" ? escapeAscii(JSON.stringify(value)) : String(value);
}

/** QEMU escapes everything outside ASCII. */
const escapeAscii = (text: string): string =>
  text.replace(/[\u007f-\uffff]/g, (char) => `\\u${char.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}`);

/** The indented form of "Format specific information". */
export function toHuman(value: Printable, indent: number): string {
  const lines: string[] = [];
  const pad = "    ".repeat(indent);
  const add = (name: string, item: Printable): void => {
    if (isList(item) || isDictionary(item)) {
      lines.push(`${pad}${name}:\n`, toHuman(item, indent + 1));
    } else {
      lines.push(`${pad}${name}: ${item}\n`);
    }
  };
  if (isList(value)) for (const [index, item] of value.entries()) add(`[${index}]`, item);
  else if (isDictionary(value)) for (const [key, item] of ordered(value)) add(key.replaceAll("-", " "), item);
  return lines.join("");
}
