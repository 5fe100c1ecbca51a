// A page that boots a Linux kernel, shows its serial console, and has a line to type into.
import { createMachine } from "@softmetal/vmm";

const load = async (name) => new Uint8Array(await (await fetch(name)).arrayBuffer());
const screen = document.body.appendChild(document.createElement("pre"));
const input = document.body.appendChild(document.createElement("input"));

try {
  const machine = await createMachine({
    memory: 256 * 2 ** 20,
    boot: { kind: "linux", kernel: await load("vmlinuz"), initrd: await load("initrd"), commandLine: "console=ttyS0" },
  });
  const keyboard = machine.serial[0].writable.getWriter();
  input.onchange = () => {
    keyboard.write(new TextEncoder().encode(`${input.value}\n`));
    input.value = "";
  };
  await machine.start();
  const show = new WritableStream({ write: (text) => screen.append(text) });
  await machine.serial[0].readable.pipeThrough(new TextDecoderStream()).pipeTo(show);
  screen.append(`The machine has ended: ${(await machine.ended).reason}.`);
} catch (error) {
  screen.append(error.message);
}
