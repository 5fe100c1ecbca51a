import { located, Qcow2Error } from "../errors.js";
import { bytes, decodeUtf8, encodeUtf8, roundUp, struct, u8, u32, u64, u64big } from "./binary.js";
import * as C from "./constants.js";

/** The 72 bytes both versions have. */
const base = struct({
  magic: u32,
  version: u32,
  backingFileOffset: u64,
  backingFileSize: u32,
  clusterBits: u32,
  size: u64,
  cryptMethod: u32,
  l1Size: u32,
  l1TableOffset: u64,
  refcountTableOffset: u64,
  refcountTableClusters: u32,
  nbSnapshots: u32,
  snapshotsOffset: u64,
});

/** Bytes 72 to 103, version 3. */
const version3 = struct({
  incompatibleFeatures: u64big,
  compatibleFeatures: u64big,
  autoclearFeatures: u64big,
  refcountOrder: u32,
  headerLength: u32,
});

/** Byte 104 and the padding behind it: present when `headerLength` says so. */
const additional = struct({ compressionType: u8, padding: bytes(7) });

const extensionHead = struct({ type: u32, length: u32 });
const bitmapsExtension = struct({ nbBitmaps: u32, reserved: u32, directorySize: u64, directoryOffset: u64 });
const encryptionExtension = struct({ offset: u64, length: u64 });

export interface HeaderExtension {
  type: number;
  data: Uint8Array;
}

/** Where the content of a header extension was read from, for errors. */
interface ReadFrom {
  readonly at?: number;
}

/** Where a field of the bitmaps extension lies in the file, in bytes. */
export function bitmapsFieldOffset(
  { at }: ReadFrom,
  field: "nbBitmaps" | "directorySize" | "directoryOffset",
): number | undefined {
  return at === undefined ? undefined : at + bitmapsExtension.offsetOf(field);
}

/** Where a field of the encryption extension lies in the file, in bytes. */
export function encryptionFieldOffset({ at }: ReadFrom, field: "offset" | "length"): number | undefined {
  return at === undefined ? undefined : at + encryptionExtension.offsetOf(field);
}

/** The header cluster, decoded. `headerLength` and `backingFileOffset` are computed when it is encoded. */
export interface Header {
  version: 2 | 3;
  clusterBits: number;
  size: number;
  cryptMethod: number;
  l1Size: number;
  l1TableOffset: number;
  refcountTableOffset: number;
  refcountTableClusters: number;
  nbSnapshots: number;
  snapshotsOffset: number;
  incompatibleFeatures: bigint;
  compatibleFeatures: bigint;
  autoclearFeatures: bigint;
  refcountOrder: number;
  compressionType: number;
  /** Header bytes beyond those we know (from byte 112), kept as they are. */
  unknownFields: Uint8Array;
  backingFile: string | undefined;
  backingFormat: string | undefined;
  dataFile: string | undefined;
  bitmaps: ({ nbBitmaps: number; directorySize: number; directoryOffset: number } & ReadFrom) | undefined;
  encryptionHeader: ({ offset: number; length: number } & ReadFrom) | undefined;
  /** The feature name table and extensions we do not know, kept in their order. */
  otherExtensions: HeaderExtension[];
}

const bad = (reason: string, file: string, offset: number): Qcow2Error =>
  new Qcow2Error("corrupt", reason, { file, structure: "header", offset });

/** A field of the header, by the name it has in the specification. */
export type HeaderField =
  | keyof ReturnType<typeof base.decode>
  | keyof ReturnType<typeof version3.decode>
  | "compressionType";

/** Where a field of the header lies in the file, in bytes. */
export function headerOffset(field: HeaderField): number {
  if (base.has(field)) return base.offsetOf(field);
  if (version3.has(field)) return base.size + version3.offsetOf(field);
  return base.size + version3.size + additional.offsetOf("compressionType");
}

