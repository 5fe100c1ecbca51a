import { LuksVolume } from "../crypto/luks.js";
import type { Disk } from "../disk.js";
import { encodeUtf8, roundUp } from "../format/binary.js";
import { resolveCreateOptions } from "../image/create.js";
import { Qcow2Image } from "../image/image.js";
import type { Qcow2CreateOptions } from "../image/types.js";

export interface Measurement {
  /** Bytes the image file needs for the content the source has now. */
  readonly required: number;
  /** Bytes it can grow to when every cluster is written. */
  readonly fullyAllocated: number;
  /** Bytes the source's bitmaps would add; undefined when the source cannot have any. */
  readonly bitmaps: number | undefined;
}

/** How large a qcow2 image made with `options` from `source` (or empty, of a size) would be. */
export async function measureQcow2(
  source: Disk | { readonly size: number },
  options: Partial<Qcow2CreateOptions> = {},
): Promise<Measurement> {
  const settings = resolveCreateOptions({ ...options, size: source.size });
  const clusterSize = 2 ** settings.clusterBits;
  const size = roundUp(settings.size, clusterSize);
  const encryption = options.encryption;
  const luks = encryption?.format === "luks" ? roundUp(LuksVolume.headerBytes(encryption), clusterSize) : 0;
  const fullyAllocated = fullSize(size, clusterSize, settings.refcountOrder, options.extendedL2 === true) + luks;
  let data = 0;
  if (options.preallocation === "full" || options.preallocation === "falloc") data = size;
  else if ("status" in source) data = await dataBytes(source, clusterSize, options.backing !== undefined);
  return {
    required: fullyAllocated - size + data,
    fullyAllocated,
    bitmaps: source instanceof Qcow2Image && source.info().version === 3 ? bitmapBytes(source, clusterSize) : undefined,
  };
}

/** Bytes of clusters with data in them. */
async function dataBytes(source: Disk, clusterSize: number, ownLayerOnly: boolean): Promise<number> {
  let bytes = 0;
  for (let at = 0; at < source.size; ) {
    const extent = await source.status(at, source.size - at, ownLayerOnly ? { depth: 0 } : undefined);
    let end = at + extent.length;
    if (!extent.zero && extent.data && extent.allocated) {
      end = roundUp(end, clusterSize);
      bytes += (at % clusterSize) + end - at;
    }
    at = end;
  }
  return bytes;
}

function fullSize(size: number, clusterSize: number, refcountOrder: number, extendedL2: boolean): number {
  const l2EntrySize = extendedL2 ? 16 : 8;
  const l2Entries = roundUp(size / clusterSize, clusterSize / l2EntrySize);
  const l1Entries = roundUp((l2Entries * l2EntrySize) / clusterSize, clusterSize / 8);
  const metadata = clusterSize + l2Entries * l2EntrySize + l1Entries * 8;
  return size + metadata + refcountBytes((metadata + size) / clusterSize, clusterSize, refcountOrder);
}

/** Refcount table and blocks for `clusters` and for themselves. */
function refcountBytes(clusters: number, clusterSize: number, refcountOrder: number): number {
  const perBlock = (clusterSize * 8) / 2 ** refcountOrder;
  let blocks = 0;
  let table = 0;
  for (let last = -1; last !== blocks + table; ) {
    last = blocks + table;
    blocks = Math.ceil((clusters + table + blocks) / perBlock);
    table = Math.ceil(blocks / (clusterSize / 8));
  }
  return (blocks + table) * clusterSize;
}

function bitmapBytes(image: Qcow2Image, clusterSize: number): number {
  let directory = 0;
  let bytes = 0;
  for (const { name, granularity, inconsistent } of image.listBitmaps()) {
    if (inconsistent) continue;
    const data = Math.ceil(Math.ceil(image.size / granularity) / 8);
    const clusters = Math.ceil(data / clusterSize);
    bytes += clusters * clusterSize + roundUp(clusters * 8, clusterSize);
    directory += roundUp(24 + encodeUtf8(name).length, 8);
  }
  return bytes + roundUp(directory, clusterSize);
}
