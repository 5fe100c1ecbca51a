import { type ErrorLocation, located, Qcow2Error } from "../errors.js";
import { decodeUtf8, encodeUtf8, roundUp, struct, u16, u32, u64, u64big } from "./binary.js";
import { MAX_SNAPSHOT_EXTRA_BYTES } from "./constants.js";

const entryHead = struct({
  l1TableOffset: u64,
  l1Size: u32,
  idSize: u16,
  nameSize: u16,
  dateSeconds: u32,
  dateNanoseconds: u32,
  vmClock: u64big,
  vmStateSize32: u32,
  extraDataSize: u32,
});

/** Extra data, as far as it is defined: the first two fields are mandatory in version 3. */
const extraState = struct({ vmStateSize: u64 });
const extraDisk = struct({ diskSize: u64 });
const extraIcount = struct({ icount: u64big });
const ICOUNT_NONE = 0xffff_ffff_ffff_ffffn;

export interface SnapshotEntry {
  l1TableOffset: number;
  l1Size: number;
  id: string;
  name: string;
  dateSeconds: number;
  dateNanoseconds: number;
  vmClock: bigint;
  vmStateSize: number;
  /** Undefined when the entry does not say (version 2 images made by old programs). */
  diskSize: number | undefined;
  icount: bigint | undefined;
  /** Extra data behind the fields that are known. */
  unknownExtra: Uint8Array;
}

/** Told of what decoding for a repair leaves away. */
export interface SnapshotTableRepair {
  /** The extra data of an entry was cut to what is allowed. */
  extraData(index: number, size: number): void;
  /** The last entries do not fit the table. */
  entries(count: number): void;
}

/** Decodes `count` entries; `data` may be longer than the table. Returns the bytes the table takes, too. */
export function decodeSnapshotTable(
  data: Uint8Array,
  count: number,
  file: string,
  tableOffset: number,
  repair?: SnapshotTableRepair,
): { entries: SnapshotEntry[]; size: number } {
  const entries: SnapshotEntry[] = [];
  let at = 0;
  const need = (end: number): void => {
    if (end > data.length) {
      throw new Qcow2Error("corrupt", "snapshot table is cut short", {
        file,
        structure: "snapshot table",
        offset: tableOffset + at,
      });
    }
  };
  for (let i = 0; i < count; i++) {
    at = roundUp(at, 8);
    need(at + entryHead.size);
    const start = at;
    const where = { file, structure: "snapshot table", offset: tableOffset + start };
    const head = located(where, () => entryHead.decode(data, start));
    if (head.extraDataSize > MAX_SNAPSHOT_EXTRA_BYTES) {
      repair?.extraData(i, head.extraDataSize);
    }
    if (head.extraDataSize > MAX_SNAPSHOT_EXTRA_BYTES && repair === undefined) {
      throw new Qcow2Error("too-large", "too much extra metadata in the snapshot table", {
        ...where,
        offset: tableOffset + at + entryHead.offsetOf("extraDataSize"),
      });
    }
    const extraAt = at + entryHead.size;
    const idAt = extraAt + head.extraDataSize;
    const nameAt = idAt + head.idSize;
    const end = nameAt + head.nameSize;
    if (repair !== undefined && end > data.length) {
      repair.entries(count - i);
      return { entries, size: roundUp(start, 8) };
    }
    need(end);
    const inExtra = (offset: number): ErrorLocation => ({ ...where, offset: tableOffset + extraAt + offset });
    const extra = data.subarray(extraAt, Math.min(idAt, extraAt + MAX_SNAPSHOT_EXTRA_BYTES));
    const icount = extra.length >= 24 ? extraIcount.decode(extra, 16).icount : ICOUNT_NONE;
    entries.push({
      l1TableOffset: head.l1TableOffset,
      l1Size: head.l1Size,
      id: decodeUtf8(data.subarray(idAt, nameAt)),
      name: decodeUtf8(data.subarray(nameAt, end)),
      dateSeconds: head.dateSeconds,
      dateNanoseconds: head.dateNanoseconds,
      vmClock: head.vmClock,
      vmStateSize:
        extra.length >= 8 ? located(inExtra(0), () => extraState.decode(extra).vmStateSize) : head.vmStateSize32,
      diskSize: extra.length >= 16 ? located(inExtra(8), () => extraDisk.decode(extra, 8).diskSize) : undefined,
      icount: icount === ICOUNT_NONE ? undefined : icount,
      unknownExtra: extra.slice(Math.min(24, extra.length)),
    });
    at = end;
  }
  return { entries, size: roundUp(at, 8) };
}

export function encodeSnapshotTable(entries: readonly SnapshotEntry[]): Uint8Array {
  const parts: Uint8Array[] = [];
  let size = 0;
  for (const entry of entries) {
    const id = encodeUtf8(entry.id);
    const name = encodeUtf8(entry.name);
    const extraSize = 24 + entry.unknownExtra.length;
    const part = new Uint8Array(roundUp(entryHead.size + extraSize + id.length + name.length, 8));
    entryHead.encode(
      {
        ...entry,
        idSize: id.length,
        nameSize: name.length,
        // Old readers see the size when it fits; the 64-bit field below is what counts.
        vmStateSize32: entry.vmStateSize <= 0xffff_ffff ? entry.vmStateSize : 0,
        extraDataSize: extraSize,
      },
      part,
    );
    let at = entryHead.size;
    extraState.encode({ vmStateSize: entry.vmStateSize }, part, at);
    extraDisk.encode({ diskSize: entry.diskSize ?? 0 }, part, at + 8);
    extraIcount.encode({ icount: entry.icount ?? ICOUNT_NONE }, part, at + 16);
    part.set(entry.unknownExtra, at + 24);
    at += extraSize;
    part.set(id, at);
    part.set(name, at + id.length);
    parts.push(part);
    size += part.length;
  }
  const table = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    table.set(part, at);
    at += part.length;
  }
  return table;
}
