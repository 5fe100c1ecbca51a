import { type ChildProcess, spawn } from "node:child_process";
import { createReadStream, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import { join } from "node:path";
import { NbdServer } from "@softmetal/nbd";
import { listen } from "@softmetal/nbd/node";
import { MemoryFile } from "@softmetal/qcow2";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Context } from "../../src/img/support/context.js";
import { openImage } from "../../src/img/support/open.js";
import { CapturedTerminal } from "../../src/img/support/terminal.js";
import { have, Workshop } from "./side-by-side.js";

const MIB = 1 << 20;
const workshop = new Workshop();
const path = (name: string) => join(workshop.ours, name);
afterAll(() => workshop.remove());
const own = (...args: string[]) => workshop.own("qemu-img", args);
const peer = (...args: string[]) => workshop.peer("qemu-img", args, workshop.ours);

describe.skipIf(!have("qemu-img", "qemu-io") || process.platform !== "linux")("image locking with QEMU", () => {
  let child: ChildProcess;

  /** QEMU keeps the image open for writing while this runs. */
  async function whileQemuWrites(image: string, work: () => Promise<void>): Promise<void> {
    child = spawn("qemu-io", [image], { cwd: workshop.ours, stdio: ["pipe", "pipe", "inherit"] });
    const exited = new Promise((resolve) => child.once("exit", resolve));
    // Its prompt says that the image is open.
    await new Promise((resolve) => child.stdout!.once("data", resolve));
    try {
      await work();
    } finally {
      child.stdin!.end("quit\n");
      await exited;
    }
  }

  beforeAll(() => {
    peer("create", "-q", "-f", "qcow2", "a.qcow2", "8M");
    peer("create", "-q", "-f", "qcow2", "-b", "a.qcow2", "-F", "qcow2", "o.qcow2");
  });

  it.each([
    ["info", "a.qcow2"],
    ["convert", "-O", "raw", "a.qcow2", "x.raw"],
    ["map", "a.qcow2"],
    ["check", "a.qcow2"],
    ["snapshot", "-l", "a.qcow2"],
    ["snapshot", "-c", "s", "a.qcow2"],
    ["resize", "a.qcow2", "9M"],
    ["create", "-f", "qcow2", "a.qcow2", "1M"],
    ["map", "o.qcow2"],
    ["compare", "a.qcow2", "o.qcow2"],
    ["commit", "o.qcow2"],
    ["info", "-U", "a.qcow2"],
    ["map", "-U", "a.qcow2"],
  ])("%s %s %s does as qemu-img while QEMU writes", async (...args) => {
    await whileQemuWrites("a.qcow2", async () => {
      const theirs = peer(...args);
      expect(await own(...args)).toEqual(theirs);
      if (!args.includes("-U")) expect(theirs.stderr).toContain("Is another process using the image [a.qcow2]?");
    });
  });

  it("QEMU is refused while we write, and while we read it may not write", async () => {
    const context = new Context("test", new CapturedTerminal());
    const writing = await openImage(context, { filename: path("a.qcow2"), write: true });
    expect(peer("info", "a.qcow2").stderr).toContain('Failed to get shared "write" lock');
    expect(peer("info", "-U", "a.qcow2").status).toBe(0);
    expect(peer("resize", "a.qcow2", "9M").stderr).toContain('Failed to get "write" lock');
    await writing.close();
    const reading = await openImage(context, { filename: path("a.qcow2") });
    expect(peer("info", "a.qcow2").status).toBe(0);
    expect(peer("resize", "a.qcow2", "9M").stderr).toContain('Failed to get "write" lock');
    await reading.close();
    expect(peer("resize", "-q", "a.qcow2", "9M").stderr).toBe("");
  });

  it("two of ours do not write at once either", async () => {
    const context = new Context("test", new CapturedTerminal());
    const first = await openImage(context, { filename: path("a.qcow2"), write: true });
    await expect(openImage(context, { filename: path("a.qcow2"), write: true })).rejects.toThrow(
      'Failed to get "write" lock',
    );
    await first.close();
  });
});

