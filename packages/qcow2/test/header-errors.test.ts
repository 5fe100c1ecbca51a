import { beforeAll, describe, expect, it } from "vitest";
import {
  createLuks,
  createQcow2,
  MemoryFile,
  openLuks,
  openQcow2,
  Qcow2Error,
  type Qcow2ErrorCode,
} from "../src/index.js";
import { nodePlatform } from "../src/node/index.js";

const CLUSTER = 16384;

/** Byte offsets of the fields, from the specification: "Header" and "Additional fields". */
const FIELD = {
  magic: 0,
  version: 4,
  backingFileOffset: 8,
  backingFileSize: 16,
  clusterBits: 20,
  size: 24,
  cryptMethod: 32,
  l1Size: 36,
  l1TableOffset: 40,
  refcountTableOffset: 48,
  refcountTableClusters: 56,
  nbSnapshots: 60,
  snapshotsOffset: 64,
  incompatibleFeatures: 72,
  autoclearFeatures: 88,
  refcountOrder: 96,
  headerLength: 100,
  compressionType: 104,
} as const;

type Damage = (view: DataView, file: MemoryFile) => void;

/** An offset relative to the data of an extension, which lies where it lies. */
interface InExtension {
  readonly type: number;
  readonly from: number;
}

interface Row {
  readonly name: string;
  readonly damage: Damage;
  readonly code: Qcow2ErrorCode;
  readonly at: number | InExtension;
  readonly structure?: string;
  readonly image?: "encrypted" | "external";
}

const u32 =
  (at: number, value: number): Damage =>
  (view) =>
    view.setUint32(at, value);
const u64 =
  (at: number, value: bigint): Damage =>
  (view) =>
    view.setBigUint64(at, value);
const cut =
  (length: number): Damage =>
  (_view, file) =>
    file.truncate(length);

const EXTENSION = { backingFormat: 0xe2792aca, bitmaps: 0x23852875, encryption: 0x0537be77, dataFile: 0x44415441 };

/** Where the head of an extension lies. */
function extensionAt(view: DataView, type: number): number {
  for (let at = view.getUint32(FIELD.headerLength); ; at += 8 + Math.ceil(view.getUint32(at + 4) / 8) * 8) {
    if (view.getUint32(at) === type) return at;
    if (view.getUint32(at) === 0) throw new Error(`no extension 0x${type.toString(16)}`);
  }
}

/** Changes 32 bits of an extension; byte 0 is its type, 4 its length, 8 its first byte of data. */
const extension32 =
  (type: number, at: number, value: number): Damage =>
  (view) =>
    view.setUint32(extensionAt(view, type) + at, value);
const extension64 =
  (type: number, at: number, value: bigint): Damage =>
  (view) =>
    view.setBigUint64(extensionAt(view, type) + at, value);

const tooFar = 1n << 60n;
/** Behind the end of the file, and aligned. */
const behind = 1n << 40n;
const unaligned = 512n;

const tables = (["l1TableOffset", "refcountTableOffset", "snapshotsOffset"] as const).flatMap((field): Row[] => [
  { name: `${field} is not aligned`, damage: u64(FIELD[field], unaligned), code: "corrupt", at: FIELD[field] },
  { name: `${field} is behind the end`, damage: u64(FIELD[field], behind), code: "corrupt", at: FIELD[field] },
  { name: `${field} is beyond 2^53`, damage: u64(FIELD[field], tooFar), code: "too-large", at: FIELD[field] },
  { name: `${field} is the header`, damage: u64(FIELD[field], 0n), code: "corrupt", at: FIELD[field] },
]);