/** Whether `data` starts like a qcow2 image. */
export function isQcow2(data: Uint8Array): boolean {
  if (data.length < 8) return false;
  const view = new DataView(data.buffer, data.byteOffset, 8);
  return view.getUint32(0) === C.QCOW2_MAGIC && view.getUint32(4) >= 2;
}

/** Something else is where the magic number should be, or the file ends within the header. */
function notAnImage(data: Uint8Array, file: string): Qcow2Error {
  const offset = isQcow2(data) ? data.length : headerOffset("magic");
  return new Qcow2Error("not-an-image", "not a qcow2 image", { file, structure: "header", offset });
}

/** How many bytes from the start of the file `decodeHeader` needs; only `base.size` are looked at. */
export function headerClusterSize(start: Uint8Array, file: string): number {
  if (!isQcow2(start) || start.length < base.size) {
    throw notAnImage(start, file);
  }
  const bits = new DataView(start.buffer, start.byteOffset).getUint32(base.offsetOf("clusterBits"));
  if (bits < C.MIN_CLUSTER_BITS || bits > C.MAX_CLUSTER_BITS) {
    throw new Qcow2Error("unsupported", `cluster size 2^${bits} is not between 512 bytes and 2 MiB`, {
      file,
      structure: "header",
      offset: base.offsetOf("clusterBits"),
    });
  }
  return 2 ** bits;
}

/** Decodes the header from the first cluster (or as much of it as the file has). */
export function decodeHeader(data: Uint8Array, file: string): Header {
  if (!isQcow2(data) || data.length < base.size) {
    throw notAnImage(data, file);
  }
  const fields = decodeLocated(base, data, 0, file);
  if (fields.version !== 2 && fields.version !== 3) {
    throw new Qcow2Error("unsupported", `unsupported qcow2 version ${fields.version}`, {
      file,
      structure: "header",
      offset: headerOffset("version"),
    });
  }
  const clusterSize = headerClusterSize(data, file);
  const header: Header = {
    version: fields.version,
    clusterBits: fields.clusterBits,
    size: fields.size,
    cryptMethod: fields.cryptMethod,
    l1Size: fields.l1Size,
    l1TableOffset: fields.l1TableOffset,
    refcountTableOffset: fields.refcountTableOffset,
    refcountTableClusters: fields.refcountTableClusters,
    nbSnapshots: fields.nbSnapshots,
    snapshotsOffset: fields.snapshotsOffset,
    incompatibleFeatures: 0n,
    compatibleFeatures: 0n,
    autoclearFeatures: 0n,
    refcountOrder: 4,
    compressionType: 0,
    unknownFields: new Uint8Array(0),
    backingFile: undefined,
    backingFormat: undefined,
    dataFile: undefined,
    bitmaps: undefined,
    encryptionHeader: undefined,
    otherExtensions: [],
  };
  let headerLength = base.size;
  if (fields.version === 3) {
    if (data.length < base.size + version3.size) throw bad("header is cut short", file, data.length);
    const more = decodeLocated(version3, data, base.size, file);
    headerLength = more.headerLength;
    header.incompatibleFeatures = more.incompatibleFeatures;
    header.compatibleFeatures = more.compatibleFeatures;
    header.autoclearFeatures = more.autoclearFeatures;
    header.refcountOrder = more.refcountOrder;
    if (headerLength < base.size + version3.size)
      throw bad(`header length ${headerLength} is too short`, file, headerOffset("headerLength"));
    if (headerLength > Math.min(clusterSize, data.length)) {
      throw bad(`header length ${headerLength} exceeds the first cluster`, file, headerOffset("headerLength"));
    }
    const known = base.size + version3.size + additional.size;
    if (headerLength > base.size + version3.size) header.compressionType = data[base.size + version3.size];
    if (headerLength > known) header.unknownFields = data.slice(known, headerLength);
  }
  let extensionsEnd = Math.min(clusterSize, data.length);
  if (fields.backingFileOffset !== 0) {
    if (fields.backingFileSize > C.MAX_BACKING_NAME)
      throw bad("backing file name is too long", file, headerOffset("backingFileSize"));
    const end = fields.backingFileOffset + fields.backingFileSize;
    if (fields.backingFileOffset < headerLength || end > data.length) {
      throw bad("backing file name lies outside of the first cluster", file, headerOffset("backingFileOffset"));
    }
    if (fields.backingFileSize > 0) header.backingFile = decodeUtf8(data.subarray(fields.backingFileOffset, end));
    extensionsEnd = fields.backingFileOffset;
  }
  decodeExtensions(header, data, headerLength, extensionsEnd, file);
  return header;
}