describe("images on a web server", () => {
  let server: Server;
  let base: string;
  const served = async (handler: RequestListener): Promise<void> => {
    server = createServer(handler);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    base = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  };
  const stop = () => new Promise((resolve) => server.close(resolve));

  /** A web server with range requests. */
  const ranges: RequestListener = (request, response) => {
    const file = path(request.url!.slice(1));
    let size: number;
    try {
      size = statSync(file).size;
    } catch {
      response.writeHead(404).end();
      return;
    }
    const match = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
    if (request.method === "HEAD" || match === null) {
      response.writeHead(200, { "content-length": size }).end();
      return;
    }
    const [start, end] = [Number(match[1]), Math.min(Number(match[2]), size - 1)];
    response.writeHead(206, { "content-range": `bytes ${start}-${end}/${size}`, "content-length": end - start + 1 });
    createReadStream(file, { start, end }).pipe(response);
  };

  it("are read through range requests", async () => {
    await workshop.own("qemu-img", ["create", "-q", "-f", "qcow2", "w.qcow2", "4M"]);
    await workshop.own("qemu-io", ["-c", "write -P 5 0 1M", "-c", "write -P 6 3M 70k", "w.qcow2"]);
    await served(ranges);
    try {
      const info = await own("info", `${base}/w.qcow2`);
      expect(info.stdout).toContain(
        `image: ${base}/w.qcow2\nfile format: qcow2\nvirtual size: 4 MiB (4194304 bytes)\ndisk size: unavailable\n`,
      );
      expect(await own("convert", "-O", "raw", `${base}/w.qcow2`, "w.raw")).toEqual({
        status: 0,
        stdout: "",
        stderr: "",
      });
      expect((await own("compare", "w.raw", "w.qcow2")).stdout).toBe("Images are identical.\n");
      const bytes = readFileSync(path("w.raw"));
      expect([bytes[0], bytes[MIB - 1], bytes[MIB], bytes[3 * MIB]]).toEqual([5, 5, 0, 6]);
      expect((await own("snapshot", "-c", "x", `${base}/w.qcow2`)).stderr).toContain("read-only");
      expect(await own("info", `${base}/nothing`)).toEqual({
        status: 1,
        stdout: "",
        stderr: `qemu-img: Could not open '${base}/nothing': Error opening file: the server answered 404\n`,
      });
      await workshop.own("qemu-img", [
        "create",
        "-q",
        "-f",
        "qcow2",
        "-b",
        `${base}/w.qcow2`,
        "-F",
        "qcow2",
        "over.qcow2",
      ]);
      expect((await workshop.own("qemu-io", ["-c", "read -P 6 3M 70k", "over.qcow2"])).status).toBe(0);
    } finally {
      await stop();
    }
  });

  it("are found through redirections, but not in a loop of them", async () => {
    const { status } = await own("create", "-q", "-f", "qcow2", "r.qcow2", "4M");
    expect(status).toBe(0);
    await served((request, response) => {
      if (request.url === "/loop") response.writeHead(302, { location: "/loop" }).end();
      else if (request.url === "/here") response.writeHead(307, { location: "/r.qcow2" }).end();
      else ranges(request, response);
    });
    try {
      expect((await own("info", `${base}/here`)).stdout).toContain("file format: qcow2");
      const { stderr } = await own("info", `${base}/loop`);
      expect(stderr).toMatch(/^qemu-img: Could not open '.*\/loop': Error opening file: .*redirect.*\n$/);
    } finally {
      await stop();
    }
  });

  /** A server whose file is opened as it should be, and whose later answers are the given ones. */
  async function misbehaving(later: RequestListener, size: number, etag?: string): Promise<string> {
    const open = { "content-length": size, ...(etag ? { etag } : {}) };
    await served((request, response) => {
      if (request.method === "HEAD") response.writeHead(200, open).end();
      else if (request.headers.range === "bytes=0-0") {
        response.writeHead(206, { "content-range": `bytes 0-0/${size}`, "content-length": 1 }).end("Q");
      } else later(request, response);
    });
    try {
      const { status, stdout, stderr } = await own("info", `json:{"driver":"http","url":"${base}/x","timeout":1}`);
      expect([status, stdout, stderr.split("\n").length]).toEqual([1, "", 2]);
      const options = `driver=raw,file.driver=http,file.url=${base}/x,file.timeout=1`;
      const read = await workshop.own("qemu-io", ["-r", "--image-opts", "-c", "read 0 64k", options]);
      expect([read.status, read.stdout]).toEqual([1, "read failed: Input/output error\n"]);
      return stderr;
    } finally {
      server.closeAllConnections();
      await stop();
    }
  }

  const range = (size: number, total: number) => ({ "content-range": `bytes 0-${size - 1}/${total}` });

  it("whose size or content changes in the middle are noticed", async () => {
    const grown: RequestListener = (_, response) => {
      response.writeHead(206, { ...range(65_536, 70_000), "content-length": 65_536 }).end(Buffer.alloc(65_536));
    };
    expect(await misbehaving(grown, 65_536)).toContain("has changed");
    const tagged: RequestListener = (request, response) => {
      expect(request.headers["if-range"]).toBe('"a"');
      response.writeHead(200, { "content-length": 65_536, etag: '"b"' }).end(Buffer.alloc(65_536));
    };
    expect(await misbehaving(tagged, 65_536, '"a"')).toContain("has changed");
  });

  it("are not asked for compressed, and not awaited for ever", async () => {
    const encodings = new Set<unknown>();
    const silent: RequestListener = (request) => encodings.add(request.headers["accept-encoding"]);
    expect(await misbehaving(silent, 65_536)).toContain("no answer within 1 seconds");
    expect([...encodings]).toEqual(["identity"]);
    const slow: RequestListener = (_, response) => {
      response.writeHead(206, range(65_536, 65_536));
      const timer = setInterval(() => response.write("x"), 100);
      response.on("close", () => clearInterval(timer));
    };
    expect(await misbehaving(slow, 65_536)).toContain("no answer within 1 seconds");
  });

  it("that never end, or end early, are cut off", async () => {
    let sent = 0;
    const endless: RequestListener = (_, response) => {
      response.writeHead(206, range(65_536, 65_536));
      const more = (): void => {
        while (!response.destroyed && sent < 1 << 30) {
          sent += 65_536;
          if (!response.write(Buffer.alloc(65_536))) {
            response.once("drain", more);
            return;
          }
        }
      };
      more();
    };
    expect(await misbehaving(endless, 65_536)).toContain("more than was asked for");
    expect(sent).toBeLessThan(64 * MIB);
    const early: RequestListener = (_, response) => response.writeHead(206, range(65_536, 65_536)).end("short");
    expect(await misbehaving(early, 65_536)).toContain("ended the transfer early");
    const torn: RequestListener = (_, response) => {
      response.writeHead(206, { ...range(65_536, 65_536), "content-length": 65_536 });
      response.write("x", () => response.destroy());
    };
    expect(await misbehaving(torn, 65_536)).toContain("did not finish the transfer");
  });

  it.each<[string, RequestListener, string]>([
    [
      "has no ranges",
      (_, response) => response.writeHead(200, { "content-length": 10 }).end("0123456789"),
      "does not support 'range'",
    ],
    [
      "answers with another range",
      (request, response) => {
        const whole = request.method === "HEAD" || request.headers.range === "bytes=0-0";
        response.writeHead(whole ? 206 : 206, {
          "content-range": "bytes 5-9/1000",
          "content-length": request.method === "HEAD" ? 1000 : 1,
        });
        response.end(request.method === "HEAD" ? undefined : "x");
      },
      "with something else",
    ],
    [
      "does not say how long the file is",
      (_, response) => response.writeHead(200, { "transfer-encoding": "chunked" }).end(),
      "did not report",
    ],
  ])("a server that %s is refused", async (_, handler, message) => {
    await served(handler);
    try {
      const { status, stderr } = await own("info", `${base}/x`);
      expect([status, stderr.split("\n").length]).toEqual([1, 2]);
      expect(stderr).toContain(message);
    } finally {
      await stop();
    }
  });
});

