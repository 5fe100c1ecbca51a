import type { LuksInfo, Qcow2Info } from "@softmetal/qcow2";
import type { Context } from "./context.js";
import { resolveBacking } from "./filename.js";
import type { ImageLook } from "./look.js";
import { type Printable, toHuman } from "./qdict.js";
import { formatSize } from "./sizes.js";
import { snapshotTable } from "./snapshots.js";

/** What `info` knows about an image. */
export interface ImageInfo {
  readonly filename: string;
  readonly format: string;
  readonly virtualSize: number;
  /** Bytes of storage in use; undefined where that cannot be found out. */
  readonly actualSize: number | undefined;
  readonly qcow2: Qcow2Info | undefined;
  readonly encrypted: boolean;
  /** What only this format has; undefined for raw. */
  readonly specific: SpecificInfo | undefined;
  /** The backing file as found from the program's directory. */
  readonly fullBackingFilename: string | undefined;
}

type Dictionary = { [key: string]: Printable | undefined };

export interface SpecificInfo {
  readonly type: string;
  readonly data: Dictionary;
}

export async function imageInfo(image: ImageLook): Promise<ImageInfo> {
  const { qcow2 } = image;
  return {
    filename: image.filename,
    format: image.format,
    // Disks are whole sectors, whatever the file below has.
    virtualSize: Math.ceil(image.size / 512) * 512,
    actualSize: await actualSize(image),
    qcow2,
    encrypted: image.luks !== undefined || (qcow2 !== undefined && qcow2.encryption !== "none"),
    specific: formatSpecific(image),
    fullBackingFilename:
      qcow2?.backingFile === undefined ? undefined : resolveBacking(qcow2.backingFile, image.filename),
  };
}

async function actualSize(image: ImageLook): Promise<number | undefined> {
  const own = await image.file.allocatedSize?.();
  const data = await image.dataFile?.allocatedSize?.();
  return own === undefined ? undefined : own + (data ?? 0);
}

/** The "format-specific" part. */
export function formatSpecific({ qcow2, luks }: Pick<ImageLook, "qcow2" | "luks">): SpecificInfo | undefined {
  if (luks !== undefined) return { type: "luks", data: luksSpecific(luks) };
  return qcow2 && { type: "qcow2", data: qcow2Specific(qcow2) };
}

/** In the order in which QEMU builds it. */
function qcow2Specific(info: Qcow2Info): Dictionary {
  const v3 = info.version === 3;
  return {
    compat: v3 ? "1.1" : "0.10",
    "compression-type": info.compressionType,
    "lazy-refcounts": v3 ? info.lazyRefcounts : undefined,
    "refcount-bits": info.refcountBits,
    encrypt: encryption(info),
    "data-file": info.dataFile,
    "data-file-raw": info.hasDataFile ? info.dataFileRaw : undefined,
    corrupt: v3 ? info.corrupt : undefined,
    "extended-l2": v3 ? info.extendedL2 : undefined,
    bitmaps:
      info.bitmaps.length === 0
        ? undefined
        : info.bitmaps.map(({ name, granularity, enabled, inconsistent }) => ({
            flags: [...(inconsistent ? ["in-use"] : []), ...(enabled ? ["auto"] : [])],
            name,
            granularity,
          })),
  };
}

function encryption(info: Qcow2Info): Printable | undefined {
  if (info.encryption === "none") return undefined;
  return { format: info.encryption, ...(info.luks && luksSpecific(info.luks)) };
}

function luksSpecific(luks: LuksInfo): Dictionary {
  return {
    "cipher-alg": luks.cipher,
    "cipher-mode": luks.mode,
    "ivgen-alg": luks.ivGenerator,
    "ivgen-hash-alg": luks.ivHash,
    "hash-alg": luks.hash,
    uuid: luks.uuid,
    "payload-offset": luks.payloadOffset,
    "master-key-iters": luks.masterKeyIterations,
    slots: luks.slots.map((slot) => ({
      active: slot.active,
      iters: slot.iterations,
      stripes: slot.stripes,
      "key-offset": slot.keyOffset,
    })),
  };
}

/** The dictionary of `info --output=json`. */
export function infoJson(info: ImageInfo): Dictionary {
  const { qcow2, specific } = info;
  return {
    filename: info.filename,
    format: info.format,
    "virtual-size": info.virtualSize,
    "actual-size": info.actualSize,
    "cluster-size": qcow2?.clusterSize,
    encrypted: info.encrypted ? true : undefined,
    "dirty-flag": qcow2 === undefined ? false : qcow2.dirty,
    "backing-filename": qcow2?.backingFile,
    "full-backing-filename": info.fullBackingFilename,
    "backing-filename-format": qcow2?.backingFile === undefined ? undefined : qcow2.backingFormat,
    snapshots:
      qcow2 === undefined || qcow2.snapshots.length === 0
        ? undefined
        : qcow2.snapshots.map((snapshot) => ({
            id: snapshot.id,
            name: snapshot.name,
            "vm-state-size": snapshot.vmStateSize,
            "date-sec": snapshot.dateSeconds,
            "date-nsec": snapshot.dateNanoseconds,
            "vm-clock-sec": snapshot.vmClock / 1_000_000_000n,
            "vm-clock-nsec": snapshot.vmClock % 1_000_000_000n,
            icount: snapshot.icount,
          })),
    "format-specific": specific && { ...specific },
  };
}

/** The lines of `info`. */
export function printInfo(context: Context, info: ImageInfo): void {
  const { qcow2, specific } = info;
  const lines = [
    `image: ${info.filename}`,
    `file format: ${info.format}`,
    `virtual size: ${formatSize(info.virtualSize)} (${info.virtualSize} bytes)`,
    `disk size: ${info.actualSize === undefined ? "unavailable" : formatSize(info.actualSize)}`,
  ];
  if (info.encrypted) lines.push("encrypted: yes");
  if (qcow2 !== undefined) {
    lines.push(`cluster_size: ${qcow2.clusterSize}`);
    if (qcow2.dirty) lines.push("cleanly shut down: no");
    if (qcow2.backingFile !== undefined) {
      const actual =
        info.fullBackingFilename === qcow2.backingFile ? "" : ` (actual path: ${info.fullBackingFilename})`;
      lines.push(`backing file: ${qcow2.backingFile}${actual}`);
      if (qcow2.backingFormat !== undefined) lines.push(`backing file format: ${qcow2.backingFormat}`);
    }
  }
  context.out(`${lines.join("\n")}\n`);
  if (qcow2 !== undefined && qcow2.snapshots.length > 0)
    context.out(`Snapshot list:\n${snapshotTable(qcow2.snapshots)}`);
  if (specific !== undefined) context.out(specificText(specific));
}

/** The "Format specific information" lines. */
export function specificText({ data }: SpecificInfo): string {
  const defined = Object.fromEntries(Object.entries(data).filter(([, value]) => value !== undefined)) as Printable;
  return `Format specific information:\n${toHuman(defined, 1)}`;
}