function decodeLocated<T>(
  definition: { decode(data: Uint8Array, at: number): T },
  data: Uint8Array,
  at: number,
  file: string,
): T {
  return located({ file, structure: "header", offset: at }, () => definition.decode(data, at));
}

function decodeExtensions(header: Header, data: Uint8Array, from: number, end: number, file: string): void {
  let at = from;
  while (at + extensionHead.size <= end) {
    const { type, length } = extensionHead.decode(data, at);
    if (type === C.EXTENSION.end) return;
    const start = at + extensionHead.size;
    const lengthAt = at + extensionHead.offsetOf("length");
    if (length > end - start) throw bad(`header extension 0x${type.toString(16)} is too long`, file, lengthAt);
    const content = data.slice(start, start + length);
    switch (type) {
      case C.EXTENSION.backingFormat:
        header.backingFormat = decodeUtf8(content);
        break;
      case C.EXTENSION.dataFileName:
        header.dataFile = decodeUtf8(content);
        break;
      case C.EXTENSION.bitmaps:
        if (length !== bitmapsExtension.size) throw bad("bitmaps extension has the wrong length", file, lengthAt);
        header.bitmaps = { ...decodeLocated(bitmapsExtension, data, start, file), at: start };
        break;
      case C.EXTENSION.encryptionHeader:
        if (length !== encryptionExtension.size) throw bad("encryption extension has the wrong length", file, lengthAt);
        header.encryptionHeader = { ...decodeLocated(encryptionExtension, data, start, file), at: start };
        break;
      default:
        header.otherExtensions.push({ type, data: content });
    }
    at = start + roundUp(length, 8);
  }
}

/** The feature name table this library writes. */
export function featureNameTable(): HeaderExtension {
  const data = new Uint8Array(48 * C.FEATURE_NAMES.length);
  C.FEATURE_NAMES.forEach(([type, bit, name], index) => {
    data[48 * index] = type;
    data[48 * index + 1] = bit;
    data.set(encodeUtf8(name), 48 * index + 2);
  });
  return { type: C.EXTENSION.featureNames, data };
}

/** Name of a feature bit from the image's own table, for messages about bits we do not know. */
export function featureName(header: Header, type: number, bit: number): string | undefined {
  const table = header.otherExtensions.find((extension) => extension.type === C.EXTENSION.featureNames)?.data;
  for (let at = 0; table !== undefined && at + 48 <= table.length; at += 48) {
    if (table[at] !== type || table[at + 1] !== bit) continue;
    const name = table.subarray(at + 2, at + 48);
    const end = name.indexOf(0);
    return decodeUtf8(end < 0 ? name : name.subarray(0, end));
  }
  return undefined;
}

/**
 * Encodes the header as a whole cluster. The feature name table is left out when there is no room for it.
 * @param previous the cluster to be replaced; a backing file name in it stays where it is, or is left alone when
 *   another one takes its place, so that what refers to it stays valid until the first sector is written
 * @throws Qcow2Error "too-large" when extensions and backing file name do not fit the cluster.
 */
