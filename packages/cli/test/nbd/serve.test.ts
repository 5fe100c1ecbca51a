import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
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

/** A socket that is not in anybody's way. */
const quiet = ["-k", path("quiet.sock")];
const psk = path("psk");
mkdirSync(psk);
writePskKeys(psk);

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
        contexts: ["base:allocation", "qemu:allocation-depth", "qemu:dirty-bitmap:b0"],
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
    [[""], "Failed to blk_new_open '': The 'file' block driver requires a file name"],
    [["-e", "x", "y"], "Invalid shared device number 'x'"],
    [["-e", "-1", "y"], "Invalid shared device number '-1'"],
    [["-e", "2147483648", "y"], "Invalid shared device number '2147483648'"],
    [
      ["-p", "x", "-b", "127.0.0.1", "y"],
      "address resolution failed for 127.0.0.1:x: Servname not supported for ai_socktype",
    ],
    [["-o", "100M", "y"], "Invalid offset '100M'"],
    [
      ["-o", "8388609", ...quiet, path("a.qcow2")],
      "Offset (8388609) cannot be greater than size of the containing file (8388608)",
    ],
    [["--cache=x", "y"], "Invalid cache mode `x'"],
    [["-n", "--cache=none", "y"], "-n and --cache can only be specified once"],
    [["--aio=x", "y"], "Invalid aio mode 'x'"],
    [["--aio=threads", "--aio=threads", "y"], "--aio can only be specified once"],
    [
      ["--aio=native", path("a.qcow2")],
      `Failed to blk_new_open '${path("a.qcow2")}': aio=native was specified, but it requires cache.direct=on, which was not specified.`,
    ],
    [["--discard=x", "y"], "Invalid discard mode `x'"],
    [["--discard=on", "--discard=on", "y"], "--discard can only be specified once"],
    [["--detect-zeroes=x", "y"], "Failed to parse detect_zeroes mode: invalid parameter value: x"],
    [
      ["--detect-zeroes=unmap", "y"],
      "setting detect-zeroes to unmap is not allowed without setting discard operation to unmap",
    ],
    [
      ["-f", "nonsense", ...quiet, path("a.qcow2")],
      `Failed to blk_new_open '${path("a.qcow2")}': Unknown driver 'nonsense'`,
    ],
    [["--image-opts", "-f", "raw", ...quiet, "driver=raw"], "--image-opts and -f are mutually exclusive"],
    [
      ["--image-opts", ...quiet, "driver=qcow2,file.filename=nosuch"],
      "Failed to blk_new_open 'driver=qcow2,file.filename=nosuch': Could not open 'nosuch': No such file or directory",
    ],
    [["-x", "x".repeat(4097), "y"], `export name '${"x".repeat(4097)}' too long`],
    [["-D", "x".repeat(4097), "y"], `export description '${"x".repeat(4097)}' too long`],
    [["-k", `/tmp/${"x".repeat(110)}`, "y"], `UNIX socket path '/tmp/${"x".repeat(110)}' is too long`],
    [["--foo"], "unrecognized option '--foo'"],
    [["-tZ", "y"], "invalid option -- 'Z'"],
    [["-p"], "option requires an argument -- 'p'"],
    [["--port"], "option '--port' requires an argument"],
    [["--list=x"], "option '--list' doesn't allow an argument"],
    [["--tls-creds=t", "y"], "Failed to get TLS creds: No TLS credentials with id 't'"],
    [["--tls-hostname=t", "y"], "--tls-hostname is not permitted without --tls-creds"],
    [["--tls-authz=t", "y"], "--tls-authz is not permitted without --tls-creds"],
    [["--tls-creds=t", "--tls-hostname=t", "y"], "TLS hostname is only supported with export list"],
    [["--tls-creds=t", "-c", "/dev/nbd0", "y"], "TLS is not supported with a host device"],
    [
      ["--object", "secret,id=t,data=x", "--tls-creds=t", "y"],
      "Failed to get TLS creds: Object with id 't' is not TLS credentials",
    ],
    [["--object", "secret,id=t,data=x,more=y", "y"], "Parameter 'more' is unexpected"],
    [
      ["--object", "tls-creds-psk,id=t,dir=/nosuch", "y"],
      "Unable to access credentials /nosuch/keys.psk: No such file or directory",
    ],
    [
      ["--object", "tls-creds-x509,id=t,dir=/nosuch", "y"],
      "Unable to access credentials /nosuch/ca-cert.pem: No such file or directory",
    ],
    [["--object", "tls-creds-psk,id=t", "y"], "Missing 'dir' property value"],
    [["--object", "tls-creds-psk,id=t,dir=/,endpoint=x", "y"], "Parameter 'endpoint' does not accept value 'x'"],
    [["--object", "tls-creds-psk,id=t,dir=/,verify-peer=x", "y"], "Parameter 'verify-peer' expects 'on' or 'off'"],
    [
      ["--object", "tls-creds-psk,id=t,dir=/,endpoint=server,username=u", "y"],
      "username should not be set when endpoint=server",
    ],
    [
      ["--object", `tls-creds-psk,id=t,dir=${psk},username=bob`, "y"],
      `Username bob not found in PSK file ${psk}/keys.psk`,
    ],
    [
      ["--object", `tls-creds-psk,id=t,dir=${psk}`, "--tls-creds=t", "y"],
      "Failed to get TLS creds: Expected TLS credentials for a server endpoint",
    ],
    [
      ["-L", "--object", `tls-creds-psk,id=t,dir=${psk},endpoint=server`, "--tls-creds=t"],
      "Failed to get TLS creds: Expected TLS credentials for a client endpoint",
    ],
    [["-L", "y"], "List mode is incompatible with a file name"],
    [["-L", "-x", "y"], "List mode is incompatible with per-device settings"],
    [["-L", "-f", "raw"], "List mode is incompatible with per-device settings"],
    [["-L", "-n"], "List mode is incompatible with per-device settings"],
    [["-L", "--fork"], "List mode is incompatible with forking"],
    [["-L", "-k", "/nosuch/socket"], "Failed to connect to '/nosuch/socket': No such file or directory"],
    [["-B", "zz", ...quiet, path("a.qcow2")], "Bitmap 'zz' is not found"],
    [["-l", "zz", ...quiet, path("a.qcow2")], "Failed to load snapshot: Can't find snapshot"],
    [["-l", "snapshot.id=7", ...quiet, path("a.qcow2")], "Failed to load snapshot: Can't find snapshot"],
    [["--pid-file=/nosuch/p", ...quiet, path("a.qcow2")], "Could not create '/nosuch/p': No such file or directory"],
    [["-k", "/nosuch/s", path("a.qcow2")], "Failed to bind socket to /nosuch/s: No such file or directory"],
  ])("refuses %j in one line", async (args, message) => {
    const terminal = new CapturedTerminal();
    expect(await nbd(args, "qemu-nbd", terminal)).toBe(1);
    expect(terminal.stderr.split("\n")[0]).toBe(`qemu-nbd: ${message}`);
    const theirs = spawnSync("qemu-nbd", args, { encoding: "utf8", timeout: 5000 });
    expect(terminal.stderr).toBe(theirs.stderr);
  });

  it.each([
    [
      ["-c", "/dev/nbd0", "y"],
      "--connect needs the kernel's client: serve a socket with -k, and attach it with 'nbd-client -unix'",
    ],
    [["-d", "/dev/nbd0"], "--disconnect needs the kernel's client: use 'nbd-client -d'"],
    [
      ["--tls-creds=t", "--tls-authz=a", "y"],
      "--tls-authz is not supported: every client that the authority in ca-cert.pem vouches for is let in",
    ],
    [
      ["--selinux-label=x", "y"],
      "--selinux-label is not supported: start the program with 'runcon', or label the socket afterwards",
    ],
    [["-l", "snapshot.x=1", "y"], "Failed in parsing snapshot param `snapshot.x=1': Invalid parameter 'snapshot.x'"],
    [["-p", "65536", "y"], "Invalid port '65536': the largest is 65535"],
  ])("says why not: %j", async (args, message) => {
    const terminal = new CapturedTerminal();
    expect(await nbd(args, "qemu-nbd", terminal)).toBe(1);
    expect(terminal.stderr).toBe(`qemu-nbd: ${message}\n`);
  });
});
