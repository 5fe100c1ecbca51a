import { describe, expect, it } from "vitest";
import { type ByteStream, NbdClient, NbdError, NbdServer, streamPair } from "../src/index.js";
import {
  Chunk,
  Cmd,
  clientFlags,
  IHAVEOPT,
  NBD_REQUEST_MAGIC,
  NBD_STRUCTURED_REPLY_MAGIC,
  Opt,
  offsetData,
  offsetHole,
  optionHeader,
  request,
  structuredReply,
} from "../src/protocol.js";
import { MemoryDisk, noise, random } from "./memory-disk.js";

/** Rounds of each fuzzer; a longer run is a matter of the environment. */
const ROUNDS = Number(process.env.NBD_FUZZ_ROUNDS ?? 1500);

/** What passes between a client and a server that work, in both directions. */
async function recording(): Promise<{ toServer: Uint8Array; toClient: Uint8Array }> {
  const sent: Record<"toServer" | "toClient", Uint8Array[]> = { toServer: [], toClient: [] };
  const spy = (stream: ByteStream, list: Uint8Array[]): ByteStream => ({
    read: () => stream.read(),
    close: () => stream.close(),
    write: (chunks) => {
      for (const chunk of chunks) list.push(chunk.slice());
      return stream.write(chunks);
    },
  });
  const disk = new MemoryDisk(65_536);
  disk.bytes.set(noise(8192, 5), 16_384);
  const [near, far] = streamPair();
  const ended = new NbdServer({ exports: [{ name: "x", disk }] }).serve(spy(far, sent.toClient));
  await session(spy(near, sent.toServer));
  await ended;
  return { toServer: Buffer.concat(sent.toServer), toClient: Buffer.concat(sent.toClient) };
}

/** One of everything, so that every message is in the recording. */
async function session(stream: ByteStream, options: { timeout?: number; requestTimeout?: number } = {}): Promise<void> {
  const client = await NbdClient.connect(stream, { exportName: "x", ...options });
  try {
    await client.read(12_288, new Uint8Array(16_384));
    await client.write(0, noise(100, 1));
    await client.blockStatus(0, Math.min(client.size, 65_536));
    await client.writeZeroes(4096, 4096);
    await client.trim(8192, 4096);
    await client.flush();
  } finally {
    await client.close();
  }
}

function mutate(bytes: Uint8Array, next: () => number): Uint8Array {
  const copy = new Uint8Array(bytes);
  const changes = 1 + (next() % 4);
  for (let index = 0; index < changes; index++) {
    // Structures matter more than payload: most changes go to the first kilobyte.
    const at = next() % (next() % 4 === 0 ? copy.length : Math.min(copy.length, 1024));
    const kind = next() % 4;
    if (kind === 0) copy[at] = next() & 255;
    else if (kind === 1) copy[at] ^= 1 << (next() & 7);
    else if (kind === 2) copy.fill(255, at, at + 4);
    else copy.copyWithin(at, next() % copy.length, at + (next() % 32));
  }
  return next() % 3 === 0 ? copy.subarray(0, next() % copy.length) : copy;
}

/** Plays bytes at a peer and swallows what it answers. */
function replay(stream: ByteStream, bytes: Uint8Array): void {
  void (async () => {
    while ((await stream.read()) !== undefined) {
      // Only the peer's behaviour counts.
    }
  })().catch(() => {});
  void (async () => {
    for (let at = 0; at < bytes.length; at += 700) await stream.write([bytes.subarray(at, at + 700)]);
    stream.close();
  })().catch(() => {});
}

const typed = (error: unknown): void => {
  if (!(error instanceof NbdError)) throw error;
};

