import type { Disk, Extent } from "../disk.js";

/** The extents of a range of a disk, neighbours of one kind merged. */
export async function* map(disk: Disk, offset = 0, length = disk.size - offset): AsyncGenerator<Extent> {
  const end = offset + length;
  let current: Extent | undefined;
  for (let at = offset; at < end; ) {
    const next = await disk.status(at, end - at);
    at += next.length;
    if (current !== undefined && continues(current, next)) {
      current = { ...current, length: current.length + next.length };
      continue;
    }
    if (current !== undefined) yield current;
    current = next;
  }
  if (current !== undefined) yield current;
}

function continues(a: Extent, b: Extent): boolean {
  if (a.allocated !== b.allocated || a.data !== b.data || a.zero !== b.zero) return false;
  if (a.compressed !== b.compressed || a.depth !== b.depth || a.file !== b.file) return false;
  if (a.hostOffset === undefined || b.hostOffset === undefined) return a.hostOffset === b.hostOffset;
  return a.hostOffset + a.length === b.hostOffset;
}