const rows: Row[] = [
  { name: "an empty file", damage: cut(0), code: "not-an-image", at: FIELD.magic },
  { name: "a file of 7 bytes", damage: cut(7), code: "not-an-image", at: FIELD.magic },
  { name: "a file that ends within the first 72 bytes", damage: cut(40), code: "not-an-image", at: 40 },
  { name: "a file that ends within the fields of version 3", damage: cut(90), code: "corrupt", at: 90 },
  { name: "a file that ends within the header", damage: cut(106), code: "corrupt", at: FIELD.headerLength },
  { name: "bad magic", damage: u32(FIELD.magic, 0x514649fa), code: "not-an-image", at: FIELD.magic },
  { name: "version 1", damage: u32(FIELD.version, 1), code: "not-an-image", at: FIELD.magic },
  { name: "version 4", damage: u32(FIELD.version, 4), code: "unsupported", at: FIELD.version },
  {
    name: "a backing file name in the header",
    damage: u64(FIELD.backingFileOffset, 20n),
    code: "corrupt",
    at: FIELD.backingFileOffset,
  },
  {
    name: "a backing file name outside of the first cluster",
    damage: u64(FIELD.backingFileOffset, BigInt(CLUSTER - 1)),
    code: "corrupt",
    at: FIELD.backingFileOffset,
  },
  {
    name: "a backing file name beyond 2^53",
    damage: u64(FIELD.backingFileOffset, tooFar),
    code: "too-large",
    at: FIELD.backingFileOffset,
  },
  {
    name: "a backing file name that is too long",
    damage: u32(FIELD.backingFileSize, 1024),
    code: "corrupt",
    at: FIELD.backingFileSize,
  },
  ...[8, 22, 0xffff_ffff].map(
    (bits): Row => ({
      name: `clusters of 2^${bits}`,
      damage: u32(FIELD.clusterBits, bits),
      code: "unsupported",
      at: FIELD.clusterBits,
    }),
  ),
  {
    name: "extended L2 entries with small clusters",
    damage: (view) => {
      view.setUint32(FIELD.clusterBits, 13);
      view.setBigUint64(FIELD.incompatibleFeatures, 16n);
    },
    code: "corrupt",
    at: FIELD.clusterBits,
  },
  { name: "a size beyond 2^53", damage: u64(FIELD.size, tooFar), code: "too-large", at: FIELD.size },
  {
    name: "a size that the L1 table does not reach",
    damage: u64(FIELD.size, 1n << 50n),
    code: "corrupt",
    at: FIELD.l1Size,
  },
  {
    name: "an unknown encryption method",
    damage: u32(FIELD.cryptMethod, 3),
    code: "unsupported",
    at: FIELD.cryptMethod,
  },
  { name: "LUKS without its header", damage: u32(FIELD.cryptMethod, 2), code: "corrupt", at: FIELD.cryptMethod },
  { name: "an L1 table that is too large", damage: u32(FIELD.l1Size, 2 ** 23), code: "too-large", at: FIELD.l1Size },
  { name: "an L1 table that is too small", damage: u32(FIELD.l1Size, 0), code: "corrupt", at: FIELD.l1Size },
  {
    name: "an L1 table longer than the file",
    damage: u32(FIELD.l1Size, 2 ** 22),
    code: "corrupt",
    at: FIELD.l1TableOffset,
  },
  ...tables,
  {
    name: "no refcount table",
    damage: u32(FIELD.refcountTableClusters, 0),
    code: "corrupt",
    at: FIELD.refcountTableClusters,
  },
  {
    name: "a refcount table that is too large",
    damage: u32(FIELD.refcountTableClusters, 1000),
    code: "too-large",
    at: FIELD.refcountTableClusters,
  },
  { name: "too many snapshots", damage: u32(FIELD.nbSnapshots, 65537), code: "too-large", at: FIELD.nbSnapshots },
  {
    name: "an unknown incompatible feature",
    damage: u64(FIELD.incompatibleFeatures, 1n << 63n),
    code: "unsupported",
    at: FIELD.incompatibleFeatures,
  },
  {
    name: "the corrupt bit",
    damage: u64(FIELD.incompatibleFeatures, 2n),
    code: "corrupt",
    at: FIELD.incompatibleFeatures,
  },
  {
    name: "a compression type without its feature",
    damage: (view) => view.setUint8(FIELD.compressionType, 1),
    code: "corrupt",
    at: FIELD.compressionType,
  },
  {
    name: "the feature of a compression type without one",
    damage: u64(FIELD.incompatibleFeatures, 8n),
    code: "corrupt",
    at: FIELD.compressionType,
  },
  {
    name: "an unknown compression type",
    damage: (view) => {
      view.setUint8(FIELD.compressionType, 2);
      view.setBigUint64(FIELD.incompatibleFeatures, 8n);
    },
    code: "unsupported",
    at: FIELD.compressionType,
  },
  {
    name: "an impossible refcount width",
    damage: u32(FIELD.refcountOrder, 7),
    code: "corrupt",
    at: FIELD.refcountOrder,
  },
  {
    name: "a header that is too short",
    damage: u32(FIELD.headerLength, 103),
    code: "corrupt",
    at: FIELD.headerLength,
  },
  {
    name: "a header longer than a cluster",
    damage: u32(FIELD.headerLength, CLUSTER + 8),
    code: "corrupt",
    at: FIELD.headerLength,
  },
  {
    name: "a backing file of a raw data file",
    damage: (view) => view.setBigUint64(FIELD.autoclearFeatures, 2n),
    code: "corrupt",
    at: FIELD.backingFileOffset,
    image: "external",
  },
  {
    name: "a data file without a name",
    damage: extension32(EXTENSION.dataFile, 0, 0x1234),
    code: "corrupt",
    at: FIELD.incompatibleFeatures,
    image: "external",
  },
  {
    name: "a data file's name that is too long",
    damage: extension32(EXTENSION.dataFile, 4, CLUSTER),
    code: "corrupt",
    at: { type: EXTENSION.dataFile, from: 4 },
    image: "external",
  },
  {
    name: "a backing format that is too long",
    damage: extension32(EXTENSION.backingFormat, 4, CLUSTER),
    code: "corrupt",
    at: { type: EXTENSION.backingFormat, from: 4 },
  },
  {
    name: "an unknown extension that is too long",
    damage: (view) => {
      const at = extensionAt(view, EXTENSION.backingFormat);
      view.setUint32(at, 0x1234);
      view.setUint32(at + 4, 0xffff_ffff);
    },
    code: "corrupt",
    at: { type: 0x1234, from: 4 },
  },
  ...[EXTENSION.bitmaps, EXTENSION.encryption].map(
    (type): Row => ({
      name: `extension 0x${type.toString(16)} of the wrong length`,
      damage: extension32(type, 4, 8),
      code: "corrupt",
      at: { type, from: 4 },
      image: type === EXTENSION.encryption ? "encrypted" : undefined,
    }),
  ),
  ...(
    [
      ["nbBitmaps", 0],
      ["nbBitmaps", 65536],
    ] as const
  ).map(
    ([field, count]): Row => ({
      name: `${field} ${count}`,
      damage: extension32(EXTENSION.bitmaps, 8, count),
      code: "too-large",
      at: { type: EXTENSION.bitmaps, from: 8 },
      structure: "bitmaps extension",
    }),
  ),
  {
    name: "a bitmap directory that is too large",
    damage: extension64(EXTENSION.bitmaps, 16, 1n << 30n),
    code: "too-large",
    at: { type: EXTENSION.bitmaps, from: 16 },
    structure: "bitmaps extension",
  },
  ...[unaligned, behind].map(
    (offset): Row => ({
      name: `a bitmap directory at ${offset}`,
      damage: extension64(EXTENSION.bitmaps, 24, offset),
      code: "corrupt",
      at: { type: EXTENSION.bitmaps, from: 24 },
      structure: "bitmaps extension",
    }),
  ),
  {
    name: "a bitmap directory beyond 2^53",
    damage: extension64(EXTENSION.bitmaps, 24, tooFar),
    code: "too-large",
    at: { type: EXTENSION.bitmaps, from: 24 },
  },
  ...[unaligned, 0n].map(
    (offset): Row => ({
      name: `an encryption header at ${offset}`,
      damage: extension64(EXTENSION.encryption, 8, offset),
      code: "corrupt",
      at: { type: EXTENSION.encryption, from: 8 },
      image: "encrypted",
    }),
  ),
  {
    name: "an encryption header beyond 2^53",
    damage: extension64(EXTENSION.encryption, 8, tooFar),
    code: "too-large",
    at: { type: EXTENSION.encryption, from: 8 },
    image: "encrypted",
  },
  {
    name: "an encryption header longer than the file",
    damage: extension64(EXTENSION.encryption, 16, behind),
    code: "corrupt",
    at: { type: EXTENSION.encryption, from: 16 },
    image: "encrypted",
  },
];

