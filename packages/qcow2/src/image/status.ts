import type { Extent, StatusOptions } from "../disk.js";
import type { ImageCore } from "./core.js";
import { Kind, type Segment } from "./mapping.js";

/** How much of the mapping one answer looks at, so that asking about a whole disk stays cheap. */
const MAX_LOOKUP_TABLES = 16;

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
  const { mapping, geometry } = core;
  const end = Math.min(offset + length, offset + MAX_LOOKUP_TABLES * geometry.l2Coverage);
  const segments = await mapping.lookup(offset, end);
  const first = segments[0];
  const kind = kindName(first.kind);
  let total = first.length;
  for (let i = 1; i < segments.length && continues(segments[i - 1], segments[i], kind); i++)
    total += segments[i].length;
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
  if (options.depth === 0) return { ...nothing, zero: core.header.backingFile === undefined };
  if (backing === undefined) return nothing;
  // Beyond its end the backing file answers all the same: it reads as zeros because it is short.
  if (offset >= backing.size) return { ...nothing, allocated: true, depth: 1 };
  const below = options.depth === undefined ? undefined : { depth: options.depth - 1 };
  const extent = await backing.status(offset, Math.min(length, backing.size - offset), below);
  return { ...extent, depth: extent.depth + 1 };
}
