import { GuestError } from "./errors.js";
import { numberField, textField } from "./text-fields.js";

/** One file inside an ar archive. `data` is a view of the archive's bytes. */
export interface ArMember {
  name: string;
  data: Uint8Array;
}

const MAGIC = "!<arch>\n";
/** Field offsets and lengths of the 60-byte member header (ar(5)). */
const HEADER = { size: 60, name: [0, 16], length: [48, 10], end: [58, 2] } as const;

/**
 * Reads the members of an ar archive, the outer format of Debian packages.
 * @throws GuestError `bad-archive`
 */
export function* readAr(archive: Uint8Array): Generator<ArMember> {
  if (textField(archive, 0, MAGIC.length) !== MAGIC.trimEnd() || archive[MAGIC.length - 1] !== 0x0a) {
    throw new GuestError("bad-archive", "The file is not an ar archive, which every Debian package is.");
  }
  let at = MAGIC.length;
  while (at < archive.length) {
    const header = archive.subarray(at, at + HEADER.size);
    if (header.length < HEADER.size || header[HEADER.end[0]] !== 0x60 || header[HEADER.end[0] + 1] !== 0x0a) {
      throw new GuestError("bad-archive", `The ar archive is damaged or truncated at byte ${at}.`);
    }
    const name = textField(header, ...HEADER.name).replace(/\/$/, "");
    const length = numberField(header, ...HEADER.length, 10, `the size of member ${name}`);
    const start = at + HEADER.size;
    if (start + length > archive.length) {
      throw new GuestError("bad-archive", `The ar archive is truncated: member ${name} is not complete.`);
    }
    yield { name, data: archive.subarray(start, start + length) };
    // Members begin at even offsets.
    at = start + length + (length % 2);
  }
}