describe("images behind NBD", () => {
  it("are converted from and to", async () => {
    const memory = new MemoryFile();
    const disk = {
      size: 8 * MIB,
      read: async (offset: number, target: Uint8Array) => {
        target.fill(0, await memory.read(target, offset));
      },
      write: async (offset: number, data: Uint8Array) => memory.write(data, offset),
    };
    const listener = await listen(new NbdServer({ exports: [{ name: "d", disk }] }), { port: 0 });
    const uri = `nbd://127.0.0.1:${listener.port}/d`;
    try {
      await workshop.own("qemu-img", ["create", "-q", "-f", "qcow2", "n.qcow2", "8M"]);
      await workshop.own("qemu-io", ["-c", "write -P 5 0 1M", "-c", "write -P 6 3M 70k", "n.qcow2"]);
      expect(await own("convert", "-n", "-O", "raw", "n.qcow2", uri)).toEqual({ status: 0, stdout: "", stderr: "" });
      expect((await own("compare", "-F", "raw", "n.qcow2", uri)).stdout).toBe("Images are identical.\n");
      // An export holds what was there before, also where zeros come.
      memory.write(new Uint8Array(disk.size).fill(0xee), 0);
      expect((await own("convert", "-O", "raw", "n.qcow2", uri)).status).toBe(0);
      expect((await own("compare", "-F", "raw", "n.qcow2", uri)).stdout).toBe("Images are identical.\n");
      expect((await own("info", uri)).stdout).toContain(
        "virtual size: 8 MiB (8388608 bytes)\ndisk size: unavailable\n",
      );
      expect((await own("info", "-f", "raw", `nbd:127.0.0.1:${listener.port}:exportname=d`)).status).toBe(0);
      const options = `driver=raw,file.driver=nbd,file.host=127.0.0.1,file.port=${listener.port},file.export=d`;
      expect((await own("info", "--image-opts", options)).stdout).toContain("8388608 bytes");
      const nested = `json:{"driver":"nbd","server":{"type":"inet","host":"127.0.0.1","port":"${listener.port}"},"export":"d"}`;
      expect((await own("info", nested)).stdout).toContain("8388608 bytes");
      expect((await own("create", "-f", "qcow2", uri, "4M")).status).toBe(0);
      expect((await own("info", uri)).stdout).toContain("file format: qcow2\nvirtual size: 4 MiB");
    } finally {
      await listener.close();
    }
    const gone = await own("info", uri);
    expect(gone).toEqual({
      status: 1,
      stdout: "",
      stderr: `qemu-img: Could not open '${uri}': Failed to connect to '127.0.0.1:${listener.port}': Connection refused\n`,
    });
  });
});

