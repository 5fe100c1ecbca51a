import { describe, expect, it } from "vitest";
import { decodeUtf8, encodeUtf8 } from "../src/format/binary.js";
import { decodeHeader, encodeHeader } from "../src/format/header.js";
import { refcountCodec } from "../src/format/refcounts.js";
import { createQcow2, MemoryFile, openQcow2, Qcow2Error } from "../src/index.js";
import { random } from "./support.js";

async function image(options: Partial<Parameters<typeof createQcow2>[1]> = {}): Promise<MemoryFile> {
  const file = new MemoryFile("test.qcow2");
  await createQcow2(file, { size: 1024 * 1024, ...options });
  return file;
}

/** Decodes the header, changes it, writes it back. */
function edit(file: MemoryFile, change: (header: ReturnType<typeof decodeHeader>) => void): void {
  const header = decodeHeader(file.bytes().subarray(0, 65536), file.name);
  change(header);
  file.write(encodeHeader(header, file.name), 0);
}

describe("the header", () => {
  it("keeps extensions and fields it does not know when it is rewritten", async () => {
    const file = await image();
    edit(file, (header) => {
      header.otherExtensions.push({ type: 0x12345678, data: new Uint8Array([1, 2, 3, 4, 5]) });
      header.unknownFields = new Uint8Array([9, 8, 7, 6, 5, 4, 3, 2]);
    });
    const opened = await openQcow2(file);
    await opened.createSnapshot({ name: "rewrites the header" });
    await opened.setBackingFile({ name: "somewhere/base.img", format: "raw" });
    await opened.close();
    const header = decodeHeader(file.bytes().subarray(0, 65536), "x");
    expect(header.otherExtensions.at(-1)).toEqual({ type: 0x12345678, data: new Uint8Array([1, 2, 3, 4, 5]) });
    expect(header.unknownFields).toEqual(new Uint8Array([9, 8, 7, 6, 5, 4, 3, 2]));
    expect(header).toMatchObject({ backingFile: "somewhere/base.img", backingFormat: "raw", nbSnapshots: 1 });
  });

  it("keeps names that are not UTF-8 when they are written anew", async () => {
    const file = await image();
    const latin = new Uint8Array([
      0x2f, 0xe9, 0x74, 0xe9, 0xed, 0xa0, 0x80, 0xc3, 0xa9, 0xf4, 0x90, 0xff, 0xef, 0xbb, 0xbf,
    ]);
    edit(file, (header) => {
      header.backingFile = decodeUtf8(latin);
    });
    const opened = await openQcow2(file, { backing: "none" });
    await opened.createSnapshot({ name: decodeUtf8(latin) });
    await opened.createSnapshot({ name: "writes the table anew" });
    await opened.createBitmap("writes the header anew");
    await opened.close();
    const bytes = Buffer.from(file.bytes());
    const at = Number(bytes.readBigUInt64BE(8));
    expect(new Uint8Array(bytes.subarray(at, at + bytes.readUInt32BE(16)))).toEqual(latin);
    const table = Number(bytes.readBigUInt64BE(64));
    const name = table + 40 + bytes.readUInt32BE(table + 36) + bytes.readUInt16BE(table + 12);
    expect(new Uint8Array(bytes.subarray(name, name + bytes.readUInt16BE(table + 14)))).toEqual(latin);
  });

  it("an unknown incompatible feature is refused, by the name the image gives it", async () => {
    const file = await image();
    edit(file, (header) => {
      header.incompatibleFeatures |= 1n << 40n;
      const name = new Uint8Array(48);
      name[1] = 40;
      name.set(new TextEncoder().encode("teleportation"), 2);
      header.otherExtensions[0].data = name;
    });
    await expect(openQcow2(file)).rejects.toMatchObject({ code: "unsupported", message: /teleportation/ });
  });

  it("unknown autoclear bits are cleared by a writer and left by a reader", async () => {
    const file = await image();
    edit(file, (header) => {
      header.autoclearFeatures |= 1n << 33n;
    });
    await (await openQcow2(file, { readOnly: true })).close();
    expect(decodeHeader(file.bytes(), "x").autoclearFeatures).toBe(1n << 33n);
    await (await openQcow2(file)).close();
    expect(decodeHeader(file.bytes(), "x").autoclearFeatures).toBe(0n);
  });

  it("an image marked as corrupt is opened read-only, or to be repaired", async () => {
    const file = await image();
    edit(file, (header) => {
      header.incompatibleFeatures |= 2n;
    });
    await expect(openQcow2(file)).rejects.toMatchObject({ code: "corrupt" });
    await (await openQcow2(file, { readOnly: true })).close();
    const opened = await openQcow2(file, { repair: true });
    await opened.check({ repair: "all" });
    await opened.close();
    await (await openQcow2(file)).close();
  });

  it("damage met by a write marks the image as corrupt", async () => {
    const file = await image({ clusterSize: 4096 });
    const opened = await openQcow2(file);
    await opened.write(new Uint8Array(10), 0);
    await opened.close();
    // The refcount block forgets the L1 table: the next allocation would overwrite it.
    const bytes = file.bytes();
    bytes.fill(0, 2 * 4096, 3 * 4096);
    file.write(bytes, 0);
    const damaged = await openQcow2(file);
    await expect(damaged.write(new Uint8Array(10), 500_000)).rejects.toMatchObject({ code: "corrupt" });
    await expect(damaged.write(new Uint8Array(10), 0)).rejects.toMatchObject({ code: "corrupt" });
    await damaged.close();
    await expect(openQcow2(file)).rejects.toMatchObject({ code: "corrupt" });
  });

  it("errors name the file, the structure and the offset", async () => {
    const file = await image();
    const opened = await openQcow2(file);
    await opened.write(new Uint8Array(65536), 0);
    await opened.close();
    const l1 = decodeHeader(file.bytes(), "x").l1TableOffset;
    const l2 = new DataView(file.bytes().buffer).getUint32(l1 + 4);
    file.write(new Uint8Array([0x80, 0, 0, 0, 0, 0, 0x12, 0]), l2);
    const error = await (await openQcow2(file, { readOnly: true })).read(new Uint8Array(1), 0).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(Qcow2Error);
    expect(error).toMatchObject({ code: "corrupt", file: "test.qcow2", structure: "L2 table", offset: l2 });
  });

  it("options that contradict each other are refused", async () => {
    for (const options of [
      { clusterSize: 1000 },
      { clusterSize: 4 * 1024 * 1024 },
      { refcountBits: 3 },
      { version: 2, refcountBits: 8 },
      { version: 2, compressionType: "zstd" },
      { extendedL2: true, clusterSize: 4096 },
      { preallocation: "full", backing: { name: "x" } },
      { size: -1 },
    ] as const) {
      await expect(image(options), JSON.stringify(options)).rejects.toMatchObject({ code: "invalid-argument" });
    }
  });
});

