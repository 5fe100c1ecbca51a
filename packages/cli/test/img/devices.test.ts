import { spawnSync } from "node:child_process";
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { have, mask, type Outcome, Workshop } from "./side-by-side.js";
import { words } from "./stories.js";

const MiB = 1 << 20;

/** A loop device over a file, or undefined where there are none (or no permission to make them). */
function attach(file: string): string | undefined {
  const { status, stdout } = spawnSync("losetup", ["--find", "--show", file], { encoding: "utf8" });
  return status === 0 ? stdout.trim() : undefined;
}

/** Attaches and detaches one to see whether it can be done. */
function haveLoopDevices(): boolean {
  const workshop = new Workshop();
  try {
    const file = join(workshop.root, "probe");
    writeFileSync(file, "");
    truncateSync(file, MiB);
    const device = attach(file);
    if (device === undefined) console.warn("SKIPPED: loop devices cannot be attached here");
    else spawnSync("losetup", ["--detach", device]);
    return device !== undefined;
  } finally {
    workshop.remove();
  }
}

const ready = have("qemu-img", "qemu-io", "losetup");

describe.skipIf(!ready || !haveLoopDevices())("block devices", () => {
  let workshop: Workshop;
  const devices: { ours: string; theirs: string } = { ours: "", theirs: "" };

  beforeAll(() => {
    workshop = new Workshop();
    for (const side of ["ours", "theirs"] as const) {
      const file = join(workshop[side], "device.bin");
      writeFileSync(file, new Uint8Array(8 * MiB).fill(0xee));
      devices[side] = attach(file)!;
    }
  });
  afterAll(() => {
    for (const device of Object.values(devices)) if (device !== "") spawnSync("losetup", ["--detach", device]);
    workshop.remove();
  });

  // Preallocated images are left out: QEMU undoes the preallocation with zeros, or refuses it.
  it.each([
    "img create -q -f raw source.raw 8M",
    "io -f raw -c 'write -q -P 7 0 1M' -c 'write -q -P 9 5M 64k' source.raw",
    "img info DEVICE",
    "img info -f raw --output=json DEVICE",
    "img map -f raw DEVICE",
    "img convert -f raw -O raw DEVICE copy.raw",
    "img compare -f raw -F raw DEVICE copy.raw",
    "img convert -n -f raw -O raw source.raw DEVICE",
    "img compare -f raw -F raw DEVICE source.raw",
    "io -f raw -c 'read -P 7 0 1M' -c 'read -P 0 1M 4M' -c 'write -z 0 64k' -c 'read -P 0 0 64k' DEVICE",
    "io -f raw -c 'discard 64k 64k' -c 'write -P 3 6M 1M' -c 'read -P 3 6M 1M' -c 'map' DEVICE",
    "img convert -f raw -O qcow2 DEVICE copy.qcow2",
    "img compare -f raw -F qcow2 DEVICE copy.qcow2",
    "img map copy.qcow2",
    "img convert -n -f qcow2 -O raw copy.qcow2 DEVICE",
    "img compare -f raw -F qcow2 DEVICE copy.qcow2",
    "img convert -f raw -O raw source.raw DEVICE",
    "img compare -f raw -F raw DEVICE source.raw",
    "img resize -f raw DEVICE 4M",
    "img resize -f raw --shrink DEVICE 4M",
    "img resize -f raw DEVICE 16M",
    "img resize -f raw DEVICE 8M",
    "img create -f raw DEVICE 16M",
    "img create -f qcow2 DEVICE 16M",
    "img info DEVICE",
    "io -c 'write -P 5 0 1M' -c 'write -P 6 10M 128k' -c 'write -z 512k 64k' DEVICE",
    "io -c 'read -P 5 0 512k' -c 'read -P 0 512k 64k' -c 'read -P 6 10M 128k' DEVICE",
    "img map DEVICE",
    "img map --output=json DEVICE",
    "img check DEVICE",
    "img snapshot -c one DEVICE",
    "img snapshot -l DEVICE",
    "io -c 'write -P 8 0 1M' DEVICE",
    "img snapshot -a one DEVICE",
    "io -c 'read -P 5 0 512k' DEVICE",
    "img convert -O raw DEVICE copy.raw",
    "img compare DEVICE copy.raw",
    "img convert -O qcow2 copy.qcow2 DEVICE",
    "img compare DEVICE copy.qcow2",
    "img resize DEVICE 32M",
    "img check DEVICE",
    "io -c 'write 0 16M' DEVICE",
    "img create -q -f raw DEVICE 4M",
    "img info DEVICE",
    "img create -q -f raw small.raw 4M",
    "io -f raw -c 'write -q -P 7 0 1M' -c 'write -q -P 9 3M 64k' small.raw",
    "img dd -f raw -O raw if=source.raw of=DEVICE bs=1M",
    "img compare -f raw -F raw DEVICE source.raw",
    "img convert -f raw -O qcow2 -c small.raw DEVICE",
    "img compare -f raw small.raw DEVICE",
    "img convert -f raw -O qcow2 -S 0 source.raw DEVICE",
    "img convert -n -f raw -O raw -S 64k source.raw DEVICE",
    "img compare -f raw -F raw DEVICE source.raw",
    "img measure -f raw -O qcow2 DEVICE",
    "img bench -f raw -c 4 DEVICE",
    "img create -q -f qcow2 -b DEVICE -F raw over.qcow2",
    "io -c 'write -q -P 4 512k 1M' -c 'read -q -P 7 0 512k' over.qcow2",
    "img map over.qcow2",
    "img commit over.qcow2",
    "io -f raw -c 'read -P 7 0 512k' -c 'read -P 4 512k 1M' DEVICE",
    "img rebase -b '' over.qcow2",
    "img compare -F raw over.qcow2 DEVICE",
    "img create -q -f raw DEVICE 4M",
    "img info /dev/null",
    "img map /dev/zero",
    "img convert -O raw /dev/zero empty.raw",
    "img convert -O qcow2 /dev/null empty.qcow2",
    "img info empty.qcow2",
    "img compare /dev/null /dev/zero",
    "img resize -f raw /dev/null 1M",
    "img create -f raw /dev/null 1M",
    "img create -f qcow2 /dev/null 1M",
  ])("%s", async (line) => {
    const [command, ...rest] = words(line);
    const program = command === "io" ? "qemu-io" : "qemu-img";
    const args = (side: "ours" | "theirs"): string[] => rest.map((word) => word.replace("DEVICE", devices[side]));
    const named = ({ status, stdout, stderr }: Outcome, device: string): Outcome =>
      mask({ status, stdout: stdout.replaceAll(device, "DEVICE"), stderr: stderr.replaceAll(device, "DEVICE") });
    const theirs = named(workshop.peer(program, args("theirs")), devices.theirs);
    const ours = named(await workshop.own(program, args("ours")), devices.ours);
    expect(ours).toEqual(theirs);
    for (const name of ["source.raw", "copy.raw"])
      if (line.includes(name))
        expect(readFileSync(join(workshop.ours, name)).equals(readFileSync(join(workshop.theirs, name)))).toBe(true);
  });
});