/** Everything is there that may be damaged. */
async function sample(kind: Row["image"]): Promise<Uint8Array> {
  const file = new MemoryFile("sample");
  await createQcow2(file, {
    size: 1024 * 1024,
    clusterSize: CLUSTER,
    platform: nodePlatform,
    backing: { name: "base.img", format: "raw" },
    encryption: kind === "encrypted" ? { format: "luks", passphrase: "x", iterTime: 1 } : undefined,
    dataFile: kind === "external" ? { file: new MemoryFile(), name: "data" } : undefined,
  });
  const image = await openQcow2(file, { backing: "none", metadataOnly: true, dataFile: new MemoryFile() });
  await image.createBitmap("bitmap");
  if (kind === undefined) await image.createSnapshot({ name: "snapshot" });
  await image.close();
  return file.bytes();
}

describe("errors of opening name the file, the structure and the offset of the field", () => {
  const samples = new Map<Row["image"], Uint8Array>();
  beforeAll(async () => {
    for (const kind of [undefined, "encrypted", "external"] as const) samples.set(kind, await sample(kind));
  });

  it.each(rows.map((row) => [row.name, row] as const))("%s", async (_name, { damage, code, at, structure, image }) => {
    const bytes = samples.get(image)!.slice();
    const view = new DataView(bytes.buffer);
    const file = new MemoryFile("disk.qcow2");
    file.write(bytes, 0);
    damage(view, file);
    const offset = typeof at === "number" ? at : extensionAt(view, at.type) + at.from;
    if (file.size() === bytes.length) file.write(bytes, 0);
    const open = openQcow2(file, {
      backing: "none",
      metadataOnly: true,
      dataFile: () => new MemoryFile(),
      platform: nodePlatform,
    });
    const error = await open.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(Qcow2Error);
    expect(error).toMatchObject({ code, file: "disk.qcow2", structure: structure ?? "header", offset });
    expect((error as Error).message).toContain(`at offset 0x${offset.toString(16)} in disk.qcow2`);
  });

  it("without damage all of them open", async () => {
    for (const bytes of samples.values()) {
      const options = { backing: "none", metadataOnly: true, dataFile: new MemoryFile() } as const;
      await (await openQcow2(new MemoryFile("disk.qcow2", bytes), options)).close();
    }
  });
});

