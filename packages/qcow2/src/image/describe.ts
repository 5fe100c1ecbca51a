import { AUTOCLEAR, COMPATIBLE, INCOMPATIBLE } from "../format/constants.js";
import type { Header } from "../format/header.js";
import { geometryOf } from "./geometry.js";
import type { BitmapInfo, LuksInfo, Qcow2Info, SnapshotInfo } from "./types.js";

/** What the metadata says of an image. */
export function describeImage(
  header: Header,
  more: {
    readonly virtualSize: number;
    readonly luks: LuksInfo | undefined;
    readonly snapshots: SnapshotInfo[];
    readonly bitmaps: BitmapInfo[];
  },
): Qcow2Info {
  const { clusterSize, extendedL2 } = geometryOf(header);
  const hasDataFile = (header.incompatibleFeatures & INCOMPATIBLE.externalData) !== 0n;
  return {
    version: header.version,
    virtualSize: more.virtualSize,
    clusterSize,
    refcountBits: 2 ** header.refcountOrder,
    lazyRefcounts: (header.compatibleFeatures & COMPATIBLE.lazyRefcounts) !== 0n,
    extendedL2,
    dirty: (header.incompatibleFeatures & INCOMPATIBLE.dirty) !== 0n,
    corrupt: (header.incompatibleFeatures & INCOMPATIBLE.corrupt) !== 0n,
    compressionType: header.compressionType === 1 ? "zstd" : "zlib",
    backingFile: header.backingFile,
    backingFormat: header.backingFormat,
    hasDataFile,
    dataFile: hasDataFile ? header.dataFile : undefined,
    dataFileRaw: hasDataFile && (header.autoclearFeatures & AUTOCLEAR.rawExternalData) !== 0n,
    encryption: (["none", "aes", "luks"] as const)[header.cryptMethod],
    luks: more.luks,
    snapshots: more.snapshots,
    bitmaps: more.bitmaps,
  };
}
