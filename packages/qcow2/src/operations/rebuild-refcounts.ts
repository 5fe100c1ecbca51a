import { MAX_REFCOUNT_TABLE_BYTES } from "../format/constants.js";
import { refcountCodec } from "../format/refcounts.js";
import type { ImageCore } from "../image/core.js";
import { encodeTable } from "../image/refcounts.js";
import type { ClusterCounts } from "./cluster-counts.js";

/** Places that are tried for the new structures before the image is given up. */
const MAX_PLACES = 64;

/**
 * Writes a new refcount table and blocks behind the end of the file and makes the header point to them.
 * @param counts references to everything except the old refcount structures
 * @throws Qcow2Error "corrupt" when damaged tables leave no room, "conflict" when a count does not fit the width
 */
export async function rebuildRefcounts(core: ImageCore, counts: ClusterCounts, order: number): Promise<void> {
  const { host, geometry, header } = core;
  const { clusterSize } = geometry;
  const codec = refcountCodec(order);
  const perBlock = (clusterSize * 8) / codec.bits;
  const used = new Set<number>();
  for (const cluster of counts.used()) {
    used.add(Math.floor(cluster / perBlock));
    if (counts.get(cluster) > codec.max) {
      core.fail(
        "conflict",
        `refcount ${counts.get(cluster)} does not fit ${codec.bits} bits`,
        "refcount block",
        cluster * clusterSize,
      );
    }
  }
  let base = Math.max(Math.ceil(host.end / clusterSize), counts.end);
  let { indexes, tableClusters } = layOut(used, base, perBlock, clusterSize);
  const length = (): number => (tableClusters + indexes.size) * clusterSize;
  // Damage may let tables lie behind the end of the file.
  for (let tries = 0; core.overlap(base * clusterSize, length(), "refcount block") !== undefined; tries++) {
    if (tries === MAX_PLACES) core.checkOverlap(base * clusterSize, length(), "refcount block");
    base += length() / clusterSize;
    ({ indexes, tableClusters } = layOut(used, base, perBlock, clusterSize));
  }
  if (tableClusters * clusterSize > MAX_REFCOUNT_TABLE_BYTES) {
    core.fail("too-large", "the refcount table would be too large", "refcount table", base * clusterSize);
  }
  const tableOffset = base * clusterSize;
  const table = new Float64Array((tableClusters * clusterSize) / 8);
  const own = base + tableClusters + indexes.size;
  let at = base + tableClusters;
  for (const index of [...indexes].sort((a, b) => a - b)) {
    const block = new Uint8Array(clusterSize);
    for (let i = 0; i < perBlock; i++) {
      const cluster = index * perBlock + i;
      const count = cluster >= base && cluster < own ? 1 : counts.get(cluster);
      if (count > 0) codec.set(block, i, count);
    }
    table[index] = at * clusterSize;
    await host.write(block, at * clusterSize);
    at++;
  }
  await host.write(encodeTable(table), tableOffset);
  await host.flush();
  header.refcountOrder = order;
  header.refcountTableOffset = tableOffset;
  header.refcountTableClusters = tableClusters;
  await core.writeHeader();
  await host.flush();
  core.refcounts.replace(tableOffset, table);
}

/**
 * Which refcount blocks are needed, and how many clusters the table takes, when both are put at `base`: blocks for the
 * new structures themselves may need further blocks; this settles after a few rounds.
 */
function layOut(
  used: ReadonlySet<number>,
  base: number,
  perBlock: number,
  clusterSize: number,
): { indexes: Set<number>; tableClusters: number } {
  const indexes = new Set(used);
  let tableClusters = 1;
  for (;;) {
    const end = base + indexes.size + tableClusters;
    const before = indexes.size;
    for (let index = Math.floor(base / perBlock); index <= Math.floor((end - 1) / perBlock); index++) {
      indexes.add(index);
    }
    const needed = Math.ceil(((lastOf(indexes) + 1) * 8) / clusterSize);
    if (indexes.size === before && needed <= tableClusters) return { indexes, tableClusters };
    tableClusters = Math.max(tableClusters, needed);
  }
}

function lastOf(indexes: Set<number>): number {
  let last = 0;
  for (const index of indexes) last = Math.max(last, index);
  return last;
}
