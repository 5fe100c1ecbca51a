import { SECTOR } from "../format/constants.js";
import { encodeHeader, type Header } from "../format/header.js";
import type { HostFile } from "./host.js";

/**
 * Writes what has changed of the header cluster. Nearly all changes lie in the first sector, which the disk writes at
 * once. Where others differ too (a bitmaps extension comes or goes, the backing file is renamed), they are made durable
 * first: they only hold what the old first sector does not refer to.
 */
export async function writeHeaderCluster(host: HostFile, header: Header): Promise<void> {
  const old = new Uint8Array(2 ** header.clusterBits);
  await host.read(old, 0);
  const data = encodeHeader(header, host.name, old);
  let from = SECTOR;
  while (from < data.length && same(old, data, from)) from += SECTOR;
  let to = data.length;
  while (to > from && same(old, data, to - SECTOR)) to -= SECTOR;
  if (to > from) {
    await host.write(data.subarray(from, to), from);
    await host.flush();
  }
  if (!same(old, data, 0)) await host.write(data.subarray(0, SECTOR), 0);
}

/** Whether two clusters have the same sector at `offset`. */
function same(a: Uint8Array, b: Uint8Array, offset: number): boolean {
  for (let i = offset; i < offset + SECTOR; i++) if (a[i] !== b[i]) return false;
  return true;
}
