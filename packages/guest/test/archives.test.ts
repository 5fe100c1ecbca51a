import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  compressionOf,
  createInitramfs,
  debControl,
  debFiles,
  decompress,
  GuestError,
  gzip,
  readAr,
  readTar,
  streamOf,
} from "../src/index.js";
import { makeAr, makeDeb } from "./make-deb.js";

const has = (program: string) => spawnSync(program, ["--version"]).error === undefined;
let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "softmetal-guest-test-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

async function listTar(bytes: Uint8Array) {
  const entries: { path: string; kind: string; mode: number; target: string; text: string }[] = [];
  for await (const entry of readTar(streamOf(bytes))) {
    const text = new TextDecoder().decode(await entry.read(1e6));
    entries.push({ path: entry.path, kind: entry.kind, mode: entry.mode, target: entry.target, text });
  }
  return entries;
}

async function codeOf(action: () => unknown): Promise<string> {
  try {
    await action();
  } catch (error) {
    if (error instanceof GuestError) return error.code;
    throw error;
  }
  return "no error";
}

describe("tar", () => {
  it.each(["ustar", "gnu", "pax"])("reads what tar --format=%s writes", async (format) => {
    const long = `${"long-directory-name/".repeat(11)}file`;
    const tree = mkdtempSync(join(directory, "tree-"));
    execFileSync("mkdir", ["-p", join(tree, long, "..")]);
    writeFileSync(join(tree, long), "deep");
    writeFileSync(join(tree, "a"), "x".repeat(513), { mode: 0o750 });
    writeFileSync(join(tree, "empty"), "");
    symlinkSync("a", join(tree, "link"));
    const bytes = execFileSync("tar", ["-C", tree, `--format=${format}`, "-c", "."], { maxBuffer: 1e7 });
    const entries = await listTar(bytes);
    const find = (path: string) => entries.find((entry) => entry.path === path);
    expect(find("a")).toMatchObject({ kind: "file", mode: 0o750, text: "x".repeat(513) });
    expect(find("empty")).toMatchObject({ kind: "file", text: "" });
    expect(find("link")).toMatchObject({ kind: "symlink", target: "a" });
    expect(find(long)).toMatchObject({ kind: "file", text: "deep" });
  });

  it("refuses damaged archives with a typed error, whatever the damage", async () => {
    writeFileSync(join(directory, "f"), "contents");
    const good = execFileSync("tar", ["-C", directory, "-c", "f"]);
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 1023 }),
        fc.integer({ min: 0, max: 255 }),
        fc.integer({ min: 0, max: good.length }),
        async (at, value, length) => {
          const bad = new Uint8Array(good.subarray(0, length));
          if (at < bad.length) bad[at] = value;
          expect(["no error", "bad-archive", "too-large"]).toContain(await codeOf(() => listTar(bad)));
        },
      ),
      { numRuns: 300 },
    );
    expect(await codeOf(() => listTar(good.subarray(0, 515)))).toBe("bad-archive");
  });

  it("does not hand out an entry beyond the caller's limit", async () => {
    const bytes = execFileSync("tar", ["-C", directory, "-c", "f"]);
    const read = async () => {
      for await (const entry of readTar(streamOf(bytes))) await entry.read(3);
    };
    expect(await codeOf(read)).toBe("too-large");
  });
});

describe("ar", () => {
  it("reads members, also with odd sizes", () => {
    const members = { "debian-binary": "2.0\n", odd: "abc", even: "abcd" };
    const read = [...readAr(makeAr(members))].map(({ name, data }) => [name, new TextDecoder().decode(data)]);
    expect(read).toEqual(Object.entries(members));
  });

  it("refuses other files and truncated ones", async () => {
    expect(await codeOf(() => [...readAr(new Uint8Array(100))])).toBe("bad-archive");
    const good = makeAr({ member: "0123456789" });
    for (let length = 9; length < good.length; length++) {
      expect(await codeOf(() => [...readAr(good.subarray(0, length))])).toBe("bad-archive");
    }
  });
});

describe("decompress", () => {
  const text = "a line of text that repeats\n".repeat(20_000);
  const collect = async (bytes: Uint8Array, compression: "gzip" | "xz" | "zstd", limit = 1e7) =>
    new Response(decompress(streamOf(bytes), compression, limit) as ReadableStream<Uint8Array<ArrayBuffer>>).text();
  const tools = { gzip: "gzip", xz: "xz", zstd: "zstd" } as const;

  for (const compression of ["gzip", "xz", "zstd"] as const) {
    describe.skipIf(!has(tools[compression]))(compression, () => {
      let bytes: Uint8Array;
      beforeAll(() => {
        bytes = execFileSync(tools[compression], ["-c"], { input: text });
      });
      it("gives back what the tool compressed", async () => {
        expect(await collect(bytes, compression)).toBe(text);
      });
      it("stops at the limit", async () => {
        expect(await codeOf(() => collect(bytes, compression, 1000))).toBe("too-large");
      });
      it("refuses truncated and damaged data", async () => {
        expect(await codeOf(() => collect(bytes.subarray(0, bytes.length - 9), compression))).toBe("bad-compression");
        expect(await codeOf(() => collect(bytes.subarray(0, 5), compression))).toBe("bad-compression");
        expect(await codeOf(() => collect(new Uint8Array(64).fill(7), compression))).toBe("bad-compression");
        expect(await codeOf(() => collect(new Uint8Array(), compression))).toBe("bad-compression");
        // A damaged stream leaves the decoder usable.
        expect(await collect(bytes, compression)).toBe(text);
      });
    });
  }

  it("knows the compression by the name", () => {
    expect(["data.tar", "data.tar.gz", "data.tar.xz", "data.tar.zst", "data.tar.lzma"].map(compressionOf)).toEqual([
      "none",
      "gzip",
      "xz",
      "zstd",
      undefined,
    ]);
  });
});

