import { ByteReader } from "./byte-reader.js";
import { GuestError } from "./errors.js";
import { numberField, textField } from "./text-fields.js";

export type TarKind = "file" | "directory" | "symlink" | "hardlink" | "character" | "block" | "fifo";

/** One entry of a tar archive. */
export interface TarEntry {
  /** Path without a leading `./` or `/`. */
  path: string;
  kind: TarKind;
  /** Permission bits. */
  mode: number;
  /** Bytes of data. */
  size: number;
  /** Where a link leads; empty for other kinds. */
  target: string;
  /**
   * The entry's bytes. Ask before taking the next entry.
   * @throws GuestError `too-large` when the entry has more than `limit` bytes.
   */
  read(limit: number): Promise<Uint8Array>;
}

const BLOCK = 512;
/** Field offsets and lengths of a ustar header (POSIX pax, "ustar Interchange Format"). */
const FIELD = {
  name: [0, 100],
  mode: [100, 8],
  size: [124, 12],
  checksum: [148, 8],
  typeflag: [156, 1],
  linkname: [157, 100],
  magic: [257, 5],
  prefix: [345, 155],
} as const;
const KINDS: Record<string, TarKind> = {
  "": "file",
  "0": "file",
  "1": "hardlink",
  "2": "symlink",
  "3": "character",
  "4": "block",
  "5": "directory",
  "6": "fifo",
  "7": "file",
};
/** Long names come as entries of their own; longer ones than this are not believed. */
const NAME_LIMIT = 0x10000;

/**
 * Reads a tar archive (ustar, GNU long names, pax paths) entry by entry, without holding more than one.
 * Leaving the loop early cancels the stream.
 * @throws GuestError `bad-archive`
 */
export async function* readTar(stream: ReadableStream<Uint8Array>): AsyncGenerator<TarEntry> {
  const reader = new ByteReader(stream);
  /** Values from extension headers which apply to the next entry. */
  let override: { path?: string; target?: string; size?: number } = {};
  try {
    for (;;) {
      const header = await reader.read(BLOCK);
      if (header.length === 0 || (header.length === BLOCK && header.every((byte) => byte === 0))) return;
      if (header.length < BLOCK) throw new GuestError("bad-archive", "The tar archive is truncated.");
      checkSum(header);
      const type = textField(header, ...FIELD.typeflag);
      const size = override.size ?? sizeOf(header);
      const padding = (BLOCK - (size % BLOCK)) % BLOCK;
      if (type === "L" || type === "K" || type === "x" || type === "g") {
        const data = await readExactly(reader, size, NAME_LIMIT, "an extended header");
        await reader.skip(padding);
        if (type === "L") override.path = textField(data, 0, data.length);
        else if (type === "K") override.target = textField(data, 0, data.length);
        else if (type === "x") override = { ...override, ...paxFields(data) };
        continue;
      }
      const kind = KINDS[type];
      const path = normalise(override.path ?? nameOf(header));
      const target = override.target ?? textField(header, ...FIELD.linkname);
      override = {};
      let unread = kind === "file" ? size : 0;
      const mode = numberField(header, ...FIELD.mode, 8, "a file mode") & 0o7777;
      if (kind !== undefined) {
        yield {
          path,
          kind,
          mode,
          size: unread,
          target,
          async read(limit) {
            const length = unread;
            unread = 0;
            return readExactly(reader, length, limit, path);
          },
        };
      } else unread = size;
      await reader.skip(unread + (kind === "file" || kind === undefined ? padding : 0));
    }
  } finally {
    await reader.cancel();
  }
}

async function readExactly(reader: ByteReader, size: number, limit: number, what: string): Promise<Uint8Array> {
  if (size > limit) throw new GuestError("too-large", `${what} has ${size} bytes, more than the limit of ${limit}.`);
  const data = await reader.read(size);
  if (data.length < size) throw new GuestError("bad-archive", `The tar archive is truncated inside ${what}.`);
  return data;
}

/** Octal text, or base 256 with the top bit set (GNU). */
function sizeOf(header: Uint8Array): number {
  const [offset, length] = FIELD.size;
  if ((header[offset] & 0x80) === 0) return numberField(header, offset, length, 8, "a file size");
  let value = header[offset] & 0x7f;
  for (let i = 1; i < length; i++) value = value * 256 + header[offset + i];
  if (!Number.isSafeInteger(value)) throw new GuestError("bad-archive", "The tar archive announces an absurd size.");
  return value;
}

function nameOf(header: Uint8Array): string {
  const name = textField(header, ...FIELD.name);
  const prefix = textField(header, ...FIELD.magic) === "ustar" ? textField(header, ...FIELD.prefix) : "";
  return prefix === "" ? name : `${prefix}/${name}`;
}

const normalise = (path: string) => path.replace(/^(\.?\/)+/, "").replace(/\/+$/, "");

function checkSum(header: Uint8Array): void {
  const [offset, length] = FIELD.checksum;
  let sum = 0;
  header.forEach((byte, i) => {
    sum += i >= offset && i < offset + length ? 0x20 : byte;
  });
  if (sum !== numberField(header, offset, length, 8, "a checksum")) {
    throw new GuestError("bad-archive", "The tar archive is damaged: a header's checksum is wrong.");
  }
}

/** Records are `length key=value\n` (POSIX pax, "pax Extended Header"). */
function paxFields(data: Uint8Array): { path?: string; target?: string; size?: number } {
  const fields: { path?: string; target?: string; size?: number } = {};
  const decoder = new TextDecoder();
  let at = 0;
  while (at < data.length) {
    const space = data.indexOf(0x20, at);
    const length = space < 0 ? Number.NaN : Number(decoder.decode(data.subarray(at, space)));
    if (!Number.isInteger(length) || length <= space - at || at + length > data.length) {
      throw new GuestError("bad-archive", "The tar archive is damaged: an extended header is not readable.");
    }
    const [key, ...value] = decoder.decode(data.subarray(space + 1, at + length - 1)).split("=");
    if (key === "path") fields.path = value.join("=");
    else if (key === "linkpath") fields.target = value.join("=");
    else if (key === "size") {
      const size = Number(value.join("="));
      if (!Number.isSafeInteger(size) || size < 0) {
        throw new GuestError("bad-archive", "The tar archive is damaged: a size is not a number.");
      }
      fields.size = size;
    }
    at += length;
  }
  return fields;
}
