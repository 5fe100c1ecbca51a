/** Time from starting the program to the kernel starting init, in Softmetal and in QEMU's TCG, in turns. */
import { spawn, spawnSync } from "node:child_process";
import { obtainGuest } from "@softmetal/guest/node";
import { createMachine } from "@softmetal/vmm";

export const title = "Boot of Debian's cloud kernel to init (512 MiB, one CPU)";

const MARKER = "Run /init as init process";
const MEMORY = 512;
const LIMIT = 180_000;
/** Waits for init instead of a shell, then powers off. */
const APPEND = "console=ttyS0 panic=-1 softmetal.run=true";

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

async function softmetal(kernel, initrd) {
  const started = performance.now();
  const machine = await createMachine({
    memory: MEMORY * 2 ** 20,
    accel: "translator",
    noReboot: true,
    boot: { kind: "linux", kernel, initrd, commandLine: APPEND },
  });
  const limit = setTimeout(() => machine.destroy(), LIMIT);
  await machine.start();
  let text = "";
  for await (const bytes of machine.serial[0].readable) {
    text += new TextDecoder().decode(bytes);
    if (text.includes(MARKER)) break;
  }
  const seconds = (performance.now() - started) / 1000;
  const { instructions, busyMilliseconds } = await machine.statistics();
  clearTimeout(limit);
  await machine.destroy();
  if (!text.includes(MARKER)) throw new Error(`the guest did not reach init:\n${text.slice(-2000)}`);
  return { seconds, instructions, mips: instructions / busyMilliseconds / 1000 };
}

function qemu(kernelPath, initrdPath) {
  const args = [
    "-accel",
    "tcg",
    "-machine",
    "q35",
    "-cpu",
    "Nehalem",
    "-m",
    String(MEMORY),
    "-nographic",
    "-no-reboot",
  ];
  const started = performance.now();
  const child = spawn(
    "qemu-system-x86_64",
    [...args, "-kernel", kernelPath, "-initrd", initrdPath, "-append", APPEND],
    {
      stdio: ["ignore", "pipe", "ignore"],
    },
  );
  return new Promise((resolve, reject) => {
    let text = "";
    const limit = setTimeout(() => child.kill(), LIMIT);
    child.stdout.on("data", (bytes) => {
      text += bytes;
      if (!text.includes(MARKER)) return;
      child.stdout.removeAllListeners("data");
      child.kill();
      resolve((performance.now() - started) / 1000);
    });
    child.on("exit", () => {
      clearTimeout(limit);
      reject(new Error(`QEMU did not reach init:\n${text.slice(-2000)}`));
    });
  });
}

export async function run({ runs, say }) {
  const { readFile } = await import("node:fs/promises");
  const guest = await obtainGuest({ architecture: "amd64" });
  const [kernel, initrd] = await Promise.all([readFile(guest.kernel), readFile(guest.initrd)]);
  const peer = spawnSync("qemu-system-x86_64", ["--version"]).status === 0;
  if (!peer) say("qemu-system-x86_64 is not installed: no ratio.");
  const ours = [];
  const theirs = [];
  for (let index = 0; index < runs; index++) {
    ours.push(await softmetal(kernel, initrd));
    if (peer) theirs.push(await qemu(guest.kernel, guest.initrd));
  }
  const seconds = median(ours.map((result) => result.seconds));
  const ratio = peer ? median(ours.map((result, index) => result.seconds / theirs[index])) : undefined;
  return [
    {
      what: "time to init",
      ours: seconds,
      peer: peer ? median(theirs) : undefined,
      unit: "s",
      ratio,
      note: "QEMU TCG",
    },
    { what: "instructions to init", ours: median(ours.map((result) => result.instructions)) / 1e6, unit: "million" },
    { what: "speed while busy", ours: median(ours.map((result) => result.mips)), unit: "MIPS" },
  ];
}
