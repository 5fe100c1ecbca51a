import { describeBitmap, readBitmapDirectory } from "../bitmaps/read.js";
import type { RandomAccessFile } from "../file.js";
import { CRYPT_NONE } from "../format/constants.js";
import { describeImage } from "../image/describe.js";
import { openHeader } from "../image/open-header.js";
import type { Qcow2Info } from "../image/types.js";
import type { Platform } from "../platform.js";
import { portablePlatform } from "../portable-platform.js";
import { describeSnapshot, readSnapshotTable } from "../snapshots/read.js";

/**
 * What an image is, from its header, snapshot table, bitmap directory and LUKS header; other files that it names stay
 * closed, and so does the image: the file is the caller's. Loads a quarter of what opening an image does.
 *
 * @throws Qcow2Error as `openQcow2`
 */
export async function inspectQcow2(
  file: RandomAccessFile,
  options: { readonly platform?: Platform } = {},
): Promise<Qcow2Info> {
  const { header, host } = await openHeader(file, { flushes: false });
  const { entries } = await readSnapshotTable(host, header);
  const bitmaps = await readBitmapDirectory(host, header);
  const encrypted = header.cryptMethod !== CRYPT_NONE;
  const luks = encrypted
    ? await (await import("../crypto/unlock.js")).readLuksHeader(host, header, options.platform ?? portablePlatform)
    : undefined;
  return describeImage(header, {
    virtualSize: header.size,
    luks: luks?.info(),
    snapshots: entries.map((entry) => describeSnapshot(entry, header.size)),
    bitmaps: bitmaps.map((entry) => describeBitmap(entry)),
  });
}
