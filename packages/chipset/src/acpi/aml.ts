import { concat } from "../binary.js";
import { ChipsetError } from "../error.js";

/**
 * An encoder for ACPI Machine Language (ACPI 6.3, chapter 20). Every function gives the bytes of one term; terms nest
 * by passing them on.
 */
export type Aml = Uint8Array;

const bytes = (...values: number[]): Aml => Uint8Array.from(values);

/** One- and two-byte opcodes by their names in the specification. */
const Op = {
  Zero: 0x00,
  One: 0x01,
  Name: 0x08,
  BytePrefix: 0x0a,
  WordPrefix: 0x0b,
  DWordPrefix: 0x0c,
  StringPrefix: 0x0d,
  QWordPrefix: 0x0e,
  Scope: 0x10,
  Buffer: 0x11,
  Package: 0x12,
  Method: 0x14,
  DualNamePrefix: 0x2e,
  MultiNamePrefix: 0x2f,
  Extended: 0x5b,
  Local0: 0x60,
  Arg0: 0x68,
  Store: 0x70,
  Notify: 0x86,
  Return: 0xa4,
} as const;

/** Opcodes after the extended prefix. */
const ExtOp = { OperationRegion: 0x80, Field: 0x81, Device: 0x82 } as const;

/** Address spaces of operation regions. */
export const RegionSpace = { SystemMemory: 0, SystemIo: 1 } as const;

/** PkgLength (20.2.4): counts itself. */
function packageLength(contents: number): Aml {
  if (contents + 1 <= 0x3f) return bytes(contents + 1);
  for (let extra = 1; extra <= 3; extra++) {
    const length = contents + 1 + extra;
    if (length < 1 << (4 + 8 * extra)) {
      const result = [(extra << 6) | (length & 15)];
      for (let i = 0; i < extra; i++) result.push((length >> (4 + 8 * i)) & 0xff);
      return Uint8Array.from(result);
    }
  }
  throw new ChipsetError("bad-config", "aml", "a package is larger than 256 MiB");
}

/** An opcode, a length, and what it is the length of. */
function sized(opcode: readonly number[], ...parts: readonly Aml[]): Aml {
  const contents = concat(...parts);
  return concat(Uint8Array.from(opcode), packageLength(contents.length), contents);
}

/**
 * A NameString: segments of up to four characters, padded with `_`; `\` for the root, `^` for the parent.
 * @throws ChipsetError `bad-config` for anything else
 */
export function nameString(path: string): Aml {
  const match = /^(\\|\^*)((?:[A-Z_][A-Z0-9_]{0,3})(?:\.[A-Z_][A-Z0-9_]{0,3})*)?$/.exec(path);
  if (!match) throw new ChipsetError("bad-config", "aml.name", `"${path}" is not an ACPI name`);
  const prefix = Uint8Array.from(match[1], (character) => character.charCodeAt(0));
  const segments = match[2]?.split(".") ?? [];
  const text = segments.map((segment) => segment.padEnd(4, "_")).join("");
  const name = Uint8Array.from(text, (character) => character.charCodeAt(0));
  if (segments.length === 0) return concat(prefix, bytes(0));
  if (segments.length === 1) return concat(prefix, name);
  if (segments.length === 2) return concat(prefix, bytes(Op.DualNamePrefix), name);
  return concat(prefix, bytes(Op.MultiNamePrefix, segments.length), name);
}

/** An integer constant, in the shortest form. */
export function integer(value: number | bigint): Aml {
  const n = BigInt(value);
  if (n < 0n || n > 0xffff_ffff_ffff_ffffn) {
    throw new ChipsetError("bad-config", "aml.integer", `${value} is not an unsigned 64-bit number`);
  }
  if (n === 0n) return bytes(Op.Zero);
  if (n === 1n) return bytes(Op.One);
  const [prefix, size] =
    n <= 0xffn
      ? [Op.BytePrefix, 1]
      : n <= 0xffffn
        ? [Op.WordPrefix, 2]
        : n <= 0xffff_ffffn
          ? [Op.DWordPrefix, 4]
          : [Op.QWordPrefix, 8];
  const result = [prefix as number];
  for (let i = 0; i < size; i++) result.push(Number((n >> BigInt(8 * i)) & 0xffn));
  return Uint8Array.from(result);
}

