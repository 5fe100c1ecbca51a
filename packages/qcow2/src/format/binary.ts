import { Qcow2Error } from "../errors.js";

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
      for (const entry of layout) value[entry.key] = entry.field.get(view, at + entry.at);
      return value as Values<F>;
    },
    encode(value, into, at = 0) {
      const view = viewOf(into);
      for (const entry of layout) entry.field.set(view, at + entry.at, value[entry.key]);
    },
    offsetOf(key) {
      return layout.find((entry) => entry.key === key)!.at;
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

export function decodeUtf8(data: Uint8Array): string {
  return new TextDecoder().decode(data);
}

export function encodeUtf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
