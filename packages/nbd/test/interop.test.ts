import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NbdServer } from "../src/index.js";
import { connectNbd, listExports, listen, type NbdListener } from "../src/node/index.js";
import { noise, sample } from "./memory-disk.js";
import { have, run, withServer } from "./peers.js";

const MIB = 1 << 20;
const folder = mkdtempSync(join(tmpdir(), "softmetal-nbd-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.skipIf(!have("nbdinfo", "nbdcopy"))("libnbd against our server", () => {
  const disk = sample();
  const socket = join(folder, "libnbd.sock");
  let listener: NbdListener;
  beforeAll(async () => {
    const server = new NbdServer({
      exports: [
        { name: "a", description: "first", disk },
        { name: "b", disk, readOnly: true },
      ],
    });
    listener = await listen(server, { path: socket });
  });
  afterAll(() => listener.close());
  const uri = (name: string) => `nbd+unix:///${name}?socket=${socket}`;

  it("nbdinfo shows size and abilities", async () => {
    const info = JSON.parse((await run("nbdinfo", ["--json", uri("a")])).stdout);
    expect(info).toMatchObject({ protocol: "newstyle-fixed", structured: true, TLS: false });
    expect(info.exports[0]).toMatchObject({
      "export-size": 4 * MIB,
      description: "first",
      is_read_only: false,
      can_cache: true,
      can_df: true,
      can_flush: true,
      can_fua: true,
      can_multi_conn: true,
      can_trim: true,
      can_zero: true,
      can_fast_zero: true,
      block_size_minimum: 1,
      contexts: ["base:allocation"],
    });
    const readOnly = JSON.parse((await run("nbdinfo", ["--json", uri("b")])).stdout);
    expect(readOnly.exports[0]).toMatchObject({ is_read_only: true });
  });

  it("nbdinfo lists the exports and maps one", async () => {
    const list = JSON.parse((await run("nbdinfo", ["--list", "--json", uri("a")])).stdout);
    expect(list.exports.map((entry: Record<string, unknown>) => entry["export-name"])).toEqual(["a", "b"]);
    const map = JSON.parse((await run("nbdinfo", ["--map", "--json", uri("a")])).stdout);
    expect(map).toEqual([
      { offset: 0, length: MIB, type: 0, description: "data" },
      { offset: MIB, length: MIB + 4096, type: 3, description: "hole,zero" },
      { offset: 2 * MIB + 4096, length: MIB + 4096, type: 0, description: "data" },
      { offset: 3 * MIB + 8192, length: MIB - 8192, type: 3, description: "hole,zero" },
    ]);
  });

  it("nbdcopy reads and writes with four connections", async () => {
    const file = join(folder, "copy.raw");
    await run("nbdcopy", ["--connections=4", uri("a"), file]);
    expect(Buffer.compare(readFileSync(file), disk.bytes)).toBe(0);
    const changed = Buffer.from(noise(4 * MIB, 99));
    changed.fill(0, MIB, 2 * MIB);
    writeFileSync(file, changed);
    await run("nbdcopy", ["--connections=4", "--flush", file, uri("a")]);
    expect(Buffer.compare(Buffer.from(disk.bytes), changed)).toBe(0);
    disk.bytes.set(sample().bytes);
  });

  it("an unknown export is refused", async () => {
    await expect(run("nbdinfo", [uri("none")])).rejects.toThrow(/not present|No such/);
  });
});

describe.skipIf(!have("qemu-img", "qemu-io"))("QEMU against our server", () => {
  const disk = sample();
  let listener: NbdListener;
  beforeAll(async () => {
    listener = await listen(new NbdServer({ exports: [{ name: "", disk }] }), { port: 0 });
  });
  afterAll(() => listener.close());

  it("qemu-img converts, maps and compares", async () => {
    const uri = `nbd://127.0.0.1:${listener.port}`;
    const file = join(folder, "q.raw");
    await run("qemu-img", ["convert", "-f", "raw", "-O", "raw", uri, file]);
    expect(Buffer.compare(readFileSync(file), disk.bytes)).toBe(0);
    const map = JSON.parse((await run("qemu-img", ["map", "-f", "raw", "--output=json", uri])).stdout);
    expect(map.map((extent: { zero: boolean; length: number }) => [extent.zero, extent.length])).toEqual([
      [false, MIB],
      [true, MIB + 4096],
      [false, MIB + 4096],
      [true, MIB - 8192],
    ]);
  });

  it("qemu-io writes, zeroes, discards and flushes", async () => {
    const uri = `nbd://127.0.0.1:${listener.port}`;
    const commands = [
      "write -P 0x5a 1000 3000",
      "write -z 8192 4096",
      "write -f -P 7 20k 4k",
      "discard 64k 64k",
      "flush",
      "read -P 0x5a 1000 3000",
    ];
    const { stdout } = await run("qemu-io", ["-f", "raw", ...commands.flatMap((command) => ["-c", command]), uri]);
    expect(stdout).not.toMatch(/fail/);
    expect(disk.bytes.subarray(1000, 4000).every((byte) => byte === 0x5a)).toBe(true);
    expect(disk.bytes.subarray(8192, 12_288).every((byte) => byte === 0)).toBe(true);
    expect(disk.bytes.subarray(20_480, 24_576).every((byte) => byte === 7)).toBe(true);
    expect(disk.calls).toContain("trim 65536 65536");
  });
});

