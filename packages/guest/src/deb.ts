import { readAr } from "./ar.js";
import { type Paragraph, parseControl } from "./control.js";
import { compressionOf, decompress, streamOf } from "./decompress.js";
import { GuestError } from "./errors.js";
import { readTar, type TarEntry } from "./tar.js";

/** Unpacked sizes beyond these are refused; Debian's largest kernel package unpacks to under 1 GiB. */
const CONTROL_LIMIT = 64 * 2 ** 20;
const DATA_LIMIT = 4 * 2 ** 30;

/**
 * The files that a Debian package installs, in the package's order.
 * @throws GuestError `bad-archive`, `bad-compression`, `bad-package`, `too-large`
 */
export function debFiles(deb: Uint8Array): AsyncGenerator<TarEntry> {
  return readTar(memberStream(deb, "data.tar", DATA_LIMIT));
}

/** The package's control fields (deb-control(5)), for example `package`, `version`, `architecture`. */
export async function debControl(deb: Uint8Array): Promise<Paragraph> {
  for await (const entry of readTar(memberStream(deb, "control.tar", CONTROL_LIMIT))) {
    if (entry.path !== "control") continue;
    const [paragraph] = parseControl(new TextDecoder().decode(await entry.read(2 ** 20)));
    if (paragraph) return paragraph;
  }
  throw new GuestError("bad-package", "The Debian package has no control file.");
}

function memberStream(deb: Uint8Array, prefix: string, limit: number): ReadableStream<Uint8Array> {
  for (const { name, data } of readAr(deb)) {
    if (name !== prefix && !name.startsWith(`${prefix}.`)) continue;
    const compression = compressionOf(name);
    if (compression === undefined) {
      throw new GuestError("bad-compression", `The Debian package's ${name} has a compression that is not supported.`);
    }
    return decompress(streamOf(data), compression, limit);
  }
  throw new GuestError("bad-package", `The file is not a Debian package: it has no ${prefix} member.`);
}
