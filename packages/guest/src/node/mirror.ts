import { createHash } from "node:crypto";
import { concatenate } from "../byte-reader.js";
import { dependencyNames, type Paragraph, parseControl } from "../control.js";
import { type Compression, decompress, streamOf } from "../decompress.js";
import { GuestError } from "../errors.js";
import { cancelled } from "./cancelled.js";
import type { PackageSource, SourceContext } from "./types.js";

const INDEX_LIMIT = 512 * 2 ** 20;
const RELEASE_LIMIT = 4 * 2 ** 20;
const PACKAGE_LIMIT = 512 * 2 ** 20;
/** A connection on which nothing arrives for this long is given up. */
const STALL_TIMEOUT = 60_000;

/** Indexes in the order of preference. */
const INDEXES: readonly [file: string, compression: Compression][] = [
  ["Packages.xz", "xz"],
  ["Packages.gz", "gzip"],
];

/**
 * A Debian mirror. The package list is checked against the SHA-256 in the suite's Release file and every package against
 * the list; the Release file's signature is not checked, so that trust rests on the connection: prefer https.
 * @throws GuestError `download-failed`, `checksum-mismatch`, `no-package`, `bad-package`
 */
export async function mirrorSource(
  context: SourceContext,
  options: { url: string; suite?: string },
): Promise<PackageSource> {
  const base = options.url.replace(/\/+$/, "");
  if (!/^https?:\/\//.test(base) || !URL.canParse(base)) {
    throw new GuestError("download-failed", `${JSON.stringify(options.url)} is not an http or https address.`);
  }
  const suite = options.suite ?? "bookworm";
  const suiteUrl = `${base}/dists/${encodeURIComponent(suite)}`;
  context.onProgress({ stage: "lists", message: `fetching the package list of ${suite} for ${context.architecture}` });
  const release = new TextDecoder().decode(await download(context, `${suiteUrl}/Release`, RELEASE_LIMIT));
  const packages = await readIndex(context, suiteUrl, release);

  return {
    async find(candidates) {
      for (const name of candidates) {
        const paragraph = packages.get(name);
        if (paragraph) return { name, depends: dependencyNames(paragraph.get("depends") ?? "") };
      }
      throw new GuestError(
        "no-package",
        `The suite ${suite} of the mirror has no package ${candidates.join(" or ")} for ${context.architecture}.`,
      );
    },
    async fetch(name) {
      const paragraph = packages.get(name);
      const path = paragraph?.get("filename");
      const sha256 = paragraph?.get("sha256");
      if (!path || !sha256) throw new GuestError("no-package", `The mirror's package list does not describe ${name}.`);
      const total = Number(paragraph?.get("size")) || undefined;
      const bytes = await download(context, `${base}/${path}`, PACKAGE_LIMIT, (received) =>
        context.onProgress({ stage: "download", package: name, received, total }),
      );
      verify(bytes, sha256, name);
      return { name, bytes };
    },
    async dispose() {},
  };
}

async function readIndex(context: SourceContext, suiteUrl: string, release: string): Promise<Map<string, Paragraph>> {
  const [fields] = parseControl(release);
  const sums = new Map(
    (fields?.get("sha256") ?? "").split("\n").map((line): [string, string] => {
      const [sum = "", , path = ""] = line.trim().split(/\s+/);
      return [path, sum];
    }),
  );
  for (const [file, compression] of INDEXES) {
    const path = `main/binary-${context.architecture}/${file}`;
    const sum = sums.get(path);
    if (!sum) continue;
    const bytes = await download(context, `${suiteUrl}/${path}`, INDEX_LIMIT);
    verify(bytes, sum, `the package list ${path}`);
    const text = new TextDecoder().decode(await collect(decompress(streamOf(bytes), compression, INDEX_LIMIT)));
    const packages = new Map<string, Paragraph>();
    for (const paragraph of parseControl(text)) {
      const name = paragraph.get("package");
      if (name !== undefined) packages.set(name, paragraph);
    }
    return packages;
  }
  throw new GuestError("no-package", `The mirror's Release file lists no packages for ${context.architecture}.`);
}

async function collect(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return concatenate(parts);
    parts.push(value);
  }
}

async function download(
  context: SourceContext,
  url: string,
  limit: number,
  onBytes: (received: number) => void = () => {},
): Promise<Uint8Array> {
  const stall = new AbortController();
  const timer = setTimeout(() => stall.abort(new Error("nothing arrived for a minute")), STALL_TIMEOUT);
  const signal = context.signal ? AbortSignal.any([context.signal, stall.signal]) : stall.signal;
  try {
    const response = await fetch(url, { signal });
    if (!response.ok || !response.body) {
      throw new GuestError("download-failed", `${url} cannot be downloaded: the server answered ${response.status}.`);
    }
    const parts: Uint8Array[] = [];
    let received = 0;
    for await (const part of response.body as unknown as AsyncIterable<Uint8Array>) {
      timer.refresh();
      received += part.length;
      if (received > limit) throw new GuestError("too-large", `${url} has more than ${limit} bytes.`);
      parts.push(part);
      onBytes(received);
    }
    return concatenate(parts);
  } catch (error) {
    if (error instanceof GuestError) throw error;
    if (context.signal?.aborted) throw cancelled();
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new GuestError("download-failed", `${url} cannot be downloaded: ${reason}.`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

function verify(bytes: Uint8Array, sha256: string, what: string): void {
  if (createHash("sha256").update(bytes).digest("hex") !== sha256.toLowerCase()) {
    throw new GuestError("checksum-mismatch", `The SHA-256 of ${what} is not the announced one: try again later.`);
  }
}
