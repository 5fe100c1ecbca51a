import { ascii, type Codec, checksum, concat, decode, encode, reserved, struct, u8, u32, u64 } from "../binary.js";

/** System description table header (ACPI 6.3, 5.2.6). */
export const Header = struct({
  signature: ascii(4),
  length: u32,
  revision: u8,
  checksum: u8,
  oemId: ascii(6),
  oemTableId: ascii(8),
  oemRevision: u32,
  creatorId: ascii(4),
  creatorRevision: u32,
});

const CHECKSUM_OFFSET = 9;

/** A whole table: header with length and checksum, then the body. */
export function table(signature: string, revision: number, body: Uint8Array): Uint8Array {
  const header = encode(Header, {
    signature,
    length: Header.size + body.length,
    revision,
    checksum: 0,
    oemId: "SFTMTL",
    oemTableId: "SOFTMETL",
    oemRevision: 1,
    creatorId: "SFTM",
    creatorRevision: 1,
  });
  const whole = concat(header, body);
  whole[CHECKSUM_OFFSET] = checksum(whole);
  return whole;
}

/** Root system description pointer, revision 2 (5.2.5.3). */
export const Rsdp = struct({
  signature: ascii(8),
  checksum: u8,
  oemId: ascii(6),
  revision: u8,
  rsdtAddress: u32,
  length: u32,
  xsdtAddress: u64,
  extendedChecksum: u8,
  reserved: reserved(3),
});

const RSDP_V1_SIZE = 20;
const RSDP_EXTENDED_CHECKSUM_OFFSET = 32;

export function rsdp(rsdtAddress: number, xsdtAddress: number): Uint8Array {
  const bytes = encode(Rsdp, {
    signature: "RSD PTR ",
    checksum: 0,
    oemId: "SFTMTL",
    revision: 2,
    rsdtAddress,
    length: Rsdp.size,
    xsdtAddress,
    extendedChecksum: 0,
    reserved: 0,
  });
  bytes[8] = checksum(bytes.subarray(0, RSDP_V1_SIZE));
  bytes[RSDP_EXTENDED_CHECKSUM_OFFSET] = checksum(bytes);
  return bytes;
}

/** Generic address structure (5.2.3.2). */
export interface GenericAddress {
  /** 0 = system memory, 1 = system I/O. */
  space: number;
  bitWidth: number;
  bitOffset: number;
  /** 1 = byte, 2 = word, 3 = dword; 0 = undefined. */
  accessSize: number;
  address: number;
}

export const GenericAddress: Codec<GenericAddress> = struct<GenericAddress>({
  space: u8,
  bitWidth: u8,
  bitOffset: u8,
  accessSize: u8,
  address: u64,
});

/** Firmware ACPI control structure (5.2.10): no header checksum, 64-byte aligned. */
export const Facs = struct({
  signature: ascii(4),
  length: u32,
  hardwareSignature: u32,
  wakingVector: u32,
  globalLock: u32,
  flags: u32,
  xWakingVector: u64,
  version: u8,
  reserved: reserved(31),
});

export function facs(): Uint8Array {
  return encode(Facs, {
    signature: "FACS",
    length: Facs.size,
    hardwareSignature: 0,
    wakingVector: 0,
    globalLock: 0,
    flags: 0,
    xWakingVector: 0,
    version: 2,
    reserved: 0,
  });
}

/** Whether a table's bytes sum up to zero over its own length. */
export function isSound(bytes: Uint8Array): boolean {
  const { length } = decode(Header, bytes);
  return length <= bytes.length && checksum(bytes.subarray(0, length)) === 0;
}