/** Byte offsets of the fields of a LUKS header, from the LUKS On-Disk Format Specification 1.2. */
const LUKS = {
  magic: 0,
  version: 6,
  cipherName: 8,
  cipherMode: 40,
  hashSpec: 72,
  payloadOffset: 104,
  keyBytes: 108,
  mkDigestIterations: 164,
  slots: 208,
} as const;
/** The same of a key slot. */
const SLOT = { bytes: 48, active: 0, iterations: 4, keyMaterialOffset: 40, stripes: 44 } as const;
const slotField = (index: number, field: "active" | "iterations" | "keyMaterialOffset" | "stripes"): number =>
  LUKS.slots + index * SLOT.bytes + SLOT[field];

const text = (at: number, value: string) => (header: Uint8Array) => {
  header.fill(0, at, at + 32);
  header.set(new TextEncoder().encode(value), at);
};
const number = (at: number, value: number) => (header: Uint8Array) =>
  new DataView(header.buffer, header.byteOffset).setUint32(at, value);

const luksRows: [string, (header: Uint8Array) => void, Qcow2ErrorCode, number][] = [
  ["bad magic", number(LUKS.magic, 0x4c554b54), "not-an-image", LUKS.magic],
  ["version 2", number(4, 0xbabe0002), "unsupported", LUKS.version],
  ["an unknown cipher", text(LUKS.cipherName, "rot13"), "unsupported", LUKS.cipherName],
  ["an unknown mode", text(LUKS.cipherMode, "ecb-plain"), "unsupported", LUKS.cipherMode],
  ["an unknown hash of IVs", text(LUKS.cipherMode, "xts-essiv:md4"), "unsupported", LUKS.cipherMode],
  ["an unknown hash", text(LUKS.hashSpec, "md4"), "unsupported", LUKS.hashSpec],
  ["an impossible key size", number(LUKS.keyBytes, 65), "corrupt", LUKS.keyBytes],
  ["a key size that AES does not have", number(LUKS.keyBytes, 40), "corrupt", LUKS.keyBytes],
  ["no iterations of the digest", number(LUKS.mkDigestIterations, 0), "too-large", LUKS.mkDigestIterations],
  ["a slot neither on nor off", number(slotField(3, "active"), 1), "corrupt", slotField(3, "active")],
  ["too many iterations", number(slotField(0, "iterations"), 2 ** 31), "too-large", slotField(0, "iterations")],
  ["too many stripes", number(slotField(2, "stripes"), 2 ** 31), "corrupt", slotField(2, "stripes")],
  ["a key over the header", number(slotField(0, "keyMaterialOffset"), 1), "corrupt", slotField(0, "keyMaterialOffset")],
  [
    "a key over the payload",
    number(slotField(7, "keyMaterialOffset"), 2 ** 30),
    "corrupt",
    slotField(7, "keyMaterialOffset"),
  ],
  ["a payload behind the end of the file", number(LUKS.payloadOffset, 2 ** 30), "corrupt", LUKS.payloadOffset],
];

describe("errors of a LUKS header name the file, the structure and the offset of the field", () => {
  const luks = { passphrase: "x", iterTime: 1 } as const;

  it.each(luksRows)("%s", async (name, damage, code, at) => {
    const plain = new MemoryFile("disk.luks");
    await createLuks(plain, { size: 4096, platform: nodePlatform, ...luks });
    const header = plain.bytes().slice(0, 592);
    damage(header);
    plain.write(header, 0);
    const location = (start: number) => ({ code, structure: "LUKS header", offset: start + at });
    await expect(openLuks(plain, { passphrase: "x", platform: nodePlatform })).rejects.toMatchObject({
      ...location(0),
      file: "disk.luks",
    });
    // In a qcow2 image nothing says where the payload starts.
    if (name.startsWith("a payload")) return;
    const image = new MemoryFile("disk.qcow2");
    await createQcow2(image, { size: 4096, platform: nodePlatform, encryption: { format: "luks", ...luks } });
    const view = new DataView(image.bytes().buffer);
    const start = Number(view.getBigUint64(extensionAt(view, EXTENSION.encryption) + 8));
    const inside = image.bytes().slice(start, start + 592);
    damage(inside);
    image.write(inside, start);
    await expect(openQcow2(image, { passphrase: "x", platform: nodePlatform })).rejects.toMatchObject({
      ...location(start),
      file: "disk.qcow2",
    });
  });
});
