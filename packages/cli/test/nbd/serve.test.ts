import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ConnectOptions, connectNbd } from "@softmetal/nbd/node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeCertificates, reachable, run, writePskKeys } from "../../../nbd/test/peers.js";
import { CapturedTerminal } from "../../src/img/support/terminal.js";
import { main as nbd } from "../../src/nbd/main.js";
import { have, Workshop } from "../img/side-by-side.js";

const MIB = 1 << 20;
const workshop = new Workshop();
const path = (name: string) => join(workshop.ours, name);
afterAll(() => workshop.remove());

/** Serves until the given work is done; the server then ends by itself, or by a signal when it is persistent. */
async function serving(
  args: string[],
  uri: string,
  work: () => Promise<void>,
  options: ConnectOptions = {},
): Promise<{ status: number; terminal: CapturedTerminal }> {
  const terminal = new CapturedTerminal();
  const serving = nbd(["-t", ...args], "qemu-nbd", terminal);
  try {
    await reachable(uri, options);
    await work();
  } finally {
    process.emit("SIGTERM", "SIGTERM");
  }
  return { status: await serving, terminal };
}

const sha = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

beforeAll(() => {
  if (!have("qemu-img", "qemu-io")) return;
  workshop.peer("qemu-img", ["create", "-q", "-f", "qcow2", "a.qcow2", "8M"], workshop.ours);
  workshop.peer("qemu-io", ["-c", "write -P 1 0 1M", "-c", "write -P 2 3M 100k", "a.qcow2"], workshop.ours);
  workshop.peer("qemu-img", ["snapshot", "-c", "old", "a.qcow2"], workshop.ours);
  workshop.peer("qemu-img", ["bitmap", "--add", "a.qcow2", "b0"], workshop.ours);
  workshop.peer("qemu-io", ["-c", "write -P 3 4M 64k", "a.qcow2"], workshop.ours);
});

