import type { BitmapStore } from "../bitmaps/store.js";
import { AUTOCLEAR, COMPATIBLE, INCOMPATIBLE } from "../format/constants.js";
import { COMPRESSED_HIGH, entryOffset, ZERO_LOW } from "../format/entries.js";
import { featureNameTable } from "../format/header.js";
import type { ImageCore } from "../image/core.js";
import { geometryOf } from "../image/geometry.js";
import { Kind } from "../image/mapping.js";
import type { OperationOptions } from "../image/types.js";
import type { Zeroer } from "../image/zero.js";
import { snapshotL1 } from "../snapshots/table.js";
import { countReferences } from "./check-references.js";
import { CheckReport } from "./check-report.js";
import { rebuildRefcounts } from "./rebuild-refcounts.js";

export interface AmendOptions {
  readonly version?: 2 | 3;
  readonly lazyRefcounts?: boolean;
  readonly refcountBits?: number;
  /** Name of the external data file, which the image already has: only the header changes. "" takes the name away. */
  readonly dataFile?: string;
  /** False: the external data file may differ from what a raw image would hold from now on. */
  readonly dataFileRaw?: boolean;
  /** New virtual size; growing only. */
  readonly size?: number;
}

/** Changes format options in place. The caller holds the exclusive lock. */
export async function amend(
  core: ImageCore,
  bitmaps: BitmapStore,
  options: AmendOptions,
  operation: OperationOptions,
  zeroer: Zeroer,
): Promise<void> {
  const { header } = core;
  await core.start(false);
  await core.flush();
  if (options.version === 3 && header.version === 2) {
    header.version = 3;
    header.refcountOrder = 4;
    header.otherExtensions.push(featureNameTable());
    await saveHeader(core);
  }
  if (options.refcountBits !== undefined && options.refcountBits !== 2 ** header.refcountOrder) {
    await changeRefcountBits(core, bitmaps, options.refcountBits, operation);
  }
  if (options.dataFile !== undefined || options.dataFileRaw !== undefined) await changeDataFile(core, options);
  if (options.lazyRefcounts !== undefined) await changeLazy(core, options.lazyRefcounts);
  if (options.version === 2 && header.version === 3) await downgrade(core, zeroer);
}

async function saveHeader(core: ImageCore): Promise<void> {
  await core.writeHeader();
  await core.host.flush();
}

async function changeDataFile(core: ImageCore, { dataFile, dataFileRaw }: AmendOptions): Promise<void> {
  const { header } = core;
  if (dataFile !== undefined && !core.hasDataFile) core.fail("conflict", "the image has no external data file");
  if (dataFileRaw === true && !core.dataFileRaw)
    core.fail("conflict", "an external data file does not become a raw image afterwards");
  if (dataFile !== undefined) header.dataFile = dataFile === "" ? undefined : dataFile;
  if (dataFileRaw === false) header.autoclearFeatures &= ~AUTOCLEAR.rawExternalData;
  await saveHeader(core);
}

async function changeLazy(core: ImageCore, lazy: boolean): Promise<void> {
  const { header } = core;
  if (lazy && header.version < 3) core.fail("conflict", "lazy refcounts need version 3");
  if (lazy) {
    header.compatibleFeatures |= COMPATIBLE.lazyRefcounts;
    await saveHeader(core);
    // From now on refcounts may be held back, which the dirty bit has to tell.
    await core.restart();
  } else {
    header.compatibleFeatures &= ~COMPATIBLE.lazyRefcounts;
    // All refcounts are written by now: this flush was not a lazy one.
    await core.flush();
    await core.settle();
    await saveHeader(core);
  }
}

async function changeRefcountBits(
  core: ImageCore,
  bitmaps: BitmapStore,
  bits: number,
  operation: OperationOptions,
): Promise<void> {
  const { header } = core;
  const order = Math.log2(bits);
  if (!Number.isInteger(order) || order < 0 || order > 6)
    core.fail("invalid-argument", `refcount width ${bits} is impossible`);
  if (header.version < 3) core.fail("conflict", "version 2 has 16-bit refcounts");
  await checkRefcountsFit(core, bits);
  const report = new CheckReport({ maxMessages: 0, signal: operation.signal });
  const counts = await countReferences(core, bitmaps, report);
  if (report.corruptions > 0) core.fail("corrupt", "the image has to be repaired first");
  await rebuildRefcounts(core, counts, order);
  await core.reload();
}

