import type { Disk } from "@softmetal/qcow2";

/** Bytes that QEMU copies at a time. */
const REQUEST = 2 << 20;

export interface CopyRequests {
  readonly source: Disk;
  /** Cluster size of a compressed target, which is written cluster by cluster. */
  readonly cluster: number | undefined;
  /** How many layers below the source are copied. */
  readonly depth: number | undefined;
}

/**
 * The byte that QEMU's messages name when reading `length` bytes at `offset` (or writing there) fails: the start of
 * the request, of which every run of data in the source has one for each 2 MiB. What was read at once here may have
 * been several requests there; the first one that fails now is it.
 */
export async function requestStart(copy: CopyRequests, offset: number, length: number): Promise<number> {
  try {
    let start = 0;
    for await (const request of requests(copy, offset)) {
      if (request.start >= offset + length && request.start > offset) break;
      start = request.start;
      const from = Math.max(start, offset);
      const count = Math.min(request.end, offset + length) - from;
      if (count > 0 && !(await readable(copy.source, from, count))) return start;
      if (length === 0) return start;
    }
    return start;
  } catch {
    return offset;
  }
}

/** The requests from the one that covers `offset` on. */
async function* requests(
  { source, cluster, depth }: CopyRequests,
  offset: number,
): AsyncGenerator<{ start: number; end: number }> {
  const step = cluster ?? REQUEST;
  for (let at = 0; at < source.size; ) {
    const length =
      cluster ?? (await source.status(at, source.size - at, depth === undefined ? undefined : { depth })).length;
    for (let start = at; start < at + length; start += step) {
      const end = Math.min(at + length, start + step);
      if (end > offset) yield { start, end };
    }
    at += length;
  }
}

async function readable(source: Disk, offset: number, length: number): Promise<boolean> {
  try {
    await source.read(new Uint8Array(length), offset);
    return true;
  } catch {
    return false;
  }
}
