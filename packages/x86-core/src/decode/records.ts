import { RECORD, RECORD_SIZE } from "../state/layout.js";

/** Allocates and writes records in the memory of a CPU. */
export class RecordArena {
  readonly #u8: Uint8Array;
  readonly #u16: Uint16Array;
  readonly #i32: Int32Array;
  readonly #u32: Uint32Array;
  readonly #i64: BigInt64Array;
  #next: number;
  /** Told which records change what they execute or are given back: from one address up to another. */
  dropped: ((start: number, end: number) => void) | undefined;

  constructor(
    buffer: ArrayBufferLike,
    readonly start: number,
    readonly end: number,
  ) {
    this.#u8 = new Uint8Array(buffer);
    this.#u16 = new Uint16Array(buffer);
    this.#i32 = new Int32Array(buffer);
    this.#u32 = new Uint32Array(buffer);
    this.#i64 = new BigInt64Array(buffer);
    this.#next = start;
  }

  /** Records that still fit. */
  get room(): number {
    return (this.end - this.#next) / RECORD_SIZE;
  }
  get next(): number {
    return this.#next;
  }
  clear(): void {
    this.rewind(this.start);
  }
  /** Gives back what was added since `next` was `mark`. */
  rewind(mark: number): void {
    this.dropped?.(mark, this.#next);
    this.#next = mark;
  }

  /** Appends a record with everything but its operands at 0; returns its address. */
  add(handler: number, ip: number, length: number, count: number): number {
    const record = this.#next;
    this.#next += RECORD_SIZE;
    this.#i64.fill(0n, record >> 3, (record + RECORD_SIZE) >> 3);
    this.#u16[(record + RECORD.handler) >> 1] = handler;
    this.#u16[(record + RECORD.ip) >> 1] = ip;
    this.#u8[record + RECORD.length] = length;
    this.#u16[(record + RECORD.count) >> 1] = count;
    return record;
  }

  /** The memory operand: state offsets of base and index, shift (with STACK_SEGMENT), displacement. */
  setAddress(record: number, base: number, index: number, scale: number, displacement: number): void {
    this.#u16[(record + RECORD.base) >> 1] = base;
    this.#u16[(record + RECORD.index) >> 1] = index;
    this.#u8[record + RECORD.scale] = scale;
    this.#i32[(record + RECORD.displacement) >> 2] = displacement;
  }
  /** The immediate; it overwrites field `c`. */
  setImmediate(record: number, value: bigint): void {
    this.#i64[(record + RECORD.immediate) >> 3] = value;
  }
  setField(record: number, field: "a" | "b" | "c" | "base", value: number): void {
    this.#u16[(record + RECORD[field]) >> 1] = value;
  }
  setLink(record: number, target: number): void {
    this.#u32[(record + RECORD.link) >> 2] = target;
  }
  setHandler(record: number, handler: number): void {
    this.dropped?.(record, record + RECORD_SIZE);
    this.#u16[(record + RECORD.handler) >> 1] = handler;
  }

  handler(record: number): number {
    return this.#u16[(record + RECORD.handler) >> 1];
  }
  /** Bytes from the start of the page to the instruction. */
  ip(record: number): number {
    return this.#u16[(record + RECORD.ip) >> 1];
  }
  length(record: number): number {
    return this.#u8[record + RECORD.length];
  }
  count(record: number): number {
    return this.#u16[(record + RECORD.count) >> 1];
  }
  inStackSegment(record: number): boolean {
    return (this.#u8[record + RECORD.scale] & 0x80) !== 0;
  }
  /** The fields as generated code reads them. */
  field(record: number, name: keyof typeof RECORD): number | bigint {
    switch (name) {
      case "immediate":
        return this.#i64[(record + RECORD.immediate) >> 3];
      case "displacement":
        return this.#i32[(record + RECORD.displacement) >> 2];
      case "link":
        return this.#u32[(record + RECORD.link) >> 2];
      case "scale":
      case "length":
        return this.#u8[record + RECORD[name]];
      default:
        return this.#u16[(record + RECORD[name]) >> 1];
    }
  }
}
