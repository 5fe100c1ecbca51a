import { KvmError, viewFailure } from "../errors.js";
import type { FieldType, Input } from "./struct.js";

/** More than any kernel takes, and little memory. */
const MOST = 1 << 20;

/** A counted array behind a small header, as the kernel's `kvm_cpuid2` and its kind: a view over one buffer. */
export class List<T> implements Iterable<T> {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #element: FieldType<T>;
  readonly #header: number;
  readonly #view: DataView;

  constructor(element: FieldType<T>, header: number, capacity: number) {
    if (!Number.isInteger(capacity) || capacity < 0 || capacity > MOST) {
      throw new KvmError("out-of-range", "a list", `its capacity must be 0 to ${MOST}, not ${String(capacity)}`);
    }
    this.#bytes = new Uint8Array(header + capacity * element.size);
    this.#element = element;
    this.#header = header;
    this.#view = new DataView(this.#bytes.buffer);
    this.length = capacity;
  }

  /** Header and elements, in place. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes;
  }

  /** How many elements there is room for. */
  get capacity(): number {
    return (this.#bytes.length - this.#header) / this.#element.size;
  }

  /** How many elements there are: the header's first field. The kernel may lower it to what it filled in. */
  get length(): number {
    return this.#view.getUint32(0, true);
  }
  set length(count: number) {
    if (!Number.isInteger(count) || count < 0 || count > this.capacity) {
      throw new KvmError("out-of-range", "a list", `room for ${this.capacity} elements, not ${String(count)}`);
    }
    this.#view.setUint32(0, count, true);
  }

  #offset(index: number): number {
    if (!Number.isInteger(index) || index < 0 || index >= this.capacity) {
      throw new KvmError("out-of-range", "a list", `no element ${String(index)} of ${this.capacity}`);
    }
    return this.#header + index * this.#element.size;
  }

  /** The element, for structures as a view of it. */
  get(index: number): T {
    try {
      return this.#element.read(this.#view, this.#offset(index));
    } catch (error) {
      throw viewFailure(error, "a list", this.#view.buffer);
    }
  }

  set(index: number, value: Input<T>): void {
    try {
      this.#element.write(this.#view, this.#offset(index), value as never);
    } catch (error) {
      throw viewFailure(error, "a list");
    }
  }

  *[Symbol.iterator](): Iterator<T> {
    const count = Math.min(this.length, this.capacity);
    for (let index = 0; index < count; index++) yield this.get(index);
  }
}

/** The definition of a counted array: the kernel's name, the size of its header, its element. */
export interface ListType<T> {
  readonly name: string;
  readonly header: number;
  readonly element: FieldType<T>;
  /** `capacity` zeroed elements. */
  create(capacity: number): List<T>;
  /** The given elements, each a view or the fields that are not 0. */
  from(items: Iterable<Input<T> | T>): List<T>;
}

export function list<T>(name: string, element: FieldType<T>, header: number): ListType<T> {
  const create = (capacity: number) => new List(element, header, capacity);
  return {
    name,
    header,
    element,
    create,
    from(items) {
      const values = [...items];
      const made = create(values.length);
      for (const [index, value] of values.entries()) made.set(index, value as Input<T>);
      return made;
    },
  };
}
