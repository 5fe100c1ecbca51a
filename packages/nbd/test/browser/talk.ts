import { NbdClient, NbdServer, streamPair } from "@softmetal/nbd";
import { postPrinted } from "../../../../test/browser/print.js";

/** Server and client at the two ends of a stream. */
async function talk(): Promise<void> {
  const bytes = new Uint8Array(1 << 20);
  const disk = {
    size: bytes.length,
    read: async (offset: number, target: Uint8Array) => target.set(bytes.subarray(offset, offset + target.length)),
    write: async (offset: number, data: Uint8Array) => bytes.set(data, offset),
  };
  const [near, far] = streamPair();
  const ended = new NbdServer({ exports: [{ name: "disk", disk }] }).serve(far);
  const client = await NbdClient.connect(near, { exportName: "disk" });
  await client.write(4096, new TextEncoder().encode("hello, disk"), { fua: true });
  const back = new Uint8Array(11);
  await client.read(4096, back);
  await client.close();
  console.log(`export ${(await ended).exportName} of ${client.size} bytes`);
  console.log(new TextDecoder().decode(back));
}

postPrinted(talk);