describe.skipIf(!have("qemu-img", "qemu-io", "nbdinfo", "nbdcopy"))("softmetal nbd", () => {
  it("serves an image to nbdinfo, nbdcopy and qemu-img", async () => {
    const socket = path("s1");
    const uri = `nbd+unix:///disk?socket=${socket}`;
    const options = ["-k", socket, "-x", "disk", "-D", "a disk", "-e", "0", "-A", "-B", "b0", path("a.qcow2")];
    const { status } = await serving(options, uri, async () => {
      const info = JSON.parse((await run("nbdinfo", ["--json", uri])).stdout);
      expect(info.exports[0]).toMatchObject({
        "export-name": "disk",
        description: "a disk",
        "export-size": 8 * MIB,
        contexts: ["base:allocation", "qemu:dirty-bitmap:b0", "qemu:allocation-depth"],
      });
      await run("nbdcopy", ["--connections=4", uri, path("copy.raw")]);
      const map = JSON.parse((await run("nbdinfo", ["--map=qemu:dirty-bitmap:b0", "--json", uri])).stdout);
      expect(map.map(({ offset, length, type }: Record<string, number>) => [offset, length, type])).toEqual([
        [0, 4 * MIB, 0],
        [4 * MIB, 65_536, 1],
        [4 * MIB + 65_536, 4 * MIB - 65_536, 0],
      ]);
      await run("qemu-img", ["convert", "-f", "raw", "-O", "raw", uri, path("copy2.raw")]);
    });
    expect(status).toBe(0);
    expect(existsSync(socket)).toBe(false);
    workshop.peer("qemu-img", ["convert", "-O", "raw", "a.qcow2", "plain.raw"], workshop.ours);
    const expected = sha(readFileSync(path("plain.raw")));
    expect(sha(readFileSync(path("copy.raw")))).toBe(expected);
    expect(sha(readFileSync(path("copy2.raw")))).toBe(expected);
  });

  it("accepts writes that QEMU reads from the image afterwards", async () => {
    const socket = path("s2");
    const uri = `nbd+unix:///?socket=${socket}`;
    workshop.peer("qemu-img", ["create", "-q", "-f", "qcow2", "w.qcow2", "8M"], workshop.ours);
    const noise = new Uint8Array(8 * MIB).map((_, index) => (index >> 9) * 31 + index);
    noise.fill(0, MIB, 3 * MIB);
    writeFileSync(path("noise.raw"), noise);
    await serving(["-k", socket, "--discard=unmap", "-e", "0", path("w.qcow2")], uri, async () => {
      await run("nbdcopy", ["--connections=4", "--flush", path("noise.raw"), uri]);
      await run("qemu-io", [
        "-f",
        "raw",
        "-c",
        "write -P 9 5M 64k",
        "-c",
        "write -z -u 6M 64k",
        "-c",
        "discard 7M 64k",
        "-c",
        "flush",
        uri,
      ]);
    });
    noise.fill(9, 5 * MIB, 5 * MIB + 65_536);
    noise.fill(0, 6 * MIB, 6 * MIB + 65_536);
    noise.fill(0, 7 * MIB, 7 * MIB + 65_536);
    expect(workshop.peer("qemu-img", ["check", "w.qcow2"], workshop.ours).status).toBe(0);
    workshop.peer("qemu-img", ["convert", "-O", "raw", "w.qcow2", "w.raw"], workshop.ours);
    expect(sha(readFileSync(path("w.raw")))).toBe(sha(noise));
  });

  it("ends with its last client unless told to stay", async () => {
    const socket = path("s3");
    const terminal = new CapturedTerminal();
    const serving = nbd(["-k", socket, "-r", path("a.qcow2")], "qemu-nbd", terminal);
    await reachable(`nbd+unix:///?socket=${socket}`);
    expect(await serving).toBe(0);
  });

  it("serves one client after the other unless more are allowed", async () => {
    const socket = path("s6");
    const uri = `nbd+unix:///?socket=${socket}`;
    await serving(["-k", socket, "-r", path("a.qcow2")], uri, async () => {
      const first = await connectNbd(uri);
      const second = connectNbd(uri);
      const early = await Promise.race([
        second.then(() => "served"),
        new Promise((resolve) => setTimeout(resolve, 100, "waiting")),
      ]);
      expect(early).toBe("waiting");
      await first.close();
      const client = await second;
      expect(client.size).toBe(8 * MIB);
      await client.close();
      // Without CAN_MULTI_CONN a client that would like four connections makes do with one.
      await run("nbdcopy", ["--connections=4", uri, path("single.raw")]);
    });
  });

  it("serves a snapshot read-only, and a temporary overlay that leaves the image alone", async () => {
    const socket = path("s4");
    const uri = `nbd+unix:///?socket=${socket}`;
    await serving(["-k", socket, "-l", "old", path("a.qcow2")], uri, async () => {
      const client = await connectNbd(uri);
      expect(client.readOnly).toBe(true);
      const block = new Uint8Array(65_536);
      await client.read(4 * MIB, block);
      expect(block.every((byte) => byte === 0)).toBe(true);
      await client.close();
    });
    const before = sha(readFileSync(path("a.qcow2")));
    await serving(["-k", socket, "-s", path("a.qcow2")], uri, async () => {
      const client = await connectNbd(uri);
      await client.write(0, new Uint8Array(4096).fill(77));
      const block = new Uint8Array(8192);
      await client.read(0, block);
      expect([block[0], block[4096]]).toEqual([77, 1]);
      await client.close();
    });
    expect(sha(readFileSync(path("a.qcow2")))).toBe(before);
  });

  it("lists what another server offers", async () => {
    const socket = path("s5");
    const uri = `nbd+unix:///x?socket=${socket}`;
    await serving(
      ["-k", socket, "-x", "x", "-D", "text", "-e", "0", "-A", "-B", "b0", path("a.qcow2")],
      uri,
      async () => {
        const terminal = new CapturedTerminal();
        expect(await nbd(["-L", "-k", socket], "qemu-nbd", terminal)).toBe(0);
        const theirs = (await run("qemu-nbd", ["-L", "-k", socket])).stdout;
        expect(terminal.stdout).toBe(theirs);
      },
    );
  });

  /** QEMU and libnbd read through TLS; who has no credentials is refused. */
  async function servesTls(kind: "x509" | "psk", more: string, uriOf: (port: number) => string): Promise<void> {
    const port = 20_000 + (process.pid % 20_000) + (kind === "psk" ? 1 : 0);
    const object = (endpoint: string) => `tls-creds-${kind},id=tls0,dir=${workshop.ours},endpoint=${endpoint}`;
    const tls = ["--object", object("server"), "--tls-creds", "tls0"];
    const uri = uriOf(port);
    const client = ["--object", object("client") + more];
    const image = `driver=raw,file.driver=nbd,file.host=localhost,file.port=${port},file.tls-creds=tls0`;
    const work = async (): Promise<void> => {
      expect((await run("nbdinfo", ["--size", uri])).stdout).toBe(`${8 * MIB}\n`);
      const reads = [...client, "--image-opts", "-r", "-c", "read -P 1 0 1M", image];
      expect((await run("qemu-io", reads)).stdout).not.toContain("fail");
      expect((await workshop.own("qemu-io", reads)).stdout).toContain("read 1048576/1048576");
      const listed = new CapturedTerminal();
      const list = ["-L", ...client, "--tls-creds", "tls0", "-b", "localhost", "-p", String(port)];
      expect(await nbd(list, "qemu-nbd", listed)).toBe(0);
      expect(listed.stdout).toBe((await run("qemu-nbd", list)).stdout);
      await expect(run("qemu-img", ["info", `nbd://localhost:${port}`])).rejects.toThrow(/TLS/);
      expect((await workshop.own("qemu-img", ["info", `nbd://localhost:${port}`])).stderr).toContain("requires TLS");
    };
    await serving(["-e", "0", "-p", String(port), ...tls, path("a.qcow2")], uri, work, { allowLocalFiles: true });
  }

  it.skipIf(!have("openssl", "qemu-nbd"))("serves over TLS with certificates", async () => {
    await makeCertificates(workshop.ours);
    await servesTls("x509", "", (port) => `nbds://localhost:${port}/?tls-certificates=${workshop.ours}`);
  });

  it.skipIf(!have("qemu-nbd"))("serves over TLS with pre-shared keys", async () => {
    const keys = writePskKeys(workshop.ours);
    await servesTls("psk", ",username=alice", (port) => `nbds://alice@localhost:${port}/?tls-psk-file=${keys}`);
  });

  it.each([
    [[], "Invalid number of arguments"],
    [["a", "b"], "Invalid number of arguments"],
    [["nosuch"], "Failed to blk_new_open 'nosuch': Could not open 'nosuch': No such file or directory"],
    [["-k", "rel", "x"], "socket path must be absolute"],
    [["-e", "x", "y"], "Invalid shared device number 'x'"],
    [["-o", "100M", "y"], "Invalid offset '100M'"],
    [["--cache=x", "y"], "Invalid cache mode `x'"],
    [["--discard=x", "y"], "Invalid discard mode `x'"],
    [["--foo"], "unrecognized option '--foo'"],
    [["--tls-creds=t", "y"], "Failed to get TLS creds: No TLS credentials with id 't'"],
    [["-L", "y"], "List mode is incompatible with a file name"],
    [["-L", "-k", "/nosuch/socket"], "Failed to connect to '/nosuch/socket': No such file or directory"],
    [["-B", "zz", "-k", "/tmp/unused", path("a.qcow2")], "Bitmap 'zz' is not found"],
    [["-l", "zz", "-k", "/tmp/unused", path("a.qcow2")], "Failed to load snapshot: Can't find snapshot"],
    [["-k", "/nosuch/s", path("a.qcow2")], "Failed to bind socket to /nosuch/s: No such file or directory"],
  ])("refuses %j in one line", async (args, message) => {
    const terminal = new CapturedTerminal();
    expect(await nbd(args, "qemu-nbd", terminal)).toBe(1);
    expect(terminal.stderr.split("\n")[0]).toBe(`qemu-nbd: ${message}`);
    const theirs = spawnSync("qemu-nbd", args, { encoding: "utf8", timeout: 5000 });
    expect(theirs.stderr.split("\n")[0]).toBe(`qemu-nbd: ${message}`);
  });
});