export function encodeHeader(header: Header, file: string, previous?: Uint8Array): Uint8Array {
  const clusterSize = 2 ** header.clusterBits;
  const known = base.size + version3.size + additional.size;
  const headerLength = header.version === 2 ? base.size : known + header.unknownFields.length;
  const backing = header.backingFile === undefined ? undefined : encodeUtf8(header.backingFile);
  const mandatory = extensionsOf(header, false);
  const all = extensionsOf(header, true);
  const length = (list: HeaderExtension[]): number =>
    headerLength + list.reduce((sum, { data }) => sum + 8 + roundUp(data.length, 8), 8) + (backing?.length ?? 0);
  const extensions = length(all) <= clusterSize ? all : mandatory;
  if (length(extensions) > clusterSize || (backing?.length ?? 0) > C.MAX_BACKING_NAME) {
    throw new Qcow2Error("too-large", "header extensions and backing file name do not fit the first cluster", {
      file,
      structure: "header",
    });
  }
  const extensionsEnd = length(extensions) - (backing?.length ?? 0);
  const data = previous?.slice() ?? new Uint8Array(clusterSize);
  data.fill(0, 0, extensionsEnd);
  let at = headerLength;
  for (const { type, data: content } of extensions) {
    extensionHead.encode({ type, length: content.length }, data, at);
    data.set(content, at + extensionHead.size);
    at += extensionHead.size + roundUp(content.length, 8);
  }
  // Behind them lies the end marker, which is all zeros.
  if (backing !== undefined) {
    at = placeBacking(backing, extensionsEnd, header.bitmaps === undefined, previous, clusterSize);
    data.set(backing, at);
  }
  base.encode(
    {
      ...header,
      magic: C.QCOW2_MAGIC,
      backingFileOffset: backing === undefined ? 0 : at,
      backingFileSize: backing?.length ?? 0,
    },
    data,
  );
  if (header.version === 3) {
    version3.encode({ ...header, headerLength }, data, base.size);
    additional.encode(
      { compressionType: header.compressionType, padding: new Uint8Array(7) },
      data,
      base.size + version3.size,
    );
    data.set(header.unknownFields, known);
  }
  return data;
}

/** Where the backing file name goes: as far as possible, it neither moves nor covers the name before it. */
function placeBacking(
  name: Uint8Array,
  extensionsEnd: number,
  reserve: boolean,
  previous: Uint8Array | undefined,
  clusterSize: number,
): number {
  // Room for a bitmaps extension that may come.
  let at = extensionsEnd + (reserve ? extensionHead.size + bitmapsExtension.size : 0);
  if (previous !== undefined && isQcow2(previous)) {
    const { backingFileOffset: start, backingFileSize: size } = base.decode(previous, 0);
    const old = start === 0 ? new Uint8Array(0) : previous.subarray(start, start + size);
    const isSame = old.length === name.length && old.every((byte, i) => byte === name[i]);
    if (isSame && start >= extensionsEnd) return start;
    if (at < start + size && start < at + name.length) at = start + size;
  }
  return at + name.length <= clusterSize ? at : extensionsEnd;
}

function extensionsOf(header: Header, withFeatureNames: boolean): HeaderExtension[] {
  const list: HeaderExtension[] = [];
  const { backingFormat, dataFile, encryptionHeader, bitmaps } = header;
  if (backingFormat !== undefined) list.push({ type: C.EXTENSION.backingFormat, data: encodeUtf8(backingFormat) });
  if (dataFile !== undefined) list.push({ type: C.EXTENSION.dataFileName, data: encodeUtf8(dataFile) });
  if (encryptionHeader !== undefined) {
    const data = new Uint8Array(encryptionExtension.size);
    encryptionExtension.encode(encryptionHeader, data);
    list.push({ type: C.EXTENSION.encryptionHeader, data });
  }
  if (bitmaps !== undefined) {
    const data = new Uint8Array(bitmapsExtension.size);
    bitmapsExtension.encode({ ...bitmaps, reserved: 0 }, data);
    list.push({ type: C.EXTENSION.bitmaps, data });
  }
  for (const extension of header.otherExtensions) {
    if (withFeatureNames || extension.type !== C.EXTENSION.featureNames) list.push(extension);
  }
  return list;
}
