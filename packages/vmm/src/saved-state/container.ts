import { MachineError } from "../api.js";
import { struct } from "../boot/struct.js";

/**
 * A saved machine as bytes, little-endian: the header; the description, JSON in UTF-8; then for each extent of RAM its
 * header and its bytes. RAM outside of the extents is zeros.
 */

/** "SMVM". */
const MAGIC = 0x4d564d53;
/** To be raised when a reader of the old version would misunderstand the new one. */
const VERSION = 1;

const HEADER = struct({ magic: [0, 4], version: [4, 4], descriptionBytes: [8, 4], extents: [12, 4] });
/** Guest-physical address and length, both multiples of `PAGE`; extents ascend and do not touch the same page twice. */
const EXTENT = struct({ address: [0, 8], bytes: [8, 8] });

export const PAGE = 4096;
/** Bytes that the description may have: one of 255 processors has 2 MiB. */
const LARGEST_DESCRIPTION = 2 ** 26;

/** A piece of RAM that is not all zeros. */
export interface Extent {
  readonly address: number;
  readonly bytes: Uint8Array;
}

export interface Container {
  /** Plain data, as JSON carries it. */
  readonly description: unknown;
  readonly extents: readonly Extent[];
}

/** @throws MachineError `out-of-memory` */
export function encodeContainer({ description, extents }: Container): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(JSON.stringify(description));
  const size = extents.reduce((sum, { bytes }) => sum + EXTENT.size + bytes.length, HEADER.size + text.length);
  const result = allocate(size);
  HEADER.write(result, {
    magic: MAGIC,
    version: VERSION,
    descriptionBytes: text.length,
    extents: extents.length,
  });
  result.set(text, HEADER.size);
  let at = HEADER.size + text.length;
  for (const { address, bytes } of extents) {
    EXTENT.write(result, { address, bytes: bytes.length }, at);
    result.set(bytes, at + EXTENT.size);
    at += EXTENT.size + bytes.length;
  }
  return result;
}

/**
 * Takes bytes apart, without copying RAM.
 * @param ram bytes of RAM; extents lie within
 * @throws MachineError `bad-saved-state`
 */
export function decodeContainer(bytes: Uint8Array, ram: number): Container {
  if (bytes.length < HEADER.size || HEADER.read(bytes, "magic") !== MAGIC) {
    throw bad("The bytes are not a saved machine.");
  }
  const version = HEADER.read(bytes, "version");
  if (version !== VERSION) throw bad(`The saved machine has format version ${version}; this program reads ${VERSION}.`);
  const length = HEADER.read(bytes, "descriptionBytes");
  let at = HEADER.size + length;
  if (at > bytes.length) throw truncated();
  if (length > LARGEST_DESCRIPTION) throw bad("The saved machine's description is too long to be one.");
  const description = parse(bytes.slice(HEADER.size, at));
  const extents: Extent[] = [];
  let end = 0;
  for (let left = HEADER.read(bytes, "extents"); left > 0; left--) {
    if (at + EXTENT.size > bytes.length) throw truncated();
    const address = EXTENT.read(bytes, "address", at);
    const size = EXTENT.read(bytes, "bytes", at);
    at += EXTENT.size;
    if (address % PAGE !== 0 || size % PAGE !== 0 || size === 0 || address < end || address + size > ram) {
      throw bad(`The saved machine has RAM at 0x${address.toString(16)} that this machine cannot have.`);
    }
    if (at + size > bytes.length) throw truncated();
    extents.push({ address, bytes: bytes.subarray(at, at + size) });
    end = address + size;
    at += size;
  }
  if (at !== bytes.length) throw bad(`The saved machine is followed by ${bytes.length - at} bytes that do not belong.`);
  return { description, extents };
}

export const bad = (message: string, cause?: unknown) =>
  new MachineError("bad-saved-state", message, cause === undefined ? undefined : { cause });
const truncated = () => bad("The saved machine is truncated.");

function parse(text: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(text));
  } catch (cause) {
    throw bad("The saved machine's description cannot be read.", cause);
  }
}

function allocate(size: number): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(size);
  } catch (cause) {
    const message = `The host gave no ${Math.ceil(size / 1048576)} MiB for the saved machine.`;
    throw new MachineError("out-of-memory", message, { cause });
  }
}
