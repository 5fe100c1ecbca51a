import { createQcow2, MemoryFile, openQcow2, type Qcow2CreateOptions } from "../src/index.js";
import { nodePlatform } from "../src/node/index.js";
import { pattern } from "./support.js";

const KB = 1024;
export type Variant = Partial<Omit<Qcow2CreateOptions, "dataFile">> & { dataFile?: "plain" | "raw" };

export const PASSPHRASE = "x";

export const variants: Variant[] = [
  { clusterSize: 512 },
  { clusterSize: 4096 },
  { clusterSize: 1024, version: 2 },
  { clusterSize: 16 * KB, extendedL2: true },
  { clusterSize: 4096, compressionType: "zstd" },
  { clusterSize: 1024, refcountBits: 1 },
  { clusterSize: 2048, refcountBits: 64, lazyRefcounts: true },
  { clusterSize: 4096, encryption: { format: "luks", passphrase: PASSPHRASE, iterTime: 1 } },
  { clusterSize: 512, encryption: { format: "aes", passphrase: PASSPHRASE } },
  { clusterSize: 4096, dataFile: "plain" },
  { clusterSize: 16 * KB, extendedL2: true, dataFile: "raw" },
];

/** An image as it was made, and its data file. */
export interface Seed {
  readonly image: Uint8Array;
  readonly data: Uint8Array;
  readonly variant: Variant;
}

/** A small image that has everything its options allow. */
export async function seedImage(variant: Variant): Promise<Seed> {
  const { dataFile, ...options } = variant;
  const file = new MemoryFile("seed");
  const data = new MemoryFile("data");
  await createQcow2(file, {
    size: 300 * KB,
    platform: nodePlatform,
    ...options,
    dataFile: dataFile === undefined ? undefined : { file: data, name: "data", raw: dataFile === "raw" },
  });
  const image = await openQcow2(file, { passphrase: PASSPHRASE, platform: nodePlatform, dataFile: data });
  const { clusterSize } = image;
  const snapshots = options.refcountBits !== 1 && dataFile === undefined;
  await image.write(pattern(40 * KB, 1), 5000);
  if (snapshots) await image.createSnapshot({ name: "one" });
  await image.write(pattern(10 * KB, 2), 20 * KB);
  await image.writeZeroes(64 * KB, 32 * KB);
  if (options.encryption === undefined && dataFile === undefined) {
    for (let at = 128 * KB; at < 160 * KB; at += clusterSize) await image.writeCompressed(pattern(clusterSize, at), at);
  }
  if (options.version !== 2) {
    await image.createBitmap("b", { granularity: 512 });
    await image.createBitmap("off", { granularity: 1024, enabled: false });
    await image.write(pattern(1000, 3), 200 * KB);
  }
  if (snapshots) {
    await image.writeVmState(pattern(3000, 4), 0);
    await image.createSnapshot({ name: "two", vmStateSize: 3000 });
  }
  await image.close();
  return { image: file.bytes(), data: data.bytes(), variant };
}

const INTERESTING = [0, 1, 0x1ff, 0x200, 0x7fff, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffffe00, 0xffffffff];

/** A few changes of the kind that breaks images. `next` gives whole numbers below its argument. */
export function mutate(seed: Uint8Array, next: (limit: number) => number): Uint8Array {
  let data = seed.slice();
  const view = new DataView(data.buffer);
  for (let count = 1 + next(4); count > 0; count--) {
    // Metadata comes first in these files: half of the mutations go there, and many into the header.
    const limit = [data.length, Math.min(data.length, 32 * KB), 120, 600][next(4)];
    const at = next(limit - 8);
    switch (next(7)) {
      case 0:
        data[at] ^= 1 << next(8);
        break;
      case 1:
        data[at] = next(256);
        break;
      case 2:
        view.setUint32(at & ~3, INTERESTING[next(INTERESTING.length)]);
        break;
      case 3:
        view.setUint32(at & ~3, view.getUint32(at & ~3) + (next(2) === 0 ? 1 : -1) * 2 ** next(20));
        break;
      case 4:
        data.copyWithin(at & ~7, next(data.length - 64) & ~7, (next(data.length - 64) & ~7) + 64);
        break;
      case 5:
        view.setBigUint64(at & ~7, BigInt(next(2 ** 20)) << BigInt(next(56)));
        break;
      default:
        data.fill(next(2) * 255, at, at + next(600));
    }
  }
  if (next(10) === 0) data = data.slice(0, next(data.length));
  return data;
}