describe("deb", () => {
  it("reads the files and the control fields", async () => {
    const deb = makeDeb({ Package: "thing", Version: "1.2" }, { "./boot/vmlinuz-1": "kernel" });
    const paths: string[] = [];
    for await (const entry of debFiles(deb)) paths.push(entry.path);
    expect(paths).toEqual(["boot/vmlinuz-1"]);
    expect((await debControl(deb)).get("version")).toBe("1.2");
  });

  it("says what is wrong with a package", async () => {
    const first = async (deb: Uint8Array) => {
      for await (const entry of debFiles(deb)) return entry;
    };
    expect(await codeOf(() => first(makeAr({ "debian-binary": "2.0\n" })))).toBe("bad-package");
    expect(await codeOf(() => first(makeAr({ "data.tar.lzma": "?" })))).toBe("bad-compression");
    expect(await codeOf(() => first(makeAr({ "data.tar.gz": gzipSync("not a tar") })))).toBe("bad-archive");
  });

  it("reads one that dpkg-deb made", async (context) => {
    if (!has("dpkg-deb")) context.skip();
    const tree = mkdtempSync(join(directory, "deb-"));
    execFileSync("mkdir", ["-p", join(tree, "DEBIAN"), join(tree, "usr/share")]);
    writeFileSync(
      join(tree, "DEBIAN/control"),
      "Package: thing\nVersion: 3\nArchitecture: all\nMaintainer: a <a@example.org>\nDescription: x\n more\n",
    );
    writeFileSync(join(tree, "usr/share/text"), "hello");
    const file = join(directory, "thing.deb");
    execFileSync("dpkg-deb", ["--root-owner-group", "-b", tree, file]);
    const deb = new Uint8Array(readFileSync(file));
    expect((await debControl(deb)).get("description")).toBe("x\nmore");
    const found: Record<string, string> = {};
    for await (const entry of debFiles(deb)) {
      if (entry.kind === "file") found[entry.path] = new TextDecoder().decode(await entry.read(100));
    }
    expect(found).toEqual({ "usr/share/text": "hello" });
  });
});

describe("createInitramfs", () => {
  it("writes what cpio reads back", async (context) => {
    if (!has("cpio")) context.skip();
    const archive = createInitramfs([
      { kind: "file", path: "/init", data: "#!/bin/sh\n", mode: 0o755 },
      { kind: "file", path: "a/b/c", data: new Uint8Array([1, 2, 3]) },
      { kind: "directory", path: "a", mode: 0o700 },
      { kind: "symlink", path: "link", target: "a/b" },
      { kind: "device", path: "dev/console", type: "character", major: 5, minor: 1 },
      { kind: "device", path: "dev/vda", type: "block", major: 254, minor: 0, mode: 0o640 },
    ]);
    const list = execFileSync("cpio", ["-tvn", "--quiet"], { input: archive, encoding: "utf8" });
    const lines = list
      .trim()
      .split("\n")
      .map((line) => line.replace(/ +/g, " ").replace(/ \w+ \d+ 1970/, ""));
    expect(lines).toEqual([
      "-rwxr-xr-x 1 0 0 10 init",
      "drwx------ 2 0 0 0 a",
      "drwxr-xr-x 2 0 0 0 a/b",
      "-rw-r--r-- 1 0 0 3 a/b/c",
      "lrwxrwxrwx 1 0 0 3 link -> a/b",
      "drwxr-xr-x 2 0 0 0 dev",
      "crw------- 1 0 0 5, 1 dev/console",
      "brw-r----- 1 0 0 254, 0 dev/vda",
    ]);
    const contents = execFileSync("cpio", ["-i", "--quiet", "--to-stdout", "init"], { input: archive });
    expect(contents.toString()).toBe("#!/bin/sh\n");
    const packed = execFileSync("gzip", ["-dc"], { input: await gzip(archive) });
    expect(Buffer.compare(packed, archive)).toBe(0);
  });

  it("refuses entries that make no sense", async () => {
    const file = (path: string, mode?: number) => ({ kind: "file", path, data: "", mode }) as const;
    for (const entries of [
      [file("../escape")],
      [file("/")],
      [file("a"), file("a")],
      [file("a"), file("a/b")],
      [file("a", 0o10000)],
      [{ kind: "device", path: "d", type: "block", major: -1, minor: 0 }] as const,
    ]) {
      expect(await codeOf(() => createInitramfs(entries))).toBe("bad-entry");
    }
  });
});