describe("hostile peers", () => {
  it(`a server survives ${ROUNDS} mutated clients`, async () => {
    const { toServer } = await recording();
    const next = random(Number(process.env.NBD_FUZZ_SEED ?? 1));
    for (let round = 0; round < ROUNDS; round++) {
      const server = new NbdServer({ exports: [{ name: "x", disk: new MemoryDisk(65_536) }], timeout: 2000 });
      const [near, far] = streamPair();
      replay(near, mutate(toServer, next));
      await server.serve(far).catch(typed);
    }
  });

  it(`a client survives ${ROUNDS} mutated servers`, async () => {
    const { toClient } = await recording();
    const next = random(Number(process.env.NBD_FUZZ_SEED ?? 2));
    let failures = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const [near, far] = streamPair();
      replay(far, mutate(toClient, next));
      await session(near, { timeout: 2000, requestTimeout: 2000 }).catch((error: unknown) => {
        typed(error);
        failures++;
      });
    }
    expect(failures).toBeGreaterThan(ROUNDS / 4);
  });

  it("refuses a write that announces 4 GiB without allocating it", async () => {
    const server = new NbdServer({ exports: [{ name: "", disk: new MemoryDisk(4096) }], timeout: 1000 });
    const [near, far] = streamPair();
    const ended = server.serve(far);
    await near.write([
      clientFlags.encode({ flags: 3 }),
      optionHeader.encode({ magic: IHAVEOPT, option: Opt.EXPORT_NAME, length: 0 }),
      request.encode({
        magic: NBD_REQUEST_MAGIC,
        flags: 0,
        type: Cmd.WRITE,
        cookie: 1n,
        offset: 0n,
        length: 0xffffffff,
      }),
    ]);
    await expect(ended).rejects.toMatchObject({ code: "limit" });
  });

  it("refuses an option that announces 4 GiB", async () => {
    const server = new NbdServer({ exports: [], timeout: 1000 });
    const [near, far] = streamPair();
    const ended = server.serve(far);
    await near.write([
      clientFlags.encode({ flags: 3 }),
      optionHeader.encode({ magic: IHAVEOPT, option: 99, length: 0xffffffff }),
    ]);
    await expect(ended).rejects.toMatchObject({ code: "limit" });
  });

  it("bounds the options of one client", async () => {
    const server = new NbdServer({ exports: [], timeout: 1000 });
    const [near, far] = streamPair();
    const ended = server.serve(far);
    const option = optionHeader.encode({ magic: IHAVEOPT, option: 99, length: 0 });
    await near.write([clientFlags.encode({ flags: 3 }), ...Array.from({ length: 300 }, () => option)]);
    await expect(ended).rejects.toMatchObject({ code: "limit" });
  });

  /** A server that answers the first read with these chunks. */
  async function readAgainst(reply: (cookie: bigint) => Uint8Array[]): Promise<Uint8Array> {
    const { toClient } = await recording();
    // Everything up to the first structured reply is the handshake.
    const marker = Buffer.from([0x66, 0x8e, 0x33, 0xef]);
    const handshake = toClient.subarray(0, Buffer.from(toClient).indexOf(marker));
    const [near, far] = streamPair();
    await far.write([handshake]);
    const connecting = NbdClient.connect(near, { exportName: "x", timeout: 1000 });
    const client = await connecting;
    const target = new Uint8Array(4096);
    const read = client.read(0, target);
    await far.write(reply(1n));
    await read;
    return target;
  }
  const header = (cookie: bigint, flags: number, type: number, length: number) =>
    structuredReply.encode({ magic: NBD_STRUCTURED_REPLY_MAGIC, flags, type, cookie, length });
  const hole = (cookie: bigint, flags: number, offset: number, length: number) => [
    header(cookie, flags, Chunk.OFFSET_HOLE, 12),
    offsetHole.encode({ offset: BigInt(offset), length }),
  ];

  it("accepts pieces in any order", async () => {
    const bytes = await readAgainst((cookie) => [
      ...hole(cookie, 0, 2048, 2048),
      header(cookie, 1, Chunk.OFFSET_DATA, 8 + 2048),
      offsetData.encode({ offset: 0n }),
      new Uint8Array(2048).fill(9),
    ]);
    expect(bytes.subarray(0, 2048).every((byte) => byte === 9)).toBe(true);
    expect(bytes.subarray(2048).every((byte) => byte === 0)).toBe(true);
  });

  it.each([
    ["bytes twice", (cookie: bigint) => [...hole(cookie, 0, 0, 4096), ...hole(cookie, 1, 100, 10)], "come twice"],
    ["bytes outside the request", (cookie: bigint) => hole(cookie, 1, 4000, 97), "outside the request"],
    ["too few bytes", (cookie: bigint) => hole(cookie, 1, 0, 4095), "leaves bytes out"],
    ["an answer to nobody", () => hole(77n, 1, 0, 4096), "unknown request"],
    [
      "a status for a read",
      (cookie: bigint) => [header(cookie, 1, Chunk.BLOCK_STATUS, 12), new Uint8Array(12)],
      "for a read",
    ],
    [
      "a simple reply",
      () => [Uint8Array.of(0x67, 0x44, 0x66, 0x98, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)],
      "simple reply",
    ],
  ])("refuses %s", async (_, reply, message) => {
    await expect(readAgainst(reply)).rejects.toThrow(message);
  });
});
