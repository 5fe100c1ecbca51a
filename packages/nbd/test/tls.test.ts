import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NbdError, NbdServer, parseNbdUri } from "../src/index.js";
import {
  connectNbd,
  listen,
  type NbdListener,
  parsePskFile,
  readPskFile,
  readPskIdentity,
  readTlsFolder,
  serverPsk,
  serverTls,
} from "../src/node/index.js";
import {
  clientFlags,
  IHAVEOPT,
  NBD_REP_MAGIC,
  NBDMAGIC,
  Opt,
  optionHeader,
  optionReply,
  Rep,
  serverGreeting,
} from "../src/protocol.js";
import { type MemoryDisk, noise, random, sample } from "./memory-disk.js";
import { have, makeCertificates, PSK_USERS, run, withServer, writePskKeys } from "./peers.js";

const MIB = 1 << 20;
const folder = mkdtempSync(join(tmpdir(), "softmetal-nbd-tls-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function sameBytes(uri: string, disk: MemoryDisk, options: Parameters<typeof connectNbd>[1]): Promise<void> {
  const client = await connectNbd(uri, options);
  expect(client.tls).toBe(true);
  const target = new Uint8Array(disk.size);
  await client.read(0, target);
  expect(Buffer.compare(target, disk.bytes)).toBe(0);
  await client.close();
}

describe.skipIf(!have("openssl", "nbdinfo"))("TLS with certificates", () => {
  const disk = sample();
  let listener: NbdListener;
  let uri: string;
  beforeAll(async () => {
    await makeCertificates(folder);
    const tls = serverTls(readTlsFolder(folder, "server"), true);
    listener = await listen(new NbdServer({ exports: [{ name: "", disk }], tls }), { port: 0 });
    uri = `nbds://localhost:${listener.port}`;
  });
  afterAll(() => listener.close());

  it("our client reads through it", async () => {
    await sameBytes(uri, disk, { tls: readTlsFolder(folder, "client") });
    await sameBytes(`${uri}/?tls-certificates=${folder}`, disk, { allowLocalFiles: true });
  });

  it("libnbd reads through it", async () => {
    const { stdout } = await run("nbdinfo", ["--json", `${uri}/?tls-certificates=${folder}`]);
    expect(JSON.parse(stdout)).toMatchObject({ TLS: true });
  });

  it("a client without TLS is told that it is required", async () => {
    await expect(connectNbd(uri.replace("nbds", "nbd"))).rejects.toThrow("the server requires TLS");
  });

  it("a client without a certificate is refused", async () => {
    const { ca } = readTlsFolder(folder, "client");
    await expect(connectNbd(uri, { tls: { ca } })).rejects.toMatchObject({ name: "NbdError" });
  });

  it("a server nobody vouches for, or with another name, is refused unless that is wanted", async () => {
    await expect(connectNbd(uri)).rejects.toMatchObject({ code: "refused" });
    const tls = readTlsFolder(folder, "client");
    await expect(connectNbd(uri, { tls, tlsHostname: "elsewhere" })).rejects.toThrow("elsewhere");
    const { cert, key } = tls;
    await sameBytes(`${uri}/?tls-verify-peer=false`, disk, { tls: { cert, key } });
  });
});

describe("TLS with pre-shared keys", () => {
  const disk = sample();
  let file: string;
  let listener: NbdListener;
  let uri: string;
  beforeAll(async () => {
    file = writePskKeys(folder);
    const tls = serverPsk(readPskFile(file));
    listener = await listen(new NbdServer({ exports: [{ name: "x", disk }], tls, timeout: 5000 }), { port: 0 });
    uri = `nbds://alice@127.0.0.1:${listener.port}/x`;
  });
  afterAll(() => listener.close());

  it("our client reads through it, with a key or the file that the URI names", async () => {
    await sameBytes(uri, disk, { tls: readPskIdentity(file, "alice") });
    await sameBytes(`${uri}?tls-psk-file=${file}`, disk, { allowLocalFiles: true });
  });

  it.skipIf(!have("nbdinfo", "nbdcopy"))("libnbd reads and writes through it", async () => {
    const named = `${uri}?tls-psk-file=${file}`;
    expect(JSON.parse((await run("nbdinfo", ["--json", named])).stdout)).toMatchObject({ TLS: true });
    const copy = join(folder, "psk.raw");
    await run("nbdcopy", ["--connections=4", named, copy]);
    expect(Buffer.compare(readFileSync(copy), disk.bytes)).toBe(0);
    const changed = noise(4 * MIB, 77);
    writeFileSync(copy, changed);
    await run("nbdcopy", ["--connections=4", "--flush", copy, named]);
    expect(Buffer.compare(disk.bytes, changed)).toBe(0);
  });

  it.skipIf(!have("qemu-img"))("QEMU reads through it", async () => {
    const copy = join(folder, "psk-qemu.raw");
    const object = `tls-creds-psk,id=t,dir=${folder},endpoint=client,username=alice`;
    const image = `driver=nbd,host=127.0.0.1,port=${listener.port},export=x,tls-creds=t`;
    await run("qemu-img", ["convert", "--object", object, "--image-opts", "-O", "raw", image, copy]);
    expect(Buffer.compare(readFileSync(copy), disk.bytes)).toBe(0);
  });

  it.each<[string, Parameters<typeof connectNbd>[1]]>([
    ["another key", { tls: { username: "alice", key: new Uint8Array(16) } }],
    ["an unknown user", { tls: { username: "mallory", key: Buffer.from(PSK_USERS.alice, "hex") } }],
    ["certificates", { tls: {} }],
  ])("refuses a client with %s", async (_, options) => {
    await expect(connectNbd(uri, { ...options, timeout: 5000 })).rejects.toMatchObject({
      name: "NbdError",
      code: "refused",
    });
  });

  it("refuses a client without TLS, and goes on serving", async () => {
    await expect(connectNbd(uri.replace("nbds", "nbd"))).rejects.toThrow("the server requires TLS");
    await sameBytes(uri, disk, { tls: readPskIdentity(file, "alice") });
  });

  it("our client refuses a server that has only a certificate", async () => {
    if (!have("openssl")) return;
    const tls = serverTls(readTlsFolder(folder, "server"), false);
    const other = await listen(new NbdServer({ exports: [{ name: "x", disk }], tls }), { port: 0 });
    try {
      const attempt = connectNbd(`nbds://127.0.0.1:${other.port}/x`, { tls: readPskIdentity(file, "alice") });
      await expect(attempt).rejects.toMatchObject({ name: "NbdError", code: "refused" });
    } finally {
      await other.close();
    }
  });

  it.skipIf(!have("qemu-nbd"))("our client reads from qemu-nbd", async () => {
    const image = join(folder, "served.raw");
    writeFileSync(image, sample().bytes);
    const socket = join(folder, "qemu.sock");
    const object = `tls-creds-psk,id=t,dir=${folder},endpoint=server`;
    const args = ["-t", "-r", "-f", "raw", "-k", socket, "-x", "x", "--object", object, "--tls-creds", "t", image];
    const served = `nbds+unix://alice@/x?socket=${socket}&tls-psk-file=${file}`;
    const options = { allowLocalFiles: true };
    await withServer(
      "qemu-nbd",
      args,
      served,
      async () => {
        await sameBytes(served, sample(), options);
        const impostor = { username: "alice", key: new Uint8Array(16) };
        await expect(connectNbd(served, { tls: impostor })).rejects.toMatchObject({ name: "NbdError" });
      },
      options,
    );
  });

  it.skipIf(!have("nbdkit"))("our client writes to nbdkit", async () => {
    const socket = join(folder, "nbdkit.sock");
    const served = `nbds+unix://qemu@/?socket=${socket}&tls-psk-file=${file}`;
    const options = { allowLocalFiles: true };
    const args = ["-f", "-U", socket, "--tls=require", `--tls-psk=${file}`, "memory", "1M"];
    await withServer(
      "nbdkit",
      args,
      served,
      async () => {
        const client = await connectNbd(served, options);
        const data = noise(300_000, 9);
        await client.write(1000, data);
        const back = new Uint8Array(data.length);
        await client.read(1000, back);
        expect(Buffer.compare(back, data)).toBe(0);
        await client.close();
      },
      options,
    );
  });

  it("local files that a URI names are read only when that is allowed", async () => {
    await expect(connectNbd(`${uri}?tls-psk-file=${file}`)).rejects.toThrow("the URI names a local file");
    await expect(connectNbd(`${uri}?tls-certificates=${folder}`)).rejects.toThrow("the URI names a local file");
    await expect(connectNbd(`${uri}?tls-nonsense=1`)).rejects.toThrow('"tls-nonsense" is not known');
    const absent = `${uri}?tls-psk-file=${join(folder, "absent")}`;
    await expect(connectNbd(absent, { allowLocalFiles: true })).rejects.toThrow("ENOENT");
    mkdirSync(join(folder, "empty"));
    const empty = `${uri}?tls-certificates=${join(folder, "empty")}`;
    await expect(connectNbd(empty, { allowLocalFiles: true })).rejects.toMatchObject({ code: "refused" });
    const nobody = `${uri.replace("alice", "nobody")}?tls-psk-file=${file}`;
    await expect(connectNbd(nobody, { allowLocalFiles: true })).rejects.toThrow('no key for the user "nobody"');
  });

  it("survives clients that answer STARTTLS with anything but TLS", async () => {
    const next = random(5);
    const starttls = [
      clientFlags.encode({ flags: 3 }),
      optionHeader.encode({ magic: IHAVEOPT, option: Opt.STARTTLS, length: 0 }),
    ];
    for (let round = 0; round < 40; round++) {
      const socket = connect(listener.port!, "127.0.0.1");
      socket.on("error", () => {});
      const closed = new Promise((resolve) => socket.once("close", resolve));
      socket.write(Buffer.concat(starttls));
      // After the greeting and the acknowledgement: noise, half a handshake record, or nothing at all.
      let received = 0;
      await new Promise<void>((resolve) =>
        socket.on("data", (chunk) => {
          received += chunk.length;
          if (received >= 18 + 20) resolve();
        }),
      );
      const record = Buffer.from(noise(1 + (next() % 3000), round + 1));
      if (round % 3 === 0) record.set([22, 3, 1, next() & 0x3f, next() & 255, 1, 0]);
      if (round % 4 !== 0) socket.write(record);
      socket.end();
      await closed;
    }
    await expect.poll(() => listener.connections).toBe(0);
    await sameBytes(uri, disk, { tls: readPskIdentity(file, "alice") });
  });

  it("survives servers that answer STARTTLS with anything but TLS", async () => {
    const next = random(6);
    const server = createServer((socket) => {
      socket.on("error", () => {});
      const greeting = serverGreeting.encode({ magic: NBDMAGIC, optionMagic: IHAVEOPT, flags: 3 });
      const acknowledged = optionReply.encode({ magic: NBD_REP_MAGIC, option: Opt.STARTTLS, type: Rep.ACK, length: 0 });
      socket.write(greeting);
      socket.once("data", () => {
        socket.write(acknowledged);
        socket.once("data", () => socket.end(noise(1 + (next() % 2000), next())));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    try {
      for (let round = 0; round < 40; round++) {
        const attempt = connectNbd(`nbds://127.0.0.1:${port}`, { tls: readPskIdentity(file, "alice"), timeout: 5000 });
        await expect(attempt).rejects.toMatchObject({ name: "NbdError" });
      }
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  });

  it("URIs and key files of any kind end in a typed error or a result", () => {
    const next = random(7);
    const seeds = [
      "nbds://al%69ce@[::1]:10809/x?tls-psk-file=/k&socket=/s",
      "nbd+unix:///e?socket=/tmp/s",
      "a:00ff\nb:12\n",
    ];
    for (let round = 0; round < 5000; round++) {
      const text = Buffer.from(seeds[round % 3]);
      for (let change = 0; change <= next() % 4; change++) text[next() % text.length] = 32 + (next() % 95);
      for (const parse of [parseNbdUri, parsePskFile]) {
        try {
          parse(text.toString("latin1"));
        } catch (error) {
          expect(error).toBeInstanceOf(NbdError);
        }
      }
    }
  });

  it("key files", () => {
    expect([...parsePskFile("# two users\na:00\r\n\nb c:FFee\n")]).toEqual([
      ["a", Uint8Array.of(0)],
      ["b c", Uint8Array.of(255, 238)],
    ]);
    for (const text of ["a", "a:", ":00", "a:0", "a:xx", "a:00 "]) {
      expect(() => parsePskFile(`ok:00\n${text}`, "keys")).toThrow("keys, line 2: not a username");
    }
    expect(() => parsePskFile(`${"u".repeat(128)}:00`)).toThrow("PSK username of 128 bytes");
    expect(() => parsePskFile(`u:${"00".repeat(257)}`)).toThrow("PSK key of 257 bytes");
  });
});
