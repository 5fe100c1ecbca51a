/**
 * Binary structures, defined once: from the list of fields come the layout (by C's alignment rules), the decoding (a view
 * whose properties read the bytes) and the encoding (the same properties, written).
 */

import { KvmError, viewFailure } from "../errors.js";

/** One kind of field: how large it is, how it is aligned, and what reading it gives. */
export interface FieldType<T> {
  readonly size: number;
  readonly align: number;
  /** The value at `offset`, or a view of it. */
  read(view: DataView, offset: number): T;
  /** Stores a value; for views, copies what is given into place. */
  write(view: DataView, offset: number, value: never): void;
}

/** A field that is a number. */
export interface Scalar<T> extends FieldType<T> {
  write(view: DataView, offset: number, value: T): void;
}

function integer(bits: 8 | 16 | 32, signed = false): Scalar<number> {
  const name = `${signed ? "Int" : "Uint"}${bits}` as "Uint8" | "Uint16" | "Uint32" | "Int16" | "Int32";
  const get = DataView.prototype[`get${name}`];
  const set = DataView.prototype[`set${name}`];
  return {
    size: bits / 8,
    align: bits / 8,
    read: (view, offset) => get.call(view, offset, true),
    write: (view, offset, value) => set.call(view, offset, value, true),
  };
}

export const u8 = integer(8);
export const u16 = integer(16);
export const u32 = integer(32);
export const s16 = integer(16, true);
export const s32 = integer(32, true);
export const u64: Scalar<bigint> = {
  size: 8,
  align: 8,
  read: (view, offset) => view.getBigUint64(offset, true),
  write: (view, offset, value) => view.setBigUint64(offset, value, true),
};
export const s64: Scalar<bigint> = {
  size: 8,
  align: 8,
  read: (view, offset) => view.getBigInt64(offset, true),
  write: (view, offset, value) => view.setBigInt64(offset, value, true),
};

/** A run of bytes, read as a Uint8Array over them. */
export function bytes(
  size: number,
): FieldType<Uint8Array> & { write(v: DataView, o: number, value: Iterable<number>): void } {
  const read = (view: DataView, offset: number) => new Uint8Array(view.buffer, view.byteOffset + offset, size);
  return {
    size,
    align: 1,
    read,
    write(view, offset, value) {
      const source = Uint8Array.from(value);
      read(view, offset).set(source.subarray(0, size));
    },
  };
}

/** A view of an array of equal elements in place. */
export interface ArrayView<T> extends Iterable<T> {
  readonly length: number;
  /** The element, or for a structure a view of it. */
  get(index: number): T;
  set(index: number, value: unknown): void;
}

/** `count` elements one after another. */
export function array<T>(
  element: FieldType<T>,
  count: number,
): FieldType<ArrayView<T>> & { write(v: DataView, o: number, value: Iterable<unknown>): void } {
  const read = (view: DataView, offset: number): ArrayView<T> => {
    const at = (index: number) => {
      if (!Number.isInteger(index) || index < 0 || index >= count) {
        throw new KvmError("out-of-range", "an array", `no element ${String(index)} of ${count}`);
      }
      return offset + index * element.size;
    };
    const get = (index: number) => {
      try {
        return element.read(view, at(index));
      } catch (error) {
        throw viewFailure(error, "an array", view.buffer);
      }
    };
    return {
      length: count,
      get,
      set(index, value) {
        try {
          element.write(view, at(index), value as never);
        } catch (error) {
          throw viewFailure(error, "an array", view.buffer);
        }
      },
      *[Symbol.iterator]() {
        for (let index = 0; index < count; index++) yield get(index);
      },
    };
  };
  return {
    size: element.size * count,
    align: element.align,
    read,
    write(view, offset, value) {
      let index = 0;
      for (const item of value) {
        if (index === count) break;
        element.write(view, offset + index * element.size, item as never);
        index++;
      }
    },
  };
}

export type Fields = Record<string, FieldType<unknown>>;
type Read<F> = F extends FieldType<infer T> ? T : never;

/** What can be stored in a field: the number itself, or for structures and arrays anything of their shape. */
export type Input<T> = T extends bigint | number
  ? T
  : T extends ArrayView<infer E>
    ? Iterable<Input<E>>
    : T extends Uint8Array
      ? Iterable<number>
      : T extends StructView
        ? { [K in Exclude<keyof T, keyof StructView>]?: Input<T[K]> }
        : never;

/** What can be given for a structure: any of its fields. */
export type Values<F extends Fields> = { [K in keyof F]?: Input<Read<F[K]>> };

/** What every structure view has besides its fields. */
export interface StructView {
  /** The structure's bytes, in place. */
  readonly $bytes: Uint8Array;
  /** A plain copy: numbers, bigints, arrays and objects. */
  $object(): Record<string, unknown>;
}

