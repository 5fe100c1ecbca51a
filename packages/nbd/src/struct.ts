import { NbdError } from "./errors.js";

type Field = "u16" | "u32" | "u64";
type Fields = Record<string, Field>;
type Values<F extends Fields> = { [K in keyof F]: F[K] extends "u64" ? bigint : number };

/** One definition of a fixed-size big-endian structure, used to write it and to read it. */
export interface Struct<F extends Fields> {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  encode(values: Values<F>): Uint8Array;
  decode(bytes: Uint8Array, at?: number): Values<F>;
}

const WIDTH: Record<Field, number> = { u16: 2, u32: 4, u64: 8 };

/** Define a structure: fields in the order of the wire. */
export function struct<const F extends Fields>(name: string, fields: F): Struct<F> {
  const entries = Object.entries(fields);
  const size = entries.reduce((sum, [, type]) => sum + WIDTH[type], 0);
  return {
    name,
    size,
    encode(values) {
      const bytes = new Uint8Array(size);
      const view = new DataView(bytes.buffer);
      let at = 0;
      for (const [key, type] of entries) {
        const value = values[key];
        if (type === "u16") view.setUint16(at, value as number);
        else if (type === "u32") view.setUint32(at, value as number);
        else view.setBigUint64(at, value as bigint);
        at += WIDTH[type];
      }
      return bytes;
    },
    decode(bytes, start = 0) {
      if (bytes.length - start < size) {
        throw new NbdError("protocol", `${name}: ${bytes.length - start} bytes where ${size} are needed`, {
          structure: name,
        });
      }
      const view = new DataView(bytes.buffer, bytes.byteOffset + start, size);
      const values: Record<string, number | bigint> = {};
      let at = 0;
      for (const [key, type] of entries) {
        if (type === "u16") values[key] = view.getUint16(at);
        else if (type === "u32") values[key] = view.getUint32(at);
        else values[key] = view.getBigUint64(at);
        at += WIDTH[type];
      }
      return values as Values<F>;
    },
  };
}

/** A 64-bit number of the wire as a JavaScript number; more than 2^53 - 1 is refused. */
export function toSafe(value: bigint, structure: string): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new NbdError("limit", `${structure}: ${value} is beyond 2^53 bytes`, { structure });
  }
  return Number(value);
}

/** The concatenation of several byte arrays. */
export function concat(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0];
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
