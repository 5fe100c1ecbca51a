import { NbdServer } from "@softmetal/nbd";
import { connectNbd, listen } from "@softmetal/nbd/node";

// Serve one mebibyte of memory on a free loopback port ...
const bytes = new Uint8Array(1 << 20);
const disk = {
  size: bytes.length,
  read: async (offset: number, target: Uint8Array) => target.set(bytes.subarray(offset, offset + target.length)),
  write: async (offset: number, data: Uint8Array) => bytes.set(data, offset),
};
const listener = await listen(new NbdServer({ exports: [{ name: "memory", disk }] }), { port: 0 });

// ... and use it through the client. `nbdinfo nbd://127.0.0.1:<port>/memory` would work as well.
const client = await connectNbd(`nbd://127.0.0.1:${listener.port}/memory`);
await client.write(4096, new TextEncoder().encode("hello, disk"), { fua: true });
const back = new Uint8Array(11);
await client.read(4096, back);
console.log(new TextDecoder().decode(back));

await client.close();
await listener.close();
