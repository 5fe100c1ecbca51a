import { Qcow2Error } from "../errors.js";
import type { RandomAccessFile } from "../file.js";
import * as C from "../format/constants.js";
import { decodeHeader, featureName, type Header, headerClusterSize, headerOffset } from "../format/header.js";
import { validateHeader } from "./geometry.js";
import { HostFile } from "./host.js";

/** Reads and decodes the header of an image without looking at anything else. */
export async function readHeader(file: RandomAccessFile): Promise<Header> {
  const start = new Uint8Array(512);
  const got = await file.read(start, 0);
  const clusterSize = headerClusterSize(start.subarray(0, got), file.name);
  const cluster = new Uint8Array(clusterSize);
  return decodeHeader(cluster.subarray(0, await file.read(cluster, 0)), file.name);
}

/** The header of an image that can be opened, with the file it was read from. */
export async function openHeader(
  file: RandomAccessFile,
  options: { readonly flushes: boolean; readonly repair?: boolean },
): Promise<{ header: Header; host: HostFile }> {
  const header = await readHeader(file);
  const host = await HostFile.open(file, options.flushes);
  refuseUnknownFeatures(header, file.name);
  validateHeader(header, host.end, file.name, options.repair);
  return { header, host };
}

function refuseUnknownFeatures(header: Header, file: string): void {
  const unknown = header.incompatibleFeatures & ~C.INCOMPATIBLE_KNOWN;
  if (unknown === 0n) return;
  const names: string[] = [];
  for (let bit = 0; bit < 64; bit++) {
    if ((unknown >> BigInt(bit)) & 1n) names.push(featureName(header, 0, bit) ?? `incompatible feature ${bit}`);
  }
  throw new Qcow2Error("unsupported", `image needs features that are not known here: ${names.join(", ")}`, {
    file,
    structure: "header",
    offset: headerOffset("incompatibleFeatures"),
  });
}
