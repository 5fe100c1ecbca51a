import type { Extent } from "@softmetal/qcow2";
import type { OpenImage } from "./open.js";

/**
 * Whether the image has noticeably more clusters in use than the file below stores, as after `preallocation=metadata`: only
 * then the file is asked about every cluster. Count and limit are QEMU's: a ninth more, and at least two clusters.
 */
export async function isSparseBelow({ qcow2, file }: OpenImage): Promise<boolean> {
  const allocated = await file.allocatedSize?.();
  if (qcow2 === undefined || allocated === undefined || file.extent === undefined) return false;
  const real = Math.floor(allocated / qcow2.clusterSize);
  const limit = Math.max(Math.floor((real * 10) / 9), real + 2);
  return (await qcow2.countUsedClusters(limit)) >= limit;
}

/** An extent of the image, cut where the file below changes between stored bytes and holes. */
export async function* holesBelow(image: OpenImage, extent: Extent): AsyncGenerator<Extent> {
  const { file } = image;
  const { offset, length, hostOffset } = extent;
  if (!extent.data || extent.depth !== 0 || hostOffset === undefined || extent.file !== file.name) {
    yield extent;
    return;
  }
  for (let done = 0; done < length; ) {
    const below = await file.extent!(hostOffset + done, length - done);
    yield { ...extent, offset: offset + done, hostOffset: hostOffset + done, length: below.length, zero: !below.data };
    done += below.length;
  }
}
