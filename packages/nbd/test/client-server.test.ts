import { describe, expect, it } from "vitest";
import { listExports, NbdClient, NbdError, NbdServer, StateFlag, streamPair, TransmissionFlag } from "../src/index.js";
import { MemoryDisk, noise, random } from "./memory-disk.js";

const MIB = 1 << 20;

async function pair(disk: MemoryDisk, more: { readOnly?: boolean } = {}) {
  const server = new NbdServer({ exports: [{ name: "disk", description: "a disk", disk, ...more }] });
  const [near, far] = streamPair();
  const ended = server.serve(far);
  const client = await NbdClient.connect(near, { exportName: "disk" });
  return { client, ended };
}

describe("client and server", () => {
  it("reads what was written, zeroed and trimmed, at any alignment", async () => {
    const disk = new MemoryDisk(MIB);
    const { client, ended } = await pair(disk);
    const model = new Uint8Array(MIB);
    const next = random(7);
    for (let step = 0; step < 300; step++) {
      const offset = next() % MIB;
      const length = Math.min(1 + (next() % 20_000), MIB - offset);
      const kind = next() % 4;
      if (kind === 0) {
        const data = noise(length, step + 1);
        model.set(data, offset);
        await client.write(offset, data, { fua: step % 3 === 0 });
      } else if (kind === 1) {
        model.fill(0, offset, offset + length);
        await client.writeZeroes(offset, length, { noHole: step % 2 === 0 });
      } else if (kind === 2) {
        model.fill(0, offset, offset + length);
        await client.trim(offset, length);
      } else {
        const back = new Uint8Array(length);
        await client.read(offset, back);
        expect(Buffer.compare(back, model.subarray(offset, offset + length))).toBe(0);
      }
    }
    await client.flush();
    const whole = new Uint8Array(MIB);
    await client.read(0, whole);
    expect(Buffer.compare(whole, model)).toBe(0);
    expect(disk.calls).toContain("flush");
    await client.close();
    expect(await ended).toEqual({ exportName: "disk" });
  });

  it("keeps overlapping requests apart", async () => {
    const disk = new MemoryDisk(MIB);
    const { client } = await pair(disk);
    const blocks = Array.from({ length: 200 }, (_, index) => index);
    await Promise.all(blocks.map((index) => client.write(index * 4096, new Uint8Array(4096).fill(index))));
    const reads = await Promise.all(
      blocks.map(async (index) => {
        const target = new Uint8Array(4096);
        await client.read(index * 4096, target);
        return target;
      }),
    );
    for (const [index, bytes] of reads.entries()) expect(bytes.every((byte) => byte === index)).toBe(true);
    await client.close();
  });

  it("reports allocation, merged", async () => {
    const disk = new MemoryDisk(64 * 4096);
    const { client } = await pair(disk);
    await client.write(8 * 4096, noise(8 * 4096, 3));
    const hole = StateFlag.HOLE | StateFlag.ZERO;
    expect(await client.blockStatus(0, 64 * 4096)).toEqual([
      { length: 8 * 4096, flags: hole },
      { length: 8 * 4096, flags: 0 },
      { length: 48 * 4096, flags: hole },
    ]);
    expect(await client.blockStatus(10 * 4096 + 7, 9)).toEqual([{ length: 9, flags: 0 }]);
    await client.close();
  });

  it("announces what the disk can do", async () => {
    const { client } = await pair(new MemoryDisk(4096));
    for (const flag of [
      "SEND_FLUSH",
      "SEND_FUA",
      "SEND_TRIM",
      "SEND_WRITE_ZEROES",
      "SEND_DF",
      "CAN_MULTI_CONN",
      "SEND_CACHE",
    ] as const) {
      expect([flag, client.has(TransmissionFlag[flag])]).toEqual([flag, true]);
    }
    await client.cache(0, 4096);
    await client.close();
    const readOnly = await pair(new MemoryDisk(4096), { readOnly: true });
    expect(readOnly.client.readOnly).toBe(true);
    await expect(readOnly.client.write(0, new Uint8Array(1))).rejects.toMatchObject({ code: "readonly" });
    await expect(readOnly.client.read(4000, new Uint8Array(97))).rejects.toMatchObject({ code: "range" });
    await readOnly.client.close();
  });

  it("lists exports and refuses unknown ones", async () => {
    const disk = new MemoryDisk(4096);
    const server = new NbdServer({
      exports: [
        { name: "", disk },
        { name: "b", description: "second", disk },
      ],
    });
    const [near, far] = streamPair();
    void server.serve(far);
    expect(await listExports(near)).toEqual([{ name: "" }, { name: "b", description: "second" }]);
    const [near2, far2] = streamPair();
    const ended = server.serve(far2);
    const failure = NbdClient.connect(near2, { exportName: "c" });
    await expect(failure).rejects.toThrow("NBD_OPT_GO: the export is not known to the server (export 'c' not present)");
    await expect(failure).rejects.toBeInstanceOf(NbdError);
    expect(await ended).toEqual({});
  });

  it("sends a disk's failure back as an error number", async () => {
    const disk = new MemoryDisk(4096);
    disk.write = () => Promise.reject(Object.assign(new Error("disk full"), { code: "ENOSPC" }));
    const { client } = await pair(disk);
    await expect(client.write(512, new Uint8Array(512))).rejects.toMatchObject({ code: "io", errno: 28, offset: 512 });
    await client.read(0, new Uint8Array(10));
    await client.close();
  });

  it("fails pending requests when the connection ends", async () => {
    const disk = new MemoryDisk(4096);
    disk.bytes.fill(1);
    disk.read = () => new Promise(() => {});
    const server = new NbdServer({ exports: [{ name: "", disk }] });
    const [near, far] = streamPair();
    void server.serve(far).catch(() => {});
    const client = await NbdClient.connect(near, {});
    const read = client.read(0, new Uint8Array(512));
    far.close();
    await expect(read).rejects.toMatchObject({ code: "closed" });
    await expect(client.flush()).rejects.toMatchObject({ code: "closed" });
  });

  it("gives up on a server that does not answer", async () => {
    const disk = new MemoryDisk(4096);
    disk.bytes.fill(1);
    disk.read = () => new Promise(() => {});
    const server = new NbdServer({ exports: [{ name: "", disk }] });
    const [near, far] = streamPair();
    void server.serve(far).catch(() => {});
    const client = await NbdClient.connect(near, { requestTimeout: 50 });
    await expect(client.read(0, new Uint8Array(512))).rejects.toMatchObject({ code: "timeout" });
  });

  it("gives up on a peer that stays silent inside a message", async () => {
    const [near, far] = streamPair();
    await expect(NbdClient.connect(near, { timeout: 50 })).rejects.toMatchObject({ code: "timeout" });
    far.close();
    const server = new NbdServer({ exports: [], timeout: 50 });
    const [, other] = streamPair();
    await expect(server.serve(other)).rejects.toMatchObject({ code: "timeout" });
  });
});
