import { roundUp } from "../format/binary.js";
import { COPIED_HIGH, highOf, lowOf } from "../format/entries.js";
import { fillZeros } from "../raw/raw-disk.js";
import type { ImageCore } from "./core.js";
import type { Preallocation } from "./types.js";

/** Gives host clusters to all guest clusters of [from, to) that have none. The caller holds the exclusive lock. */
export async function preallocate(core: ImageCore, from: number, to: number, mode: Preallocation): Promise<void> {
  if (mode === "off" || to <= from) return;
  const { clusterSize, l2Coverage, l2EntrySize, extendedL2 } = core.geometry;
  const end = roundUp(to, clusterSize);
  for (let at = from - (from % clusterSize); at < end; ) {
    const l1Index = Math.floor(at / l2Coverage);
    const stop = Math.min(end, (l1Index + 1) * l2Coverage);
    if (core.needsFlush()) await core.flush();
    await core.mapping.prepareTable(l1Index);
    const [segment] = await core.mapping.lookup(at, stop);
    if (segment.kind !== 0) {
      at += roundUp(segment.length, clusterSize);
      continue;
    }
    const wanted = roundUp(segment.length, clusterSize) / clusterSize;
    const run = core.hasDataFile
      ? { offset: at, count: wanted }
      : await core.metadata.run(() => core.refcounts.allocate(wanted));
    await store(core, run.offset, run.count * clusterSize, mode);
    const start = at;
    await core.mapping.withTable(l1Index, (table) => {
      const first = Math.floor((start % l2Coverage) / clusterSize);
      for (let i = 0; i < run.count; i++) {
        const position = (first + i) * l2EntrySize;
        const host = run.offset + i * clusterSize;
        table.view.setUint32(position, (highOf(host) | COPIED_HIGH) >>> 0);
        table.view.setUint32(position + 4, lowOf(host));
        // With subclusters nothing is allocated yet: the bits stay clear, and the backing file shines through.
        if (extendedL2) table.view.setBigUint64(position + 8, 0n);
      }
      core.mapping.cache.markDirty(table, first * l2EntrySize, (first + run.count) * l2EntrySize);
    });
    at += run.count * clusterSize;
  }
}

async function store(core: ImageCore, offset: number, length: number, mode: Preallocation): Promise<void> {
  const { data } = core;
  if (mode === "falloc" && data.file.allocate !== undefined) {
    await data.file.allocate(offset, length);
    data.end = Math.max(data.end, offset + length);
  } else if (mode === "metadata") {
    await data.extend(offset + length);
  } else {
    await fillZeros({ write: (bytes, at) => data.write(bytes, at) }, offset, offset + length);
  }
}