describe("damaged images", () => {
  it("end in one line, never in a stack trace", async () => {
    await workshop.own("qemu-img", ["create", "-q", "-f", "qcow2", "base.qcow2", "4M"]);
    await workshop.own("qemu-io", ["-c", "write -P 5 0 1M", "base.qcow2"]);
    await workshop.own("qemu-img", ["snapshot", "-c", "s", "base.qcow2"]);
    const image = readFileSync(path("base.qcow2"));
    let seed = 12345;
    const next = (): number => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      return seed >>> 8;
    };
    const commands = [
      ["info"],
      ["info", "--output=json"],
      ["check"],
      ["map"],
      ["snapshot", "-l"],
      ["measure", "-O", "qcow2"],
    ];
    for (let round = 0; round < Number(process.env.IMG_FUZZ_ROUNDS ?? 150); round++) {
      const copy = new Uint8Array(image);
      for (let change = 0; change < 3; change++) copy[next() % (round % 2 === 0 ? 112 : 400_000)] = next();
      writeFileSync(path("fuzz.qcow2"), copy);
      const { status, stdout, stderr } = await own(...commands[round % commands.length], "fuzz.qcow2");
      expect([0, 1, 2, 3, 63]).toContain(status);
      expect(stdout + stderr).not.toMatch(/\n\s+at |TypeError|RangeError|undefined|NaN/);
    }
  });
});