async function exercise(uri: string, size: number): Promise<void> {
  const client = await connectNbd(uri);
  expect(client.size).toBe(size);
  const data = noise(70_001, 5);
  await client.write(12_345, data, { fua: true });
  await client.writeZeroes(20_001, 3000);
  await client.trim(65_536, 4096);
  await client.flush();
  const back = new Uint8Array(70_001);
  await client.read(12_345, back);
  data.fill(0, 20_001 - 12_345, 23_001 - 12_345);
  const trimmed = 65_536 - 12_345;
  data.fill(0, trimmed, trimmed + 4096);
  back.fill(0, trimmed, trimmed + 4096);
  expect(Buffer.compare(back, data)).toBe(0);
  const far = await client.blockStatus(2 * MIB, MIB);
  expect(far[0].flags).toBe(3);
  const parallel = Array.from({ length: 40 }, (_, index) =>
    client.write(MIB + index * 512, new Uint8Array(512).fill(index)),
  );
  await Promise.all(parallel);
  const block = new Uint8Array(40 * 512);
  await client.read(MIB, block);
  expect(block.every((byte, index) => byte === Math.floor(index / 512))).toBe(true);
  await client.close();
}

describe("our client", () => {
  it.skipIf(!have("nbdkit"))("against nbdkit", async () => {
    const socket = join(folder, "nbdkit.sock");
    const uri = `nbd+unix:///?socket=${socket}`;
    await withServer("nbdkit", ["-f", "-U", socket, "memory", "4M"], uri, async () => {
      await exercise(uri, 4 * MIB);
      expect(await listExports(uri)).toEqual([{ name: "" }]);
    });
  });

  it.skipIf(!have("nbdkit"))("against nbdkit that insists on 4 KiB blocks", async () => {
    const socket = join(folder, "blocks.sock");
    const uri = `nbd+unix:///?socket=${socket}`;
    const policy = [
      "blocksize-error-policy=error",
      "blocksize-minimum=4096",
      "blocksize-preferred=4096",
      "blocksize-maximum=32768",
    ];
    const args = ["-f", "-U", socket, "--filter=blocksize-policy", "memory", "4M", ...policy];
    await withServer("nbdkit", args, uri, async () => {
      await exercise(uri, 4 * MIB);
    });
  });

  it.skipIf(!have("nbdkit"))("against nbdkit without structured replies", async () => {
    const socket = join(folder, "nosr.sock");
    const uri = `nbd+unix:///?socket=${socket}`;
    await withServer("nbdkit", ["-f", "--no-sr", "-U", socket, "memory", "1M"], uri, async () => {
      const client = await connectNbd(uri);
      expect(client.structured).toBe(false);
      await client.write(3, noise(5000, 4));
      const back = new Uint8Array(5000);
      await client.read(3, back);
      expect(Buffer.compare(back, noise(5000, 4))).toBe(0);
      await client.close();
    });
  });

  it.skipIf(!have("qemu-nbd", "qemu-img"))("against qemu-nbd", async () => {
    const socket = join(folder, "qemu.sock");
    const image = join(folder, "q.qcow2");
    await run("qemu-img", ["create", "-q", "-f", "qcow2", image, "4M"]);
    const uri = `nbd+unix:///disk?socket=${socket}`;
    const args = ["-t", "-k", socket, "-x", "disk", "--discard=unmap", "-f", "qcow2", image];
    await withServer("qemu-nbd", args, uri, async () => {
      await exercise(uri, 4 * MIB);
    });
  });
});