async function checkRefcountsFit(core: ImageCore, bits: number): Promise<void> {
  const { refcounts, geometry, header } = core;
  const { clusterSize, refcountsPerBlock } = geometry;
  if (bits >= 2 ** header.refcountOrder) return;
  // Only where there are blocks: a file may be long and hold little.
  for (let index = 0; index < refcounts.table.length; index++) {
    const block = await refcounts.block(index);
    for (let i = 0; block !== undefined && i < refcountsPerBlock; i++) {
      const count = refcounts.codec.get(block.data, i);
      if (count < 2 ** bits) continue;
      const offset = ((index * refcountsPerBlock + i) * clusterSize).toString(16);
      core.fail(
        "too-large",
        `cluster at offset 0x${offset} has a refcount of ${count}, which needs more than ${bits} bits`,
      );
    }
  }
}

async function hasZeroClusters(core: ImageCore, l1: DataView): Promise<boolean> {
  const { clusterSize, l2EntrySize } = core.geometry;
  for (let at = 0; at < l1.byteLength; at += 8) {
    const offset = entryOffset(l1.getUint32(at), l1.getUint32(at + 4));
    if (offset === 0) continue;
    if (offset % clusterSize !== 0) core.fail("corrupt", "L2 table is not aligned to a cluster", "L1 table", offset);
    const { view } = core.mapping.cache.peek(offset) ?? (await core.mapping.cache.load(offset));
    for (let entry = 0; entry < clusterSize; entry += l2EntrySize) {
      const compressed = (view.getUint32(entry) & COMPRESSED_HIGH) !== 0;
      if (!compressed && (view.getUint32(entry + 4) & ZERO_LOW) !== 0) return true;
    }
  }
  return false;
}

/** Turns version 3 into version 2, when nothing in the image needs version 3. */
async function downgrade(core: ImageCore, zeroer: Zeroer): Promise<void> {
  const { header, mapping } = core;
  const needs = header.incompatibleFeatures & ~(INCOMPATIBLE.dirty | INCOMPATIBLE.corrupt);
  if (core.hasDataFile) core.fail("conflict", "the image has an external data file, which version 2 does not have");
  if (needs !== 0n)
    core.fail("conflict", `the image has incompatible features 0x${needs.toString(16)}, which version 2 does not have`);
  if (header.bitmaps !== undefined) core.fail("conflict", "the image has bitmaps, which version 2 does not have");
  if (header.refcountOrder !== 4) core.fail("conflict", "version 2 has 16-bit refcounts");
  // Readers of version 2 know neither sizes of their own nor zero clusters.
  if (
    core.snapshots.some(
      ({ diskSize, vmStateSize }) => (diskSize ?? header.size) !== header.size || vmStateSize >= 2 ** 32,
    )
  )
    core.fail("conflict", "internal snapshots with a size of their own do not go with version 2");
  for (const snapshot of core.snapshots) {
    if (await hasZeroClusters(core, await snapshotL1(core, snapshot)))
      core.fail("conflict", `zero clusters of snapshot ${snapshot.id} cannot be expanded`);
  }
  for (let at = 0; at < header.size; ) {
    const end = Math.min(header.size, at + geometryOf(header).l2Coverage);
    for (const { kind, offset, length } of await mapping.lookup(at, end)) {
      if (kind !== Kind.Zero && kind !== Kind.ZeroOwned && kind !== Kind.ZeroShared) continue;
      await zeroer.materialize(offset, offset + length);
    }
    at = end;
  }
  await core.flush();
  // Version 2 has no bit for refcounts that were held back.
  await core.settle();
  header.compatibleFeatures = 0n;
  header.autoclearFeatures = 0n;
  header.version = 2;
  header.otherExtensions = header.otherExtensions.filter(({ type }) => type !== featureNameTable().type);
  await saveHeader(core);
}
