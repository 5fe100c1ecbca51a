import { Qcow2Error, type Qcow2ErrorCode } from "../errors.js";
import { bytes, decodeUtf8, encodeUtf8, struct, u16, u32 } from "./binary.js";

/** LUKS On-Disk Format Specification 1.2, figure 1: the partition header. */
const partition = struct({
  magic: bytes(6),
  version: u16,
  cipherName: bytes(32),
  cipherMode: bytes(32),
  hashSpec: bytes(32),
  payloadOffset: u32,
  keyBytes: u32,
  mkDigest: bytes(20),
  mkDigestSalt: bytes(32),
  mkDigestIterations: u32,
  uuid: bytes(40),
});

/** Figure 2: one of eight key slots. */
const slot = struct({ active: u32, iterations: u32, salt: bytes(32), keyMaterialOffset: u32, stripes: u32 });

const MAGIC = new Uint8Array([0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe]);
const SLOT_ACTIVE = 0x00ac71f3;
const SLOT_INACTIVE = 0x0000dead;
export const LUKS_SLOTS = 8;
export const LUKS_HEADER_BYTES = partition.size + LUKS_SLOTS * slot.size;
export const LUKS_DIGEST_BYTES = 20;

export interface LuksSlot {
  active: boolean;
  iterations: number;
  salt: Uint8Array;
  /** In sectors from the start of the header. */
  keyMaterialOffset: number;
  stripes: number;
}

export interface LuksHeader {
  cipherName: string;
  cipherMode: string;
  hashSpec: string;
  /** In sectors. */
  payloadOffset: number;
  keyBytes: number;
  mkDigest: Uint8Array;
  mkDigestSalt: Uint8Array;
  mkDigestIterations: number;
  uuid: string;
  slots: LuksSlot[];
}

export function isLuks(data: Uint8Array): boolean {
  return data.length >= 8 && MAGIC.every((byte, i) => data[i] === byte) && data[6] === 0 && data[7] === 1;
}

const text = (field: Uint8Array): string => {
  const end = field.indexOf(0);
  return decodeUtf8(end < 0 ? field : field.subarray(0, end));
};

const slotOffset = (index: number): number => partition.size + index * slot.size;

/** Where a field lies, from the start of the header. */
export function luksOffset(field: keyof ReturnType<typeof partition.decode>): number {
  return partition.offsetOf(field);
}

/** Where a field of a key slot lies, from the start of the header. */
export function luksSlotOffset(index: number, field: keyof ReturnType<typeof slot.decode>): number {
  return slotOffset(index) + slot.offsetOf(field);
}

/** @param offset where the header lies in the file, for errors */
export function decodeLuksHeader(data: Uint8Array, file: string, offset: number): LuksHeader {
  const fail = (code: Qcow2ErrorCode, reason: string, at: number): never => {
    throw new Qcow2Error(code, reason, { file, structure: "LUKS header", offset: offset + at });
  };
  if (data.length < LUKS_HEADER_BYTES || !MAGIC.every((byte, i) => data[i] === byte)) {
    fail("not-an-image", "no LUKS header", 0);
  }
  const fields = partition.decode(data);
  if (fields.version !== 1) fail("unsupported", `LUKS version ${fields.version}`, partition.offsetOf("version"));
  if (fields.keyBytes < 16 || fields.keyBytes > 64) {
    fail("corrupt", "impossible key size", partition.offsetOf("keyBytes"));
  }
  const slots: LuksSlot[] = [];
  for (let i = 0; i < LUKS_SLOTS; i++) {
    const { active, ...rest } = slot.decode(data, slotOffset(i));
    if (active !== SLOT_ACTIVE && active !== SLOT_INACTIVE) {
      fail("corrupt", `key slot ${i} is neither active nor inactive`, luksSlotOffset(i, "active"));
    }
    slots.push({ active: active === SLOT_ACTIVE, ...rest });
  }
  return {
    cipherName: text(fields.cipherName),
    cipherMode: text(fields.cipherMode),
    hashSpec: text(fields.hashSpec),
    payloadOffset: fields.payloadOffset,
    keyBytes: fields.keyBytes,
    mkDigest: fields.mkDigest,
    mkDigestSalt: fields.mkDigestSalt,
    mkDigestIterations: fields.mkDigestIterations,
    uuid: text(fields.uuid),
    slots,
  };
}

export function encodeLuksHeader(header: LuksHeader): Uint8Array {
  const data = new Uint8Array(LUKS_HEADER_BYTES);
  partition.encode(
    {
      ...header,
      magic: MAGIC,
      version: 1,
      cipherName: encodeUtf8(header.cipherName),
      cipherMode: encodeUtf8(header.cipherMode),
      hashSpec: encodeUtf8(header.hashSpec),
      uuid: encodeUtf8(header.uuid),
    },
    data,
  );
  header.slots.forEach((entry, i) => {
    slot.encode({ ...entry, active: entry.active ? SLOT_ACTIVE : SLOT_INACTIVE }, data, slotOffset(i));
  });
  return data;
}