describe("names", () => {
  it("survive decoding and encoding whatever their bytes are", () => {
    const next = random(5);
    const leads = [0x41, 0x80, 0xa0, 0xbf, 0xc1, 0xc3, 0xe0, 0xe9, 0xed, 0xef, 0xf0, 0xf4, 0xf5, 0xff];
    for (let i = 0; i < 3000; i++) {
      const bytes = Uint8Array.from({ length: next(12) }, () =>
        next(4) === 0 ? next(256) : leads[next(leads.length)],
      );
      expect(encodeUtf8(decodeUtf8(bytes)), Buffer.from(bytes).toString("hex")).toEqual(bytes);
    }
    for (const text of ["", "plain", "été", "\ufeffx", "日本 𝒳"]) {
      expect(encodeUtf8(text)).toEqual(new TextEncoder().encode(text));
      expect(decodeUtf8(new TextEncoder().encode(text))).toBe(text);
    }
  });
});

describe("refcount entries", () => {
  it.each([0, 1, 2, 3, 4, 5, 6])("of order %i hold every value without touching their neighbours", (order) => {
    const codec = refcountCodec(order);
    const block = new Uint8Array(512);
    const count = (512 * 8) / codec.bits;
    const expected = new Array<number>(count).fill(0);
    const next = random(order + 1);
    for (let i = 0; i < 2000; i++) {
      const index = next(count);
      const value = next(10) === 0 ? codec.max : next(Math.min(codec.max, 2 ** 31) + 1);
      codec.set(block, index, value);
      expected[index] = value;
    }
    expect(expected.every((value, index) => codec.get(block, index) === value)).toBe(true);
  });
});
