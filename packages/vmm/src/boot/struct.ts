/** Little-endian structures: one definition serves for reading and for writing. */

type Width = 1 | 2 | 4 | 8;
type Fields = Record<string, readonly [offset: number, width: Width]>;

/** A structure of fixed layout. Eight-byte fields are numbers: exact below 2^53, which every address here is. */
export interface Struct<F extends Fields> {
  /** In bytes. */
  readonly size: number;
  offsetOf(field: keyof F): number;
  read(bytes: Uint8Array, field: keyof F, at?: number): number;
  /** Writes the given fields and leaves the others. */
  write(bytes: Uint8Array, values: Partial<Record<keyof F, number>>, at?: number): void;
  /** A new buffer of the structure's size with the given fields, the others 0. */
  encode(values: Partial<Record<keyof F, number>>): Uint8Array;
}

export function struct<F extends Fields>(fields: F, fixedSize?: number): Struct<F> {
  const size = fixedSize ?? Math.max(...Object.values(fields).map(([offset, width]) => offset + width));
  const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const self: Struct<F> = {
    size,
    offsetOf: (field) => fields[field][0],
    read(bytes, field, at = 0) {
      const [offset, width] = fields[field];
      const view = viewOf(bytes);
      if (width === 1) return view.getUint8(at + offset);
      if (width === 2) return view.getUint16(at + offset, true);
      if (width === 4) return view.getUint32(at + offset, true);
      return view.getUint32(at + offset, true) + view.getUint32(at + offset + 4, true) * 2 ** 32;
    },
    write(bytes, values, at = 0) {
      const view = viewOf(bytes);
      for (const [name, value] of Object.entries(values) as [string, number][]) {
        const [offset, width] = fields[name];
        if (width === 1) view.setUint8(at + offset, value);
        else if (width === 2) view.setUint16(at + offset, value, true);
        else {
          view.setUint32(at + offset, value, true);
          if (width === 8) view.setUint32(at + offset + 4, Math.floor(value / 2 ** 32), true);
        }
      }
    },
    encode(values) {
      const bytes = new Uint8Array(size);
      self.write(bytes, values);
      return bytes;
    },
  };
  return self;
}
