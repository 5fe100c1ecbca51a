import type { Disk } from "@softmetal/qcow2";

/** Bytes copied at a time. */
const STEP = 1 << 20;

/** Stores in the image itself what whole clusters of the range hold only below it (`-C`). */
export async function copyUp(disk: Disk, cluster: number, offset: number, length: number): Promise<void> {
  const end = Math.min(disk.size, Math.ceil((offset + length) / cluster) * cluster);
  for (let at = offset - (offset % cluster); at < end; ) {
    const extent = await disk.status(at, Math.min(end - at, STEP), { depth: 0 });
    if (!extent.allocated) {
      const data = new Uint8Array(extent.length);
      await disk.read(data, at);
      if (data.every((byte) => byte === 0)) await disk.writeZeroes(at, data.length, { unmap: false });
      else await disk.write(data, at);
    }
    at += extent.length;
  }
}
