import { createMachine } from "@softmetal/vmm";

// A boot sector that prints to the first serial port and then powers the machine off through ACPI.
const program = [
  0xbe,
  0x1b,
  0x7c, //       mov si, message
  0xba,
  0xf8,
  0x03, //       mov dx, 0x3F8
  0xac, //             next: lodsb
  0x84,
  0xc0, //             test al, al
  0x74,
  0x03, //             jz done
  0xee, //                   out dx, al
  0xeb,
  0xf8, //             jmp next
  0xba,
  0x04,
  0x06, // done: mov dx, 0x604
  0xb8,
  0x00,
  0x34, //       mov ax, 0x3400
  0xef, //                   out dx, ax
  0xf4, //                   hlt
  0xeb,
  0xfd, //             jmp $-1
  0x90,
  0x90,
  0x90,
  ...new TextEncoder().encode("Hello from a whole computer\n"),
  0,
];

const machine = await createMachine({
  memory: 16 * 2 ** 20,
  boot: { kind: "flat", image: Uint8Array.from(program), loadAddress: 0x7c00, mode: "real" },
});
await machine.start();
let text = "";
for await (const bytes of machine.serial[0].readable) text += new TextDecoder().decode(bytes);
const end = await machine.ended;
console.log(`${text.trim()} (${end.reason})`);
await machine.destroy();
