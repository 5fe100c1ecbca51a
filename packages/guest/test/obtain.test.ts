import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { commandStatus, initParameters } from "../src/index.js";
import { type GuestProgress, obtainGuest } from "../src/node/index.js";
import { makeDeb } from "./make-deb.js";

/** The least that passes for a static ELF64 program: a header with no program headers. */
const staticProgram = new Uint8Array(64);
staticProgram.set([0x7f, 0x45, 0x4c, 0x46, 2, 1]);

const kernelDeb = makeDeb(
  { Package: "linux-image-9.9-cloud-amd64", Version: "9.9-1", Depends: "kmod" },
  { "./boot/vmlinuz-9.9-cloud-amd64": "the kernel" },
);
const busyboxDeb = makeDeb({ Package: "busybox-static", Version: "1.1" }, { "./bin/busybox": staticProgram });

const sha256 = (bytes: Uint8Array | string) => createHash("sha256").update(bytes).digest("hex");

let cacheDirectory: string;
beforeEach(() => {
  cacheDirectory = mkdtempSync(join(tmpdir(), "softmetal-cache-"));
  return () => rmSync(cacheDirectory, { recursive: true, force: true });
});

describe("a mirror", () => {
  const files = new Map<string, Uint8Array | string>();
  let server: Server;
  let url: string;
  let requests: string[] = [];

  beforeAll(async () => {
    const packages = [
      ["Package: linux-image-cloud-amd64", "Version: 9", "Depends: linux-image-9.9-cloud-amd64 (= 9.9-1)"],
      ["Package: linux-image-9.9-cloud-amd64", "Depends: kmod", "Filename: pool/k.deb", `SHA256: ${sha256(kernelDeb)}`],
      ["Package: busybox-static", "Filename: pool/b.deb", `SHA256: ${sha256(busyboxDeb)}`],
    ];
    const index = gzipSync(packages.map((lines) => `${lines.join("\n")}\n`).join("\n"));
    const path = "main/binary-amd64/Packages.gz";
    files.set("/debian/dists/bookworm/Release", `Suite: x\nSHA256:\n ${sha256(index)} ${index.length} ${path}\n`);
    files.set(`/debian/dists/bookworm/${path}`, index);
    server = createServer((request, response) => {
      requests.push(request.url ?? "");
      const body = files.get(request.url ?? "");
      response.writeHead(body === undefined ? 404 : 200).end(body);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/debian/`;
  });
  afterAll(() => server.close());
  beforeEach(() => {
    requests = [];
    files.set("/debian/pool/k.deb", kernelDeb);
    files.set("/debian/pool/b.deb", busyboxDeb);
  });

  const obtain = (more: object = {}) => obtainGuest({ source: { kind: "mirror", url }, cacheDirectory, ...more });

  it("gives a guest, with progress, and the second time from the cache", async () => {
    const stages: string[] = [];
    const guest = await obtain({ onProgress: (progress: GuestProgress) => stages.push(progress.stage) });
    expect(readFileSync(guest.kernel, "utf8")).toBe("the kernel");
    expect(guest.kernelVersion).toBe("9.9-cloud-amd64");
    expect(guest.packages.map(({ name, version }) => [name, version])).toEqual([
      ["linux-image-9.9-cloud-amd64", "9.9-1"],
      ["busybox-static", "1.1"],
    ]);
    expect(new Set(stages)).toEqual(new Set(["lists", "download", "unpack", "pack", "done"]));
    const count = requests.length;
    expect(await obtain()).toEqual(guest);
    expect(requests.length).toBe(count);
    await obtain({ refresh: true });
    expect(requests.length).toBe(2 * count);
    expect(readdirSync(join(cacheDirectory, "guests")).length).toBe(1);
  });

  it("notices a damaged cache", async () => {
    const guest = await obtain();
    writeFileSync(guest.kernel, "damaged");
    expect(readFileSync((await obtain()).kernel, "utf8")).toBe("the kernel");
  });

  it("refuses a package whose checksum is wrong, and leaves no half guest", async () => {
    files.set("/debian/pool/b.deb", new Uint8Array(busyboxDeb.length));
    await expect(obtain()).rejects.toMatchObject({ name: "GuestError", code: "checksum-mismatch" });
    expect(readdirSync(cacheDirectory)).toEqual([]);
  });

  it("says what cannot be had", async () => {
    files.delete("/debian/pool/k.deb");
    await expect(obtain()).rejects.toMatchObject({ code: "download-failed", message: /answered 404/ });
    await expect(obtain({ architecture: "i386" })).rejects.toMatchObject({ code: "no-package" });
    await expect(obtain({ source: { kind: "mirror", url, suite: "none" } })).rejects.toMatchObject({
      code: "download-failed",
    });
    await expect(obtain({ source: { kind: "mirror", url: "file:///etc" } })).rejects.toMatchObject({
      code: "download-failed",
    });
    await expect(obtain({ source: { kind: "mirror", url: "http://127.0.0.1:1/" } })).rejects.toMatchObject({
      code: "download-failed",
    });
  });

  it("stops when told", async () => {
    await expect(obtain({ signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "cancelled" });
  });
});

describe("files", () => {
  it("may be packages or the things themselves", async () => {
    const directory = mkdtempSync(join(tmpdir(), "softmetal-files-"));
    try {
      const path = (name: string, data: Uint8Array | string) => {
        writeFileSync(join(directory, name), data);
        return join(directory, name);
      };
      const deb = await obtainGuest({
        source: { kind: "files", kernel: path("k.deb", kernelDeb), busybox: path("b.deb", busyboxDeb) },
        cacheDirectory,
      });
      expect(deb.kernelVersion).toBe("9.9-cloud-amd64");
      const initrd = readFileSync(deb.initrd);
      const plain = await obtainGuest({
        source: { kind: "files", kernel: path("bzImage", "the kernel"), busybox: path("busybox", staticProgram) },
        cacheDirectory,
      });
      expect(readFileSync(plain.kernel, "utf8")).toBe("the kernel");
      expect(Buffer.compare(initrd, readFileSync(plain.initrd))).toBe(0);

      const source = { kind: "files", kernel: path("k2", "x"), busybox: path("script", "#!/bin/sh\n") } as const;
      await expect(obtainGuest({ source, cacheDirectory })).rejects.toMatchObject({ code: "bad-package" });
      const missing = { ...source, kernel: join(directory, "missing") };
      await expect(obtainGuest({ source: missing, cacheDirectory })).rejects.toMatchObject({ code: "file-failed" });
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });

  it("refuses a busybox that needs libraries", async () => {
    const dynamic = readFileSync(execFileSync("which", ["tar"], { encoding: "utf8" }).trim());
    writeFileSync(join(cacheDirectory, "dynamic"), dynamic);
    writeFileSync(join(cacheDirectory, "kernel"), "kernel");
    const source = {
      kind: "files",
      kernel: join(cacheDirectory, "kernel"),
      busybox: join(cacheDirectory, "dynamic"),
    } as const;
    await expect(obtainGuest({ source, cacheDirectory })).rejects.toMatchObject({
      code: "bad-package",
      message: /not static/,
    });
  });
});

describe("apt", () => {
  it("stops when told, and leaves nothing behind", async (context) => {
    if (spawnSync("apt-get", ["--version"]).error) context.skip();
    const directory = mkdtempSync(join(tmpdir(), "softmetal-apt-test-"));
    const { TMPDIR } = process.env;
    process.env.TMPDIR = directory;
    try {
      await expect(obtainGuest({ cacheDirectory, signal: AbortSignal.timeout(20) })).rejects.toMatchObject({
        code: "cancelled",
      });
      expect(readdirSync(directory)).toEqual([]);
    } finally {
      if (TMPDIR === undefined) delete process.env.TMPDIR;
      else process.env.TMPDIR = TMPDIR;
      rmSync(directory, { recursive: true, force: true });
    }
  });

  it("says what to do when the host has none", async () => {
    const path = process.env.PATH;
    process.env.PATH = "/nonexistent";
    try {
      await expect(obtainGuest({ cacheDirectory })).rejects.toMatchObject({ code: "apt-failed", message: /--mirror/ });
    } finally {
      process.env.PATH = path;
    }
  });
});

describe("initParameters", () => {
  it("makes words without spaces or quotes", () => {
    const words = initParameters({ run: 'echo "a  b"; exit 3', rows: 24, columns: 80 });
    expect(words).toBe("softmetal.run=echo%20%22a%20%20b%22%3b%20exit%203 softmetal.size=24x80");
    expect(initParameters({})).toBe("");
  });

  it("reads the status that the guest reports", () => {
    expect(commandStatus("output\r\nsoftmetal: the command ended with status 3\r\n[ 1.2] reboot: Power down")).toBe(3);
    expect(commandStatus("output")).toBe(0);
  });
});
