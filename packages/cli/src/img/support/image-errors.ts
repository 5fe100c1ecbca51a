/** What the image library throws, as far as it matters here; told by its name so that the library need not be loaded. */
interface ImageError extends Error {
  readonly code: string;
  readonly reason: string;
}

const isImageError = (error: unknown): error is ImageError => error instanceof Error && error.name === "Qcow2Error";

/** The words people know for errors that say it all by their code. */
const BY_CODE: Readonly<Record<string, string>> = {
  "not-an-image": "Image is not in qcow2 format",
  "passphrase-required": "Parameter 'encrypt.key-secret' is required for cipher",
  "wrong-passphrase": "Invalid password, cannot unlock any keyslot",
};

const BROKEN_BITMAP =
  "Bitmap '$1' is inconsistent and cannot be used\nTry block-dirty-bitmap-remove to delete this bitmap from disk";

/** The words people know for refused headers, by what the library says; groups are kept as $1. */
const BY_REASON: readonly (readonly [RegExp, string])[] = [
  [/^image is marked as corrupt;/, "qcow2: Image is corrupt; cannot be opened read/write"],
  [/^unsupported qcow2 version (\d+)$/, "Unsupported qcow2 version $1"],
  [/^cluster size (2\^\d+) is not between/, "Unsupported cluster size: $1"],
  [/^unknown encryption method (\d+)$/, "Unsupported encryption method $1"],
  [/^active L1 table is too large$/, "Active L1 table too large"],
  [/^active L1 table is not aligned to a cluster$/, "Active L1 table offset invalid"],
  [/^active L1 table lies beyond what is possible$/, "Active L1 table offset invalid"],
  [/^active L1 table is too small$/, "L1 table is too small"],
  [/^refcount table is too large$/, "Reference count table too large"],
  [/^refcount table (?:is not aligned|lies)/, "Reference count table offset invalid"],
  [/^image has no refcount table$/, "Image does not contain a reference count table"],
  [/^too many snapshots$/, "Snapshot table too large"],
  [/^snapshot table (?:is not aligned|lies)/, "Snapshot table offset invalid"],
  [/^refcount order \d+ is greater than 6$/, "Reference count entry width too large; may not exceed 64 bits"],
  [/^header length \d+ is too short$/, "qcow2 header too short"],
  [/^header length \d+ exceeds the first cluster$/, "qcow2 header exceeds cluster size"],
  [/^image does not name its external data file$/, "'data-file' is required for this image"],
  [
    /^the image has an external data file, which version 2 does not have$/,
    "Cannot downgrade an image with a data file",
  ],
  [/^the image has incompatible features (0x[0-9a-f]+)/, "Cannot downgrade an image with incompatible features $1 set"],
  [/^internal snapshots with a size of their own/, "Internal snapshots prevent downgrade of image"],
  [/^version 2 has 16-bit refcounts$/, "compat=0.10 requires refcount_bits=16"],
  [
    /^cluster at offset (\S+) has a refcount of (\d+), which needs more than (\d+) bits$/,
    "Cannot decrease refcount entry width to $3 bits: Cluster at offset $1 has a refcount of $2",
  ],
  [/^no AES cipher with key size (\d+)$/, "No AES cipher with key size $1 available"],
  [/^bitmap (.*) is inconsistent(?: and can only be removed|; remove it before resizing)$/, BROKEN_BITMAP],
  [/^granularity \d+ is not a power of two/, "Granularity must be power of 2 and at least 512"],
  [/^size \d+ is not a multiple of 512$/, "The new size must be a multiple of 512"],
  [/^backing file name is too long$/, "Backing file name too long"],
  [/^backing file name lies outside of the first cluster$/, "Invalid backing file offset"],
];

const UNKNOWN_FEATURES = "image needs features that are not known here: ";

/** The message of an error of the image library in QEMU's words, where there are any; undefined for other errors. */
export function imageErrorText(error: unknown): string | undefined {
  if (!isImageError(error)) return undefined;
  const known = BY_CODE[error.code];
  if (known !== undefined) return known;
  const { reason } = error;
  if (reason?.startsWith(UNKNOWN_FEATURES)) return featuresText(reason.slice(UNKNOWN_FEATURES.length).split(", "));
  const row = BY_REASON.find(([pattern]) => pattern.test(reason ?? ""));
  return row === undefined ? undefined : reason.replace(new RegExp(`${row[0].source}.*`, "s"), row[1]);
}

/** Features by name; those without one as one hexadecimal mask. */
function featuresText(features: readonly string[]): string {
  let mask = 0n;
  const names: string[] = [];
  for (const feature of features) {
    const bit = /^incompatible feature (\d+)$/.exec(feature)?.[1];
    if (bit === undefined) names.push(feature);
    else mask |= 1n << BigInt(bit);
  }
  if (mask !== 0n) names.push(`Unknown incompatible feature: ${mask.toString(16)}`);
  return `Unsupported qcow2 feature(s): ${names.join(", ")}`;
}
