import { located, Qcow2Error } from "../errors.js";

/** How one field lies in memory: big-endian unless it says otherwise. */
export interface Field<T> {
  readonly size: number;
  get(view: DataView, at: number): T;
  set(view: DataView, at: number, value: T): void;
}

export const u8: Field<number> = {
  size: 1,
  get: (view, at) => view.getUint8(at),
  set: (view, at, value) => view.setUint8(at, value),
};

export const u16: Field<number> = {
  size: 2,
  get: (view, at) => view.getUint16(at),
  set: (view, at, value) => view.setUint16(at, value),
};

export const u32: Field<number> = {
  size: 4,
  get: (view, at) => view.getUint32(at),
  set: (view, at, value) => view.setUint32(at, value),
};

/** 64 bits that have to fit a JavaScript number exactly; larger values are refused as corrupt. */
export const u64: Field<number> = {
  size: 8,
  get: (view, at) => {
    const value = view.getUint32(at) * 0x1_0000_0000 + view.getUint32(at + 4);
    if (value > Number.MAX_SAFE_INTEGER) {
      throw new Qcow2Error("too-large", `value 0x${view.getBigUint64(at).toString(16)} is beyond 2^53`);
    }
    return value;
  },
  set: (view, at, value) => {
    view.setUint32(at, Math.floor(value / 0x1_0000_0000));
    view.setUint32(at + 4, value % 0x1_0000_0000);
  },
};

/** 64 bits of flags or time. */
export const u64big: Field<bigint> = {
  size: 8,
  get: (view, at) => view.getBigUint64(at),
  set: (view, at, value) => view.setBigUint64(at, value),
};

export function bytes(size: number): Field<Uint8Array> {
  return {
    size,
    get: (view, at) => new Uint8Array(view.buffer, view.byteOffset + at, size).slice(),
    set: (view, at, value) => {
      const target = new Uint8Array(view.buffer, view.byteOffset + at, size);
      target.fill(0);
      target.set(value.subarray(0, size));
    },
  };
}

// biome-ignore lint/suspicious/noExplicitAny: the value types of the fields differ and are inferred one by one.
type Fields = Record<string, Field<any>>;
type Values<F extends Fields> = { -readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never };

export interface Struct<T> {
  readonly size: number;
  decode(data: Uint8Array, at?: number): T;
  encode(value: T, into: Uint8Array, at?: number): void;
  /** Offset of a field from the start of the structure. */
  offsetOf(field: keyof T): number;
  has(field: PropertyKey): field is keyof T;
}

/** Defines a packed structure once, for decoding and encoding. */
export function struct<F extends Fields>(fields: F): Struct<Values<F>> {
  const layout: { key: string; field: Field<unknown>; at: number }[] = [];
  let size = 0;
  for (const [key, field] of Object.entries(fields)) {
    layout.push({ key, field, at: size });
    size += field.size;
  }
  return {
    size,
    decode(data, at = 0) {
      const view = viewOf(data);
      const value: Record<string, unknown> = {};
      for (const entry of layout) {
        // `located` adds where the structure is.
        value[entry.key] = located({ offset: entry.at }, () => entry.field.get(view, at + entry.at));
      }
      return value as Values<F>;
    },
    encode(value, into, at = 0) {
      const view = viewOf(into);
      for (const entry of layout) entry.field.set(view, at + entry.at, value[entry.key]);
    },
    offsetOf(key) {
      return layout.find((entry) => entry.key === key)!.at;
    },
    has(key): key is keyof Values<F> {
      return layout.some((entry) => entry.key === key);
    },
  };
}

export function viewOf(data: Uint8Array): DataView {
  return new DataView(data.buffer, data.byteOffset, data.byteLength);
}

export function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

export function roundDown(value: number, unit: number): number {
  return Math.floor(value / unit) * unit;
}

/** A byte that is not UTF-8 becomes this plus its value: a lone surrogate, which UTF-8 cannot hold itself. */
const ESCAPE = 0xdc00;
const ESCAPED = /[\udc80-\udcff]/u;
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Decodes names. Any bytes survive `encodeUtf8(decodeUtf8(bytes))`, also those of other encodings. */
export function decodeUtf8(data: Uint8Array): string {
  try {
    return strict.decode(data);
  } catch {
    let text = "";
    for (let at = 0; at < data.length; ) {
      const length = sequenceLength(data, at);
      text += length === 0 ? String.fromCharCode(ESCAPE + data[at]) : strict.decode(data.subarray(at, at + length));
      at += Math.max(1, length);
    }
    return text;
  }
}

/** Bytes of the character at `at`; 0 when it is none. Unicode Standard, table 3-7. */
function sequenceLength(data: Uint8Array, at: number): number {
  const lead = data[at];
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  const length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  const least = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  const most = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  const second = data[at + 1];
  if (!(second >= least && second <= most)) return 0;
  for (let i = at + 2; i < at + length; i++) if ((data[i] & 0xc0) !== 0x80) return 0;
  return at + length <= data.length ? length : 0;
}

export function encodeUtf8(text: string): Uint8Array {
  const encoder = new TextEncoder();
  if (!ESCAPED.test(text)) return encoder.encode(text);
  const data: number[] = [];
  for (const character of text) {
    if (ESCAPED.test(character)) data.push(character.charCodeAt(0) - ESCAPE);
    else data.push(...encoder.encode(character));
  }
  return new Uint8Array(data);
}