/** A view of one structure: its fields as properties (numbers and bigints can be assigned). */
export type ViewOf<F extends Fields> = {
  -readonly [K in keyof F as Read<F[K]> extends number | bigint ? K : never]: Read<F[K]>;
} & { readonly [K in keyof F as Read<F[K]> extends number | bigint ? never : K]: Read<F[K]> } & StructView & {
    /** Stores the given fields, deeply; returns the view. */
    $assign(values: Values<F>): ViewOf<F>;
  };

/** A structure's definition. */
export interface StructType<F extends Fields> extends FieldType<ViewOf<F>> {
  /** The kernel's name of it, without `struct`. */
  readonly name: string;
  readonly fields: F;
  /** Byte offsets of the fields. */
  readonly offsets: { readonly [K in keyof F]: number };
  /** A zeroed structure of its own. */
  create(values?: Values<F>): ViewOf<F>;
  /** A view of the structure in somebody's memory. */
  at(buffer: ArrayBufferLike, offset?: number): ViewOf<F>;
  write(view: DataView, offset: number, value: Values<F>): void;
}

/** The view type of a definition: `type Regs = View<typeof Regs>`. */
export type View<S> = S extends StructType<infer F> ? ViewOf<F> : never;

function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Array.from(value);
  if (typeof value !== "object" || value === null) return value;
  if ("$object" in value) return (value as StructView).$object();
  return Array.from(value as Iterable<unknown>, plain);
}

function layOut<F extends Fields>(name: string, fields: F, overlapping: boolean, atLeast: number): StructType<F> {
  const offsets: Record<string, number> = {};
  let end = 0;
  let align = 1;
  for (const [key, field] of Object.entries(fields)) {
    const offset = overlapping ? 0 : Math.ceil(end / field.align) * field.align;
    offsets[key] = offset;
    end = Math.max(end, offset + field.size);
    align = Math.max(align, field.align);
  }
  const size = Math.ceil(Math.max(end, atLeast) / align) * align;

  const operation = (member: string) => (name === "" ? member : `${name}.${member}`);

  class Structure {
    readonly #view: DataView;
    constructor(view: DataView) {
      this.#view = view;
    }
    static {
      for (const [key, field] of Object.entries(fields)) {
        const offset = offsets[key];
        Object.defineProperty(Structure.prototype, key, {
          enumerable: true,
          get(this: Structure) {
            try {
              return field.read(this.#view, offset);
            } catch (error) {
              throw viewFailure(error, operation(key), this.#view.buffer);
            }
          },
          set(this: Structure, value: never) {
            try {
              field.write(this.#view, offset, value);
            } catch (error) {
              throw viewFailure(error, operation(key), this.#view.buffer);
            }
          },
        });
      }
    }
    get $bytes(): Uint8Array {
      try {
        return new Uint8Array(this.#view.buffer, this.#view.byteOffset, size);
      } catch (error) {
        throw viewFailure(error, operation("$bytes"), this.#view.buffer);
      }
    }
    $object() {
      return Object.fromEntries(Object.keys(fields).map((key) => [key, plain(this[key as keyof this])]));
    }
    $assign(values: Record<string, unknown>) {
      if (typeof values !== "object" || values === null) {
        throw new KvmError("invalid-argument", operation("$assign"), "expected an object with fields");
      }
      // Only the definition's own fields: a view has them on its prototype, a plain object as its properties.
      for (const key of Object.keys(fields)) {
        const value = values[key];
        if (value !== undefined) this[key as keyof this] = value as never;
      }
      return this;
    }
  }

  const read = (view: DataView, offset: number) =>
    new Structure(new DataView(view.buffer, view.byteOffset + offset, size)) as unknown as ViewOf<F>;
  const at = (buffer: ArrayBufferLike, offset = 0) => {
    try {
      return new Structure(new DataView(buffer, offset, size)) as unknown as ViewOf<F>;
    } catch (error) {
      throw viewFailure(error, operation("at"), buffer instanceof ArrayBuffer && size > 0 ? buffer : undefined);
    }
  };
  return {
    name,
    fields,
    offsets: offsets as { [K in keyof F]: number },
    size,
    align,
    read,
    at,
    write: (view, offset, value) => void read(view, offset).$assign(value),
    create: (values) => {
      const made = at(new ArrayBuffer(size));
      return values === undefined ? made : made.$assign(values);
    },
  };
}

/** Defines a structure laid out by C's rules for x86-64. */
export function struct<const F extends Fields>(name: string, fields: F): StructType<F> {
  return layOut(name, fields, false, 0);
}

/** Defines a union: all fields at offset 0, at least `atLeast` bytes large. */
export function union<const F extends Fields>(name: string, fields: F, atLeast = 0): StructType<F> {
  return layOut(name, fields, true, atLeast);
}
