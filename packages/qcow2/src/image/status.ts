import type { Extent, StatusOptions } from "../disk.js";
import type { ImageCore } from "./core.js";
import { Kind, type Segment } from "./mapping.js";

/** How much of the mapping one answer looks at, so that asking about a whole disk stays cheap. */
const MAX_LOOKUP_TABLES = 16;
/** Clusters looked at first. */
const FIRST_WINDOW = 16;

const kindName = (kind: Kind): "data" | "zero" | "compressed" | "unallocated" => {
  if (kind === Kind.Unallocated) return "unallocated";
  if (kind === Kind.Compressed) return "compressed";
  return kind === Kind.DataOwned || kind === Kind.DataShared ? "data" : "zero";
};

/** State of the disk from `offset` on, through the backing chain. */
export async function status(
  core: ImageCore,
  offset: number,
  length: number,
  options: StatusOptions = {},
): Promise<Extent> {
  const { first, total } = await firstRun(core, offset, length);
  const kind = kindName(first.kind);
  const base = { offset, length: total, compressed: false, depth: 0 };
  switch (kind) {
    case "data":
      return {
        ...base,
        allocated: true,
        data: true,
        zero: false,
        // Encrypted bytes are of no use to whoever reads the file directly.
        ...(core.cipher === undefined && !core.encrypted ? { hostOffset: first.host, file: core.data.name } : {}),
      };
    case "zero": {
      const hasHost = first.kind !== Kind.Zero;
      const host = hasHost && !core.encrypted ? { hostOffset: first.host, file: core.data.name } : {};
      return { ...base, allocated: true, data: false, zero: true, ...host };
    }
    case "compressed":
      return { ...base, allocated: true, data: true, zero: false, compressed: true };
    default:
      return unallocated(core, offset, total, options);
  }
}

/**
 * The first segment and how far its state goes on. Looks at few clusters first and at more while nothing changes, so
 * that walking a fragmented disk extent by extent costs no more than the walk.
 */
async function firstRun(core: ImageCore, offset: number, length: number): Promise<{ first: Segment; total: number }> {
  const { mapping, geometry } = core;
  const end = Math.min(offset + length, offset + MAX_LOOKUP_TABLES * geometry.l2Coverage);
  let first: Segment | undefined;
  let last: Segment | undefined;
  let at = offset;
  for (let window = FIRST_WINDOW; at < end; window *= 4) {
    const segments = await mapping.lookup(at, Math.min(end, at + window * geometry.clusterSize));
    for (const segment of segments) {
      first ??= segment;
      if (last !== undefined && !continues(last, segment, kindName(first.kind)))
        return { first, total: segment.offset - offset };
      last = segment;
      at = segment.offset + segment.length;
    }
  }
  return { first: first!, total: at - offset };
}

function continues(before: Segment, next: Segment, kind: string): boolean {
  if (kindName(next.kind) !== kind) return false;
  if (kind === "unallocated" || kind === "compressed") return true;
  const plain = next.kind === Kind.Zero;
  if (plain !== (before.kind === Kind.Zero)) return false;
  return plain || before.host + before.length === next.host;
}

async function unallocated(core: ImageCore, offset: number, length: number, options: StatusOptions): Promise<Extent> {
  const { backing } = core;
  const nothing = { offset, length, allocated: false, data: false, zero: true, compressed: false, depth: 0 };
  const beyond = backing !== undefined && offset >= backing.size;
  if (options.depth === 0) return { ...nothing, zero: core.header.backingFile === undefined || beyond };
  if (backing === undefined) return nothing;
  // Beyond its end the backing file answers all the same: it reads as zeros because it is short.
  if (beyond) return { ...nothing, allocated: true, depth: 1, beyondBacking: true };
  const below = options.depth === undefined ? undefined : { depth: options.depth - 1 };
  const extent = await backing.status(offset, Math.min(length, backing.size - offset), below);
  return { ...extent, depth: extent.depth + 1 };
}
