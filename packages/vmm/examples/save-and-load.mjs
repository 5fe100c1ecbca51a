import { createMachine } from "@softmetal/vmm";

// A boot sector that answers every byte from the first serial port with the number of bytes so far.
// biome-ignore format: one instruction a line
const program = [
  0x31, 0xc9, //             xor cx, cx
  0xba, 0xfd, 0x03, // next: mov dx, 0x3FD
  0xec, //                   in al, dx
  0xa8, 0x01, //             test al, 1
  0x74, 0xf8, //             jz next
  0xba, 0xf8, 0x03, //       mov dx, 0x3F8
  0xec, //                   in al, dx
  0x41, //                   inc cx
  0x88, 0xc8, //             mov al, cl
  0x04, 0x30, //             add al, '0'
  0xee, //                   out dx, al
  0xeb, 0xec, //             jmp next
];
const config = {
  memory: 16 * 2 ** 20,
  boot: { kind: "flat", image: Uint8Array.from(program), loadAddress: 0x7c00, mode: "real" },
};

/** Sends bytes to a machine one by one and gives the answers. */
async function ask({ serial: [port] }, bytes) {
  const [reader, writer] = [port.readable.getReader(), port.writable.getWriter()];
  let answers = "";
  for (const byte of new TextEncoder().encode(bytes)) {
    await writer.write(Uint8Array.of(byte));
    answers += new TextDecoder().decode((await reader.read()).value);
  }
  reader.releaseLock();
  writer.releaseLock();
  return answers;
}

const first = await createMachine(config);
await first.start();
const before = await ask(first, "abc");
const state = await first.saveState();
await first.destroy();

// Any time later, and in another process if the bytes are kept in a file.
const second = await createMachine({ ...config, state });
await second.start();
const after = await ask(second, "de");
console.log(`${before}, then ${after}`);
await second.destroy();
