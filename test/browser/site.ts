import { createReadStream, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";

const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".wasm": "application/wasm",
};
/** With these a page is cross-origin isolated, and may use shared memory. */
const ISOLATION = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };
/** Largest file that a page may put here. */
const LARGEST_UPLOAD = 64 * 2 ** 20;

/** A folder of files, served on the loopback interface. */
export interface Site {
  readonly folder: string;
  /** Path of a file in the folder. */
  path(name: string): string;
  /** Address of a file. */
  url(name: string, host?: string): string;
  close(): Promise<void>;
}

export interface SiteOptions {
  /** Whether pages are cross-origin isolated (default true). */
  isolated?: boolean;
}

/** Serves a new temporary folder. `GET` reads files in it, `PUT` writes them; `/` is a page without content. */
export async function openSite({ isolated = true }: SiteOptions = {}): Promise<Site> {
  const folder = mkdtempSync(join(tmpdir(), "softmetal-site-"));
  const server = createServer((request, response) => {
    answer(folder, isolated ? ISOLATION : {}, request, response).catch(() => response.writeHead(500).end());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  writeFileSync(join(folder, "index.html"), "<!doctype html><title>Softmetal</title><body></body>");
  return {
    folder,
    path: (name) => join(folder, name),
    url: (name, host = "127.0.0.1") => `http://${host}:${port}/${name}`,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function answer(folder: string, headers: object, request: IncomingMessage, response: ServerResponse) {
  const { pathname } = new URL(request.url ?? "/", "http://localhost");
  const name = pathname === "/" ? "index.html" : pathname.slice(1);
  // One level of plain names is all the tests need.
  if (!/^[\w-][\w.-]*$/.test(name)) return response.writeHead(403).end();
  const path = join(folder, name);
  if (request.method === "PUT") {
    const parts: Buffer[] = [];
    let length = 0;
    for await (const part of request as AsyncIterable<Buffer>) {
      length += part.length;
      if (length > LARGEST_UPLOAD) return response.writeHead(413).end();
      parts.push(part);
    }
    writeFileSync(path, Buffer.concat(parts));
    return response.writeHead(204, { ...headers }).end();
  }
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found) return response.writeHead(404, { ...headers }).end();
  response.writeHead(200, {
    ...headers,
    "Content-Type": TYPES[extname(name)] ?? "application/octet-stream",
    "Content-Length": found.size,
  });
  return createReadStream(path).pipe(response);
}
