import { ChipsetError } from "./error.js";

/** How one kind of value lies in memory, both ways. */
export interface Codec<T> {
  /** Bytes. */
  readonly size: number;
  write(view: DataView, offset: number, value: T): void;
  read(view: DataView, offset: number): T;
}

export const u8: Codec<number> = {
  size: 1,
  write: (view, offset, value) => view.setUint8(offset, value),
  read: (view, offset) => view.getUint8(offset),
};

export const u16: Codec<number> = {
  size: 2,
  write: (view, offset, value) => view.setUint16(offset, value, true),
  read: (view, offset) => view.getUint16(offset, true),
};

export const u32: Codec<number> = {
  size: 4,
  write: (view, offset, value) => view.setUint32(offset, value, true),
  read: (view, offset) => view.getUint32(offset, true),
};

/** 64 bits as a number: addresses, which stay below 2^53. */
export const u64: Codec<number> = {
  size: 8,
  write: (view, offset, value) => view.setBigUint64(offset, BigInt(value), true),
  read: (view, offset) => Number(view.getBigUint64(offset, true)),
};

/** Text of fixed length; shorter text is padded with spaces (`OEMID` and its like). */
export function ascii(size: number): Codec<string> {
  return {
    size,
    write(view, offset, value) {
      if (value.length > size || /[^ -~]/.test(value)) {
        throw new ChipsetError("bad-config", "text", `"${value}" is not ASCII text of at most ${size} characters`);
      }
      for (let i = 0; i < size; i++) view.setUint8(offset + i, i < value.length ? value.charCodeAt(i) : 0x20);
    },
    read(view, offset) {
      let text = "";
      for (let i = 0; i < size; i++) text += String.fromCharCode(view.getUint8(offset + i));
      return text.trimEnd();
    },
  };
}

/** Zeros that mean nothing. */
export function reserved(size: number): Codec<0> {
  return {
    size,
    write(view, offset) {
      for (let i = 0; i < size; i++) view.setUint8(offset + i, 0);
    },
    read: () => 0,
  };
}

/** Fields one after the other, without gaps, in the order given. */
export function struct<T extends object>(fields: { readonly [K in keyof T]: Codec<T[K]> }): Codec<T> {
  const entries = Object.entries(fields) as [keyof T, Codec<T[keyof T]>][];
  return {
    size: entries.reduce((sum, [, codec]) => sum + codec.size, 0),
    write(view, offset, value) {
      let at = offset;
      for (const [name, codec] of entries) {
        codec.write(view, at, value[name]);
        at += codec.size;
      }
    },
    read(view, offset) {
      const result = {} as T;
      let at = offset;
      for (const [name, codec] of entries) {
        result[name] = codec.read(view, at);
        at += codec.size;
      }
      return result;
    },
  };
}

export function encode<T>(codec: Codec<T>, value: T): Uint8Array {
  const bytes = new Uint8Array(codec.size);
  codec.write(new DataView(bytes.buffer), 0, value);
  return bytes;
}

export function decode<T>(codec: Codec<T>, bytes: Uint8Array, offset = 0): T {
  return codec.read(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), offset);
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const result = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}

/** The byte that makes the sum of `bytes` zero (modulo 256) when it replaces a zero in them. */
export function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (const byte of bytes) sum += byte;
  return -sum & 0xff;
}
