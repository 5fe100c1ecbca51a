import { describe, expect, it } from "vitest";
import {
  createQcow2,
  openQcow2,
  type Qcow2CreateOptions,
  type Qcow2Image,
  type RandomAccessFile,
} from "../src/index.js";
import { LimitedFile, pattern, random } from "./support.js";

const KB = 1024;
const MB = 1024 * KB;

/** A block device: its size is its own, and it holds what was there before. */
function device(size: number, punches: boolean): RandomAccessFile {
  const file: RandomAccessFile = new LimitedFile(size, new Uint8Array(size).fill(0xee));
  file.truncate = () => {};
  file.allocate = undefined;
  if (!punches) file.punchHole = undefined;
  return file;
}

const variants: [string, Partial<Qcow2CreateOptions>][] = [
  ["512-byte clusters", { clusterSize: 512 }],
  ["64 KiB clusters", {}],
  ["version 2", { version: 2, clusterSize: 4096 }],
  ["extended L2", { clusterSize: 16 * KB, extendedL2: true }],
  ["preallocated metadata", { clusterSize: 4096, preallocation: "metadata" }],
  ["preallocated", { clusterSize: 4096, preallocation: "falloc" }],
  ["filled", { clusterSize: 4096, preallocation: "full" }],
  ["LUKS", { clusterSize: 4096, encryption: { format: "luks", passphrase: "secret", iterTime: 1 } }],
];

describe.each([true, false])("an image on a device (that can%s punch holes)", (punches) => {
  it.each(variants)("%s", async (_name, options) => {
    const file = device(8 * MB, punches);
    let size = MB + 512;
    await createQcow2(file, { size, ...options });
    const open = (): Promise<Qcow2Image> => openQcow2(file, { passphrase: "secret" });
    let image = await open();
    const model = new Uint8Array(4 * MB);
    const next = random(3);
    const compare = async (): Promise<void> => {
      const content = new Uint8Array(size);
      await image.read(content, 0);
      expect(Buffer.compare(content, model.subarray(0, size))).toBe(0);
    };
    await compare();
    for (let step = 0; step < 60; step++) {
      const offset = next(size / 512) * 512;
      const length = Math.min(size - offset, (1 + next(100)) * 512);
      switch (next(8)) {
        case 0:
          await image.writeZeroes(offset, length);
          model.fill(0, offset, offset + length);
          break;
        case 1:
          size = (1 + next(4000)) * 512;
          await image.resize(size, { shrink: true });
          model.fill(0, size);
          break;
        case 2:
          await image.close();
          image = await open();
          break;
        default: {
          const data = pattern(length, step);
          await image.write(data, offset);
          model.set(data, offset);
        }
      }
      if (step % 10 === 9) await compare();
    }
    await compare();
    expect(await image.check()).toMatchObject({ corruptions: 0, leaks: 0 });
    await image.close();
  });
});