export function string(text: string): Aml {
  if (/[^ -~]/.test(text)) throw new ChipsetError("bad-config", "aml.string", "an AML string is ASCII");
  return concat(
    bytes(Op.StringPrefix),
    Uint8Array.from(text, (character) => character.charCodeAt(0)),
    bytes(0),
  );
}

export function buffer(contents: Uint8Array): Aml {
  return sized([Op.Buffer], integer(contents.length), contents);
}

export function pkg(...elements: readonly Aml[]): Aml {
  return sized([Op.Package], bytes(elements.length), ...elements);
}

/**
 * A compressed EISA ID such as `PNP0501`.
 * @throws ChipsetError `bad-config`
 */
export function eisaId(id: string): Aml {
  const match = /^([A-Z]{3})([0-9A-F]{4})$/.exec(id);
  if (!match) throw new ChipsetError("bad-config", "aml.eisaId", `"${id}" is not three letters and four hex digits`);
  const [a, b, c] = [...match[1]].map((letter) => letter.charCodeAt(0) - 0x40);
  const product = Number.parseInt(match[2], 16);
  // Three letters of five bits, then the number, most significant byte first.
  const low = (a << 2) | (b >> 3) | (((b & 7) << 5) << 8) | (c << 8);
  const high = (product >> 8) | ((product & 0xff) << 8);
  return integer(low + high * 0x1_0000);
}

/** `Name (path, value)` */
export function name(path: string, value: Aml): Aml {
  return concat(bytes(Op.Name), nameString(path), value);
}

export function scope(path: string, ...terms: readonly Aml[]): Aml {
  return sized([Op.Scope], nameString(path), ...terms);
}

export function device(path: string, ...terms: readonly Aml[]): Aml {
  return sized([Op.Extended, ExtOp.Device], nameString(path), ...terms);
}

/** `Method (path, argumentCount, NotSerialized or Serialized)` */
export function method(
  path: string,
  options: { argumentCount?: number; serialized?: boolean },
  ...terms: readonly Aml[]
): Aml {
  const flags = ((options.argumentCount ?? 0) & 7) | (options.serialized ? 8 : 0);
  return sized([Op.Method], nameString(path), bytes(flags), ...terms);
}

export function operationRegion(path: string, space: number, offset: Aml, length: Aml): Aml {
  return concat(bytes(Op.Extended, ExtOp.OperationRegion), nameString(path), bytes(space), offset, length);
}

/** `Field (region, access, NoLock, Preserve) { name, bits, ... }`; access 1 = byte, 2 = word, 3 = dword. */
export function field(region: string, access: 1 | 2 | 3, fields: readonly { name: string; bits: number }[]): Aml {
  const list = fields.map((item) =>
    // The bit length is coded like a PkgLength that does not count itself.
    concat(item.name === "" ? bytes(0) : nameString(item.name), bitLength(item.bits)),
  );
  return sized([Op.Extended, ExtOp.Field], nameString(region), bytes(access), ...list);
}

function bitLength(bits: number): Aml {
  if (bits <= 0x3f) return bytes(bits);
  return bytes(0x40 | (bits & 15), (bits >> 4) & 0xff);
}

export function store(value: Aml, target: Aml): Aml {
  return concat(bytes(Op.Store), value, target);
}

export function notify(path: string, value: number): Aml {
  return concat(bytes(Op.Notify), nameString(path), integer(value));
}

export function ret(value: Aml): Aml {
  return concat(bytes(Op.Return), value);
}

/** `Arg0` to `Arg6` */
export function arg(index: number): Aml {
  return bytes(Op.Arg0 + index);
}

/** `Local0` to `Local7` */
export function local(index: number): Aml {
  return bytes(Op.Local0 + index);
}
